//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the relay is broken.

use nostr::{Event, JsonUtil};

use super::handshake;
use super::message::ClientMessage;
use super::options::RelayOptions;
use crate::wire::nip01;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 2] =
    [("relay_client_message", client_message), ("relay_request_head", request_head)];

/// A message of a client: it is understood, an event as a part of its own text, or answered in JSON.
pub fn client_message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ClientMessage::parse(text) {
        Ok(ClientMessage::Event(event, raw)) => {
            assert!(bytes.as_ptr_range().contains(&raw.as_ptr()), "an event is forwarded as it came");
            let general = Event::from_json(raw).ok();
            let verdict = general.as_ref().map(nip01::verifies);
            assert_eq!(general, Some(event.clone().whole()), "it is what others read in its text");
            assert_eq!(verdict, Some(event.verified().is_some()), "it verifies for all or for nobody");
        }
        Ok(ClientMessage::Request(..) | ClientMessage::Close(_)) => {}
        Err(refusal) => {
            let answer: Result<Vec<serde_json::Value>, _> = serde_json::from_str(&refusal.answer());
            assert!(answer.is_ok(), "a refusal is a JSON array");
        }
    }
}

/// The head of an HTTP request: it opens a WebSocket or is answered by as many bytes as the answer says.
pub fn request_head(bytes: &[u8]) {
    let Ok(head) = std::str::from_utf8(bytes) else { return };
    if handshake::websocket_key(head).is_none() {
        let answer = handshake::describe(head, &RelayOptions::default());
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has an empty line");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_hold_for_samples() {
        for text in [
            r#"["EVENT",{}]"#,
            r#"["REQ","\"",{}]"#,
            r#"["REQ","\u0000a"]"#,
            "",
            "GET / HTTP/1.1\r\n:\r\n\r\n",
        ] {
            for (_, target) in TARGETS {
                target(text.as_bytes());
            }
        }
    }
}
