//! Letting go (invariant I12): condemn first, in a published head; delete at the providers days later, after all devices'
//! heads were read again.
//!
//! | file | what |
//! |---|---|
//! | `remove` | snapshots are removed, and the packs that only they needed condemned |
//! | `flow` | a prune from end to end |
//! | `delete` | blobs of packs, gone from their providers |
//! | `orphans` | blobs that providers keep and nothing names |
//! | `repack` | packs that are mostly dead: what lives in them is stored anew |
//! | `reach` | which segments a snapshot consists of |
//! | `moves` | what snapshots need after segments of theirs were stored anew |

mod delete;
mod flow;
mod moves;
mod orphans;
mod reach;
mod remove;
mod repack;
#[cfg(test)]
mod tests;

pub use flow::{PruneOptions, PruneOutcome};
pub use remove::{RemoveOptions, RemoveOutcome};
