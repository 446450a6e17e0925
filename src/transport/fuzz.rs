//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the transport is broken.

use nostr::JsonUtil;

use super::relays::RelayMessage;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 1] = [("transport_relay_message", relay_message)];

/// A message of a relay: an event that was understood is understood again when it is written again.
pub fn relay_message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(RelayMessage::Event(name, event)) = RelayMessage::parse(text) {
        let again = format!(r#"["EVENT",{},{}]"#, serde_json::Value::from(name.clone()), event.as_json());
        assert_eq!(RelayMessage::parse(&again), Some(RelayMessage::Event(name, event)));
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
