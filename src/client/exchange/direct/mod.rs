//! The way to a provider without relays.
//!
//! | file | what |
//! |---|---|
//! | `way` | whether there is a connection, is to be one, or was none lately |
//! | `endpoints` | which endpoints are left alone for now |
//! | `channel` | the conversations over one connection |
//! | `exchange` | which way an exchange takes, and what it says on this one |
//!
//! The seam lies below the sessions and above the events: what a session wants sent becomes one message here, and what
//! comes in is the same input that an event would have been. A message arrives or its connection ends, so the tries of a
//! session that only make up for loss are not sent; and where the connection ends, or falls silent, a new session of the
//! same kind begins over relays.

mod channel;
mod endpoints;
mod exchange;
#[cfg(test)]
mod tests;
mod way;

pub(super) use channel::Channel;
pub(super) use way::{DirectWay, Means};
