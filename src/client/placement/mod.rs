//! Placement: which provider gets which shard. PURE.
//!
//! | file | what |
//! |---|---|
//! | `score` | how good a provider is, from what is remembered of it |
//! | `plan` | [`Placement`]: who gets the shards of a pack, and who stands by |

mod plan;
mod score;

pub use plan::{Avoid, Candidate, Placement, Standing};
pub use score::Score;
