//! Looking after what is stored: is it there, for how long, and what to do where it is not.
//!
//! | file | what |
//! |---|---|
//! | `kept` | packs that are looked after: of live snapshots, and of the manifests |
//! | `survey` | providers are asked what they have, in batches |
//! | `deep` | shards are fetched and compared |
//! | `suspects` | providers that were found wrong once have to prove everything |
//! | `state` | how a pack stands (pure) |
//! | `tally` | the account of a check (pure) |
//! | `durability` | how likely it is to last (pure) |
//! | `check` | a check from end to end |
//! | `renew` | promises extended before they lapse |
//! | `mend` | one pack back to full health |
//! | `repair` | packs back to full health |
//! | `manifests` | the manifest's own packs back to full health |

mod check;
mod deep;
pub mod durability;
mod kept;
mod manifests;
mod mend;
mod renew;
mod repair;
mod state;
mod survey;
mod suspects;
mod tally;

pub(crate) use check::Charge;
pub use check::{CheckOptions, CheckOutcome, Depth};
pub(crate) use kept::{KeptPack, PromisedShard};
pub(crate) use mend::{Mended, Mender};
pub(crate) use renew::Due;
pub use renew::RenewOutcome;
pub(crate) use repair::RepairLimits;
pub use repair::RepairOutcome;
pub use state::{Found, Sight, Verdict};
pub(crate) use survey::Examined;
pub use tally::{ListedPack, Listing, ProviderHealth, ShardCounts, Tally};
