//! Getting files back, in the order in which a byte goes:
//!
//! | file | step |
//! |---|---|
//! | `options` | what can be asked, and what is said at the end |
//! | `select` | snapshot → entries that are wanted: by path, by pattern |
//! | `plan` | where each goes, and what is in the way there |
//! | `layout` | file → segments and holes |
//! | `demand` | segments → packs, and which of their shards |
//! | `packs` | packs, several on their way at a time |
//! | `fetch`, `hunt` | one pack from any k verified shards, or from the few that are wanted |
//! | `blemishes` | what was found missing or wrong is remembered |
//! | `segments` | packs → plaintext, authenticated |
//! | `checked` | plaintext on its way to the file: hashed, compared |
//! | `part`, `resume` | what an earlier get has left of a large file, and what of it is good |
//! | `writer` | a long file past the page cache, while the rest is still fetched |
//! | `restore` | made beside its place, renamed |
//! | `metadata`, `durable` | owner, attributes, mode, time; on the disk |
//! | `flow`, `cat` | the whole |

mod blemishes;
mod cat;
mod checked;
mod demand;
mod durable;
pub(crate) mod fetch;
mod flow;
mod hunt;
mod layout;
mod metadata;
mod options;
mod packs;
mod part;
mod plan;
mod restore;
mod resume;
mod segments;
mod select;
#[cfg(test)]
mod tests;
mod writer;

pub use cat::CatOutcome;
pub use options::{Destination, GetOptions, GetOutcome, NotRestored, Overwrite, Withheld};
pub use plan::{Action, Plan, Step};
pub use select::{Selected, Selection, select};
pub(crate) use select::{entries, page, tags};
