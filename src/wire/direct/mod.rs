//! The direct path's messages (docs/protocol.md, "Direct path"): client and provider over one WebSocket, without relays.
//!
//! | type | message | by |
//! |---|---|---|
//! | 0, 1 | handshake ([`Hello`], [`Ack`], [`Introduction`]) | both |
//! | 2 to 7 | [`DirectMessage`]: request, response, have, want, not found, error | both |
//! | 8 to 11 | store, ask, answer, proofs | both |
//!
//! What is small says the same JSON as the events of kinds 24210, 24211 and 24214, so that there is one reading of it;
//! blobs are bytes and nothing else.

mod beginning;
mod handshake;
mod message;
#[cfg(test)]
mod tests;

pub use beginning::Beginning;
pub use handshake::{
    Ack, DirectCipher, Hello, Introduction, NOISE_FIRST_LEN, NOISE_SECOND_LEN, Proof, SEALED_PROOF_LEN,
};
pub use message::{DirectId, DirectMessage, DirectStore, Encoded};
