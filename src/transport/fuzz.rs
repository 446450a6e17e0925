//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the transport is broken.

use std::sync::Arc;

use nostr::{JsonUtil, Keys, RelayMessage, SecretKey};

use crate::env::{Env, ManualClock};
use crate::transport::direct::{Opening, Welcome};
use crate::transport::relays;
use crate::types::{ProviderId, Timestamp};
use crate::wire::direct::{Ack, Hello, Introduction};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 2] =
    [("transport_relay_message", relay_message), ("transport_direct_handshake", direct_handshake)];

/// What comes in during a handshake of the direct path, on each side of it: nobody who has no key gets through it.
pub fn direct_handshake(bytes: &[u8]) {
    let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(0))));
    let keys = Keys::new(SecretKey::from_slice(&[1; 32]).expect("ones are a key"));
    let id = ProviderId::new(keys.public_key().to_bytes());
    let parts: Vec<&[u8]> = bytes.splitn(2, |byte| *byte == b'|').collect();
    if let Ok(hello) = Hello::decode(parts[0])
        && let Ok((welcome, _)) = Welcome::begin(&hello, &keys, &env)
        && let Some(Ok(introduction)) = parts.get(1).map(|rest| Introduction::decode(rest))
    {
        assert!(welcome.finish(&introduction).is_err(), "a proof under keys that nobody else has");
    }
    if let Ok(ack) = Ack::decode(bytes) {
        let (opening, _) = Opening::begin(ack.cipher, &env).expect("a handshake can begin");
        assert!(opening.finish(&ack, &id, &keys).is_err(), "a proof by a key that nobody else has");
    }
}

/// A message of a relay: one that the SDK understands is understood again when it is written again; and an event that is
/// read beside the SDK is the one that it would have read.
pub fn relay_message(bytes: &[u8]) {
    if let Some((name, event)) = std::str::from_utf8(bytes).ok().and_then(relays::read_event) {
        let read = RelayMessage::from_json(bytes).ok();
        assert_eq!(read, Some(RelayMessage::event(name, event.whole())), "the SDK reads what is read here");
    }
    if let Ok(message) = RelayMessage::from_json(bytes) {
        let again = RelayMessage::from_json(message.as_json()).expect("the SDK reads what it has written");
        assert_eq!(again, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_hold_for_samples() {
        for text in [r#"["EVENT","",{}]"#, r#"["EOSE"]"#, r#"["OK",null,true,""]"#, "[[]]", "\u{0}"] {
            for (_, target) in TARGETS {
                target(text.as_bytes());
            }
        }
    }
}
