//! NIP-01 messages between a client and a relay, as text. PURE.

use std::collections::BTreeSet;

use nostr::{EventId, Filter, JsonUtil};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::types::limits::{
    EVENT_TAG_COUNT_MAX, FILTER_COUNT_MAX, FILTER_VALUE_COUNT_MAX, SUBSCRIPTION_NAME_LEN_MAX,
};
use crate::wire::Unverified;

/// A message from a client. Events are parsed, not verified, here.
#[derive(Debug)]
pub(super) enum ClientMessage<'a> {
    /// An event to publish, and its text as it came.
    Event(Box<Unverified<'a>>, &'a str),
    /// A subscription: its name, and what it wants.
    Request(String, Vec<Filter>),
    /// The end of a subscription.
    Close(String),
}

/// Why a message cannot be served, and how to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not understood: a notice.
    Notice(&'static str),
    /// An event that is not one: its id, as far as it has one, is refused.
    Event(EventId, &'static str),
    /// A subscription that is too much: closed.
    Request(String, &'static str),
}

impl Refusal {
    /// The message that says so to the client.
    pub(super) fn answer(&self) -> String {
        match self {
            Self::Notice(words) => notice(words),
            Self::Event(id, words) => ok(id, false, words),
            Self::Request(name, words) => closed(name, words),
        }
    }
}

impl<'a> ClientMessage<'a> {
    /// Parses one message.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        if let Some(event) = lone_event(text).and_then(|raw| parse_event(raw).ok()) {
            return Ok(event);
        }
        // Raw parts, so that an event is parsed once and into its place, and can be forwarded as it came.
        let parts: Vec<&'a RawValue> =
            serde_json::from_str(text).map_err(|_| Refusal::Notice("invalid: not a JSON array"))?;
        match (part::<&str>(&parts, 0), &parts[..]) {
            (Some("EVENT"), [_, raw]) => parse_event(raw.get()),
            (Some("REQ"), [_, _, filters @ ..]) => parse_request(part(&parts, 1), filters),
            (Some("CLOSE"), [_, _]) => {
                let name = part(&parts, 1).ok_or(Refusal::Notice("invalid: CLOSE without a name"))?;
                Ok(Self::Close(name))
            }
            (Some("EVENT" | "REQ" | "CLOSE"), _) => Err(Refusal::Notice("invalid: wrong number of elements")),
            _ => Err(Refusal::Notice("unsupported: only EVENT, REQ and CLOSE are understood")),
        }
    }
}

/// What stands in `["EVENT",…]`, written as everybody writes it: an event there is read without looking for its end first,
/// which takes as long as reading it.
fn lone_event(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(r#"["EVENT","#)?.strip_suffix(']')?;
    // The blanks of JSON (RFC 8259 §2), which are not forwarded.
    Some(inner.trim_matches([' ', '\t', '\n', '\r']))
}

fn parse_event(raw: &str) -> Result<ClientMessage<'_>, Refusal> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: EventId,
    }
    let Ok(event) = serde_json::from_str::<Unverified<'_>>(raw) else {
        let words = "invalid: not an event";
        let id = serde_json::from_str::<OnlyId>(raw);
        return Err(id.map_or(Refusal::Notice(words), |found| Refusal::Event(found.id, words)));
    };
    if event.tag_count() > EVENT_TAG_COUNT_MAX {
        return Err(Refusal::Event(event.id(), "invalid: too many tags"));
    }
    Ok(ClientMessage::Event(Box::new(event), raw))
}

fn parse_request<'a>(name: Option<String>, filters: &[&RawValue]) -> Result<ClientMessage<'a>, Refusal> {
    let name = name.ok_or(Refusal::Notice("invalid: REQ without a name"))?;
    if name.is_empty() || name.len() > SUBSCRIPTION_NAME_LEN_MAX {
        return Err(Refusal::Notice("invalid: a subscription's name has 1 to 64 bytes"));
    }
    if filters.is_empty() || filters.len() > FILTER_COUNT_MAX {
        return Err(Refusal::Request(name, "invalid: too few or too many filters"));
    }
    let filters: Option<Vec<Filter>> = filters.iter().map(|raw| Filter::from_json(raw.get()).ok()).collect();
    match filters {
        None => Err(Refusal::Request(name, "invalid: not a filter")),
        Some(filters) if filters.iter().map(value_count).sum::<usize>() > FILTER_VALUE_COUNT_MAX => {
            Err(Refusal::Request(name, "invalid: too many values in the filters"))
        }
        Some(filters) => Ok(ClientMessage::Request(name, filters)),
    }
}

/// Ids, authors, kinds and tag values that a filter names.
fn value_count(filter: &Filter) -> usize {
    filter.ids.as_ref().map_or(0, BTreeSet::len)
        + filter.authors.as_ref().map_or(0, BTreeSet::len)
        + filter.kinds.as_ref().map_or(0, BTreeSet::len)
        + filter.generic_tags.values().map(|values| 1 + values.len()).sum::<usize>()
}

fn part<'de, T: Deserialize<'de>>(parts: &[&'de RawValue], index: usize) -> Option<T> {
    serde_json::from_str(parts.get(index)?.get()).ok()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `["EVENT", name, event]` without the event and what follows it.
pub(super) fn event_head(name: &str) -> String {
    format!(r#"["EVENT",{},"#, quoted(name))
}

/// `["OK", id, taken, words]`
pub(super) fn ok(id: &EventId, is_taken: bool, words: &str) -> String {
    format!(r#"["OK","{id}",{is_taken},{}]"#, quoted(words))
}

/// `["EOSE", name]`
pub(super) fn end_of_stored(name: &str) -> String {
    format!(r#"["EOSE",{}]"#, quoted(name))
}

/// `["CLOSED", name, words]`
pub(super) fn closed(name: &str, words: &str) -> String {
    format!(r#"["CLOSED",{},{}]"#, quoted(name), quoted(words))
}

/// `["NOTICE", words]`
pub(super) fn notice(words: &str) -> String {
    format!(r#"["NOTICE",{}]"#, quoted(words))
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind, Tag};

    use super::*;

    fn refusal(text: &str) -> Refusal {
        ClientMessage::parse(text).expect_err(text)
    }

    #[test]
    fn event_is_forwarded_as_it_came() {
        let event = EventBuilder::new(Kind::from(24_212), "x").sign_with_keys(&Keys::generate()).unwrap();
        let spaced = event.as_json().replacen(':', " : ", 1);
        for (before, after) in [(r#"["EVENT","#, "]"), ("[\"EVENT\", \n", "\t]"), (r#" [ "EVENT" , "#, " ] ")]
        {
            let text = format!("{before}{spaced}{after}");
            let ClientMessage::Event(parsed, raw) = ClientMessage::parse(&text).unwrap() else {
                panic!("no event")
            };
            assert_eq!((parsed.whole(), raw), (event.clone(), spaced.as_str()));
        }
        for (before, after) in [("[\"EVENT\",\u{a0}", "]"), (r#"["EVENT","#, ",1]"), (r#"["EVENT","#, "}]")] {
            ClientMessage::parse(&format!("{before}{spaced}{after}")).unwrap_err();
        }
    }

    #[test]
    fn malformed_messages_are_answered() {
        for text in
            ["", "{}", "[]", "[1]", "null", r#"["EVENT"]"#, r#"["REQ"]"#, r#"["REQ",1,{}]"#, r#"["X"]"#]
        {
            assert!(matches!(refusal(text), Refusal::Notice(_)), "{text}");
        }
        assert!(matches!(refusal(&"[".repeat(1_000_000)), Refusal::Notice(_)));
        assert!(matches!(refusal(r#"["REQ","a"]"#), Refusal::Request(..)));
        assert!(matches!(refusal(r#"["REQ","a",{"kinds":"all"}]"#), Refusal::Request(..)));
        let id = EventId::all_zeros();
        let text = format!(r#"["EVENT",{{"id":"{id}","kind":-1}}]"#);
        assert_eq!(refusal(&text).answer(), format!(r#"["OK","{id}",false,"invalid: not an event"]"#));
    }

    #[test]
    fn filters_are_bounded_in_number_and_size() {
        let many = format!(r#"["REQ","a"{}]"#, ",{}".repeat(FILTER_COUNT_MAX + 1));
        assert!(matches!(refusal(&many), Refusal::Request(..)));
        let values: Vec<String> = (0..=FILTER_VALUE_COUNT_MAX).map(|value| format!("\"{value}\"")).collect();
        let large = format!(r##"["REQ","a",{{"#x":[{}]}}]"##, values.join(","));
        assert!(matches!(refusal(&large), Refusal::Request(..)));
        let long = format!(r#"["REQ","{}",{{}}]"#, "n".repeat(SUBSCRIPTION_NAME_LEN_MAX + 1));
        assert!(matches!(refusal(&long), Refusal::Notice(_)));
    }

    #[test]
    fn events_are_bounded_in_tags() {
        let tags = (0..=EVENT_TAG_COUNT_MAX).map(|_| Tag::identifier("d"));
        let event =
            EventBuilder::new(Kind::from(24_212), "").tags(tags).sign_with_keys(&Keys::generate()).unwrap();
        let text = format!(r#"["EVENT",{}]"#, event.as_json());
        assert!(matches!(refusal(&text), Refusal::Event(id, _) if id == event.id));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(end_of_stored("a\"b\n"), "[\"EOSE\",\"a\\\"b\\n\"]");
        assert_eq!(closed("a", "error: x"), r#"["CLOSED","a","error: x"]"#);
    }
}
