//! Putting files into the vault, in the order in which a byte goes:
//!
//! | file | step |
//! |---|---|
//! | `walk`, `exclude` | what is below the named paths, one by one |
//! | `describe` | owner, mode, times, attributes, links of each |
//! | `source` | a file's bytes outside its holes |
//! | `read` | files → segments with tags, on a thread of its own; unchanged files are not read |
//! | `gather` | takes what is read, with `before`, the snapshot before it |
//! | `store` | segments → known, confirmed and reused; or sealed, packed, encoded, stored at providers |
//! | `ledger` | what has receipts and is not recorded yet |
//! | `tree` | files and folders → tree pages |
//! | `flow` | the whole, up to the published head |
//! | `expected` | how much there is, for whoever watches |
//! | `others` | what the vault's other devices did, before and meanwhile |
//! | `trouble` | what could not be read, said at the end |

mod before;
mod describe;
mod exclude;
mod expected;
mod flow;
mod gather;
mod ledger;
mod others;
mod read;
mod source;
mod store;
mod tree;
mod trouble;
mod walk;
mod window;

pub use flow::{PutOptions, PutOutcome};
pub(crate) use store::SegmentStore;
pub use trouble::{Trouble, Troubles, Why};
pub use walk::WalkOptions;
