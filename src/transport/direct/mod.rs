//! The direct path: one WebSocket between a client and a provider, without relays (docs/protocol.md, "Direct path").
//!
//! It is no [`Carrier`](crate::transport::Carrier): a carrier moves signed events among many, forgets some and repeats
//! others, and everything above makes up for that. Here there are two, who know each other once the handshake is done,
//! and what is written arrives once, in order, or the connection ends. So the seam between the two ways lies one step
//! higher, at the messages ([`DirectMessage`](crate::wire::DirectMessage) here, signed events there): above it are the
//! same sessions of the client and the same actions of the provider, and nothing signs, encodes or hashes a blob twice
//! because a relay would have needed it.
//!
//! | file | what |
//! |---|---|
//! | `noise` | the handshake: keys for one connection, bound to both Nostr keys |
//! | `aes` | AES-256-GCM for it, faster than that of snow |
//! | `record` | messages as records under these keys, and back |
//! | `connection` | the two ends of a connection, with bounded queues and deadlines |
//! | `intake` | what is taken in of the blobs that come |
//! | `dial`, `listen` | the client's and the provider's way to one |
//! | `pair` | the records alone, to be measured |
//! | `nearness` | which addresses are of this machine and its network |
//! | `rest` | how long a guest rests |
//! | `guests` | how many are connected: in all, from one address, with one key |

mod aes;
mod connection;
mod dial;
mod error;
mod guests;
mod intake;
mod listen;
mod nearness;
mod noise;
mod pair;
mod record;
mod rest;
#[cfg(test)]
pub(crate) mod tests;

pub use aes::has_fast_aes;
pub use connection::{DirectConnection, Held, Inbox, Outbox, Received};
pub use dial::{Target, dial};
pub use error::DirectError;
pub use guests::Places;
pub use intake::{Intake, Judge, Room, Unfit, Verdict};
pub use listen::{DirectListener, Guest, StoresUpTo};
pub use nearness::Nearness;
pub(super) use noise::{Opening, Welcome};
pub use pair::RecordPair;
pub use rest::{Rest, Work};
