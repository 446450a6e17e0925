//! The carrier over real relays, on nostr-sdk: its pool connects, pings, reads and writes messages. Events are read,
//! verified (but for chunks) and handed over before it sees them. Around it stands what a backup needs and the SDK (0.44.1)
//! does not promise.
//!
//! | file | what |
//! |---|---|
//! | `pool` | [`Relays`]: the carrier, which asks all links and puts their answers together |
//! | `link` | what is known about one relay: its session, its subscriptions, who waits for which answer |
//! | `session` | one connection of the SDK after the other, and what is said on it |
//! | `intake` | reads an event from a relay's message |
//! | `room` | bounds what waits in the SDK's send queue, which cannot be waited for |
//! | `socket` | the SDK's WebSocket, with TCP_NODELAY and limits; where events turn off |
//!
//! What is not left to the SDK, and why:
//! - **Events.** The pool takes an event as verified when its id was verified before, without comparing id and content: a
//!   good event opens the door to a forged one under its id. It remembers 128,000 ids for that, drops what has expired
//!   (NIP-40) by the system's clock, and hands events over through a channel that skips readers which lag. Verifying once
//!   more behind it would be half of a restore's time. OKs, EOSEs and notices are small and may be lost at a price we know.
//! - **Sessions.** The queue of a relay outlives its connection, and subscriptions made within the second of a
//!   reconnect are forgotten. So each connection is a relay object of its own, and subscriptions are asked for here
//!   until the relay confirms them.
//! - **Waiting for OK, fetching.** Both wait in fixed or detached ways, and a fetch grows as long as the relay sends.

mod intake;
mod link;
mod pool;
mod room;
mod session;
mod socket;

pub(super) use intake::read as read_event;
pub use pool::{ConnectOptions, Relays};
