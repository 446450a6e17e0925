//! Putting files into the vault, in the order in which a byte goes:
//!
//! | file | step |
//! |---|---|
//! | `scan` | what is below the named paths |
//! | `read` | files → segments with tags |
//! | `store` | segments → known, confirmed and reused; or sealed, packed, encoded, stored at providers |
//! | `tree` | what was read → tree pages |
//! | `flow` | the whole, up to the published head |

mod flow;
mod read;
mod scan;
mod store;
mod tree;

pub use flow::{PutOptions, PutOutcome};
