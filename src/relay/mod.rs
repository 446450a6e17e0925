//! The embedded relay: NIP-01 over WebSockets, made for the bursts of large ephemeral events that blobs travel in.
//!
//! | file | what |
//! |---|---|
//! | `server` | [`Relay`]: listens, accepts, ends |
//! | `handshake` | the HTTP request that every connection starts with: WebSocket, or the relay's own description (NIP-11) |
//! | `connection` | one client: reading and answering its messages, writing to it |
//! | `message` | NIP-01 messages as text. PURE |
//! | `fanout` | who listens to what; hands every published event to the queues of its readers |
//! | `queue` | what waits to be written to one client, bounded in bytes |
//! | `storage` | which events are kept: the newest of each address, and ordinary ones |
//! | `disk` | one file for each kept event |
//!
//! An event is parsed and verified once, and its text is forwarded as it came. Nothing is dropped without a word: a
//! publisher waits while a reader's queue is full, and a reader that does not catch up is disconnected, which it
//! can see, and asks for what it misses end to end. What is stored was synced to disk before the OK.

mod connection;
mod disk;
mod fanout;
pub mod fuzz;
mod handshake;
mod message;
mod options;
mod queue;
mod server;
mod storage;

pub use options::{RelayError, RelayOptions};
pub use server::{Relay, RelayCounts, RelayMonitor};
