//! `blobdvm bench`: how fast this machine, these providers and these ways are, as a table and as JSON.
//!
//! | file | what |
//! |---|---|
//! | `args` | what can be asked |
//! | `run` | the whole, and what has to be taken back at the end |
//! | `stage` | relay and providers as processes of their own, or those that were named |
//! | `backups` | put and get of files through a vault of its own |
//! | `blobs` | single blobs at one provider, over relays and directly, and at a Blossom server |
//! | `codec` | the stages between a file and its shards, on one core |
//! | `noise` | bytes that do not compress |
//! | `cpu` | what processes have taken |
//! | `losses` | what could not be measured |
//! | `report` | rows, as JSON and as lines of a table |

mod args;
mod backups;
mod blobs;
pub mod codec;
mod cpu;
mod losses;
mod noise;
mod report;
mod run;
mod stage;

pub use args::BenchArgs;
pub(in crate::cli) use run::CLEAN_UP_MAX;
pub use run::run;
