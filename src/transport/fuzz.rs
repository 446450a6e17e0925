//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the transport is broken.

use nostr::{JsonUtil, RelayMessage};

use crate::transport::relays;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 1] = [("transport_relay_message", relay_message)];

/// A message of a relay: one that the SDK understands is understood again when it is written again; and an event that is
/// read beside the SDK is the one that it would have read.
pub fn relay_message(bytes: &[u8]) {
    if let Some((name, event)) = std::str::from_utf8(bytes).ok().and_then(relays::read_event) {
        let read = RelayMessage::from_json(bytes).ok();
        assert_eq!(read, Some(RelayMessage::event(name, event)), "the SDK reads what is read here");
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
