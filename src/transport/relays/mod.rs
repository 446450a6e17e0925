//! The carrier over real relays: one [`link`] per relay, each with its own connection, send queue and subscriptions.
//!
//! | file | what |
//! |---|---|
//! | `pool` | [`Relays`]: the carrier, which asks all links and puts their answers together |
//! | `link` | what is known about one relay: its session, its subscriptions, who waits for which answer |
//! | `session` | one connection: reading, writing, pinging; and connecting again |
//! | `queue` | the send queue of a session, bounded in bytes |
//! | `message` | NIP-01 messages as text. PURE |
//! | `socket` | the WebSocket, with TCP_NODELAY and explicit limits |

mod link;
mod message;
mod pool;
mod queue;
mod session;
mod socket;

pub(super) use message::RelayMessage;
pub use pool::{ConnectOptions, Relays};
