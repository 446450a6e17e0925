//! The carrier over real relays, on nostr-sdk: its pool connects, pings, reads and writes messages, and verifies
//! events. Around it stands what a backup needs and the SDK (0.44.1) does not promise.
//!
//! | file | what |
//! |---|---|
//! | `pool` | [`Relays`]: the carrier, which asks all links and puts their answers together |
//! | `link` | what is known about one relay: its session, its subscriptions, who waits for which answer |
//! | `session` | one connection of the SDK after the other, and what is said on it |
//! | `intake` | where the SDK hands events over, one by one, as its admission policy |
//! | `room` | bounds what waits in the SDK's send queue, which cannot be waited for |
//! | `socket` | the SDK's WebSocket, with TCP_NODELAY and limits |
//!
//! What is not left to the SDK, and why:
//! - **Verification.** The pool takes an event as verified when its id was verified before, without comparing id and
//!   content: a good event opens the door to a forged one under its id. Whatever comes is verified here once more.
//! - **Notifications of events.** They go through a channel that skips readers which lag. Events are taken before it,
//!   where the SDK waits until they are; OKs, EOSEs and notices are small and may be lost at a price we know.
//! - **Sessions.** The queue of a relay outlives its connection, and subscriptions made within the second of a
//!   reconnect are forgotten. So each connection is a relay object of its own, and subscriptions are asked for here
//!   until the relay confirms them.
//! - **Waiting for OK, fetching.** Both wait in fixed or detached ways, and a fetch grows as long as the relay sends.
//!
//! Events that have expired (NIP-40) are dropped by the SDK, by the system's clock.

mod intake;
mod link;
mod pool;
mod room;
mod session;
mod socket;

pub use pool::{ConnectOptions, Relays};
