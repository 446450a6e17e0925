//! NIP-01 messages between a client and a relay, as text. PURE.

use nostr::{Event, EventId, Filter, JsonUtil};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::nip01;

/// A message from a relay. Events are not verified here.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::transport) enum RelayMessage {
    /// An event for the subscription of this name.
    Event(String, Box<Event>),
    /// Whether the relay took an event, and its words.
    Ok(EventId, bool, String),
    /// All stored events of the subscription were sent.
    EndOfStored(String),
    /// The relay ended the subscription, and its words.
    Closed(String, String),
    /// Words for a person.
    Notice(String),
    /// Anything else: NIP-42 challenges, counts.
    Other,
}

impl RelayMessage {
    /// Parses one message. `None` is anything that is not JSON, or not formed as its first word says.
    pub(in crate::transport) fn parse(text: &str) -> Option<Self> {
        // Raw parts, so that an event is parsed once and into its place, not through a tree of values.
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let message = match (part::<&str>(&parts, 0)?, parts.len()) {
            ("EVENT", 3) => Self::Event(part(&parts, 1)?, Box::new(part(&parts, 2)?)),
            ("OK", 3 | 4) => {
                Self::Ok(part(&parts, 1)?, part(&parts, 2)?, part(&parts, 3).unwrap_or_default())
            }
            ("EOSE", 2) => Self::EndOfStored(part(&parts, 1)?),
            ("CLOSED", 2 | 3) => Self::Closed(part(&parts, 1)?, part(&parts, 2).unwrap_or_default()),
            ("NOTICE", 2) => Self::Notice(part(&parts, 1)?),
            ("EVENT" | "OK" | "EOSE" | "CLOSED" | "NOTICE", _) => return None,
            _ => Self::Other,
        };
        Some(message)
    }
}

fn part<'de, T: Deserialize<'de>>(parts: &[&'de RawValue], index: usize) -> Option<T> {
    serde_json::from_str(parts.get(index)?.get()).ok()
}

/// `["EVENT", event]`
pub(super) fn publish(event: &Event) -> String {
    let mut text = String::with_capacity(event.content.len() + 1_024);
    text.push_str(r#"["EVENT","#);
    nip01::push_json(&mut text, event);
    text.push(']');
    text
}

/// `["REQ", name, filter…]`; the name needs no escaping.
pub(super) fn request(name: &str, filters: &[Filter]) -> String {
    let filters: Vec<String> = filters.iter().map(JsonUtil::as_json).collect();
    format!(r#"["REQ","{name}",{}]"#, filters.join(","))
}

/// `["CLOSE", name]`; the name needs no escaping.
pub(super) fn close(name: &str) -> String {
    format!(r#"["CLOSE","{name}"]"#)
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind};

    use super::*;

    #[test]
    fn messages_of_relays_are_understood() {
        let event = EventBuilder::new(Kind::from(24_210), "a \"b\" \u{1f600}")
            .sign_with_keys(&Keys::generate())
            .unwrap();
        let (id, json) = (event.id, event.as_json());
        for (text, message) in [
            (format!(r#" ["EVENT" , "s1", {json} ]"#), RelayMessage::Event("s1".into(), Box::new(event))),
            (
                format!(r#"["OK","{id}",false,"blocked: no"]"#),
                RelayMessage::Ok(id, false, "blocked: no".into()),
            ),
            (format!(r#"["OK","{id}",true]"#), RelayMessage::Ok(id, true, String::new())),
            (r#"["EOSE","s\u0031"]"#.into(), RelayMessage::EndOfStored("s1".into())),
            (r#"["CLOSED","s1"]"#.into(), RelayMessage::Closed("s1".into(), String::new())),
            (r#"["NOTICE","hm \n"]"#.into(), RelayMessage::Notice("hm \n".into())),
            (r#"["AUTH","challenge"]"#.into(), RelayMessage::Other),
        ] {
            assert_eq!(RelayMessage::parse(&text), Some(message), "{text}");
        }
    }

    #[test]
    fn malformed_messages_are_none() {
        for text in
            ["", "[]", "{}", "[1]", r#"["EVENT","s1"]"#, r#"["EVENT","s1",{}]"#, r#"["OK","zz",true,""]"#]
        {
            assert_eq!(RelayMessage::parse(text), None, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(RelayMessage::parse(&deep), None);
    }

    #[test]
    fn requests_are_json() {
        let text = request("q7", &[Filter::new().kind(Kind::from(31_999)).limit(1), Filter::new()]);
        assert_eq!(text, r#"["REQ","q7",{"kinds":[31999],"limit":1},{}]"#);
    }
}
