//! A whole network in one process, for tests: real relays on loopback or hubs in memory, real providers with stores on
//! disk, and what can go wrong with them.
//!
//! | file | what |
//! |---|---|
//! | `net` | [`Net`]: relays and providers; kill, wipe, corrupt, freeze, bring back |
//! | `damage` | what is done to a provider's files |
//! | `freeze` | a carrier that can be stopped: its owner hears nothing and is not heard |

mod damage;
mod freeze;
mod net;
#[cfg(test)]
mod tests;

pub use damage::Damaged;
pub use freeze::{Freezing, Switch};
pub use net::{Net, NetOptions, RelayKind};
