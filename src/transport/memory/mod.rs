//! A carrier within one process, for tests and simulations: [`Hub`] behaves as a relay does (filters, replaceable and
//! addressable memory, ephemeral events forwarded and forgotten), and as badly as relays do when told to.
//!
//! It runs on `tokio::time`, so that a test with paused time sees no real waiting, and draws its faults from a seed.

mod carrier;
mod faults;
mod hub;
mod storage;
#[cfg(test)]
mod tests;

pub use carrier::MemoryCarrier;
pub use faults::{EventTest, Faults};
pub use hub::{Hub, HubCounts};
