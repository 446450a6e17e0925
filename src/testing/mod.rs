//! A whole network in one process, for tests: real relays on loopback or hubs in memory, real providers with stores in
//! folders or on disks in memory, and what can go wrong with them.
//!
//! | file | what |
//! |---|---|
//! | `net` | [`Net`]: relays and providers; kill, crash, wipe, spoil, freeze, bring back |
//! | `seat` | one provider of it: its store, its clock, its way to the relays |
//! | `clock` | [`SimClock`]: a wall clock that follows virtual time |
//! | `damage`, `spoil` | what is done to a provider's files, and to blobs on a disk in memory |
//! | `freeze` | a carrier that can be stopped: its owner hears nothing and is not heard |
//! | `stop` | [`Stopping`]: a carrier that stops at a step, as if its process were gone |
//! | `tamper` | a provider that sends wrong bytes |

mod clock;
mod damage;
mod freeze;
mod net;
mod seat;
mod spoil;
mod stop;
mod tamper;
#[cfg(test)]
mod tests;

pub use clock::SimClock;
pub use damage::Damaged;
pub use freeze::{Freezing, Switch};
pub use net::{DiskKind, Net, NetOptions, RelayKind};
pub use spoil::Spoil;
pub use stop::Stopping;
pub use tamper::Liar;
