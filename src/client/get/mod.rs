//! Getting files back, in the order in which a byte goes:
//!
//! | file | step |
//! |---|---|
//! | `select` | snapshot → entries that are wanted |
//! | `packs` | the packs of their segments, several on their way at a time |
//! | `fetch` | one pack from any k verified shards |
//! | `restore` | written beside the target, compared, renamed |
//! | `flow` | the whole |

pub(crate) mod fetch;
mod flow;
mod packs;
mod restore;
mod select;

pub use flow::{Destination, GetOptions, GetOutcome};
pub use select::{Selected, select};
pub(crate) use select::{entries, tags};
