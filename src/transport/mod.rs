//! Events over relays. Everything above sees only [`Carrier`]: which crate speaks to the relays is decided here and
//! nowhere else, so that it can be swapped.
//!
//! | file | what |
//! |---|---|
//! | `carrier` | the seam: publish, query, subscribe; and its errors |
//! | `subscription` | the bounded queue between a carrier and one reader |
//! | `relays` | the carrier over real relays, on nostr-sdk |
//! | `direct` | the way without relays: one connection between a client and a provider |
//! | `blossom` | the client's half of HTTP Blossom |
//! | `memory` | a carrier within one process, for tests, with faults |
//!
//! A carrier promises little, because relays do (invariant I8): an event that was published may never arrive, may
//! arrive twice, or late. What it does promise: every event that it hands over, but for chunks, was verified (id and
//! signature), exactly once, here; and no queue in it grows without a limit. Chunks are verified where they are put together
//! ([`Attestation`](crate::wire::Attestation)).

pub mod blossom;
pub mod carrier;
pub mod direct;
pub mod fuzz;
pub mod memory;
mod outlet;
pub mod relays;
mod seen;
pub mod subscription;

pub use carrier::{Carrier, Incoming, Route, TransportError};
pub use relays::{ConnectOptions, Relays};
pub use subscription::{Feed, Subscription};
