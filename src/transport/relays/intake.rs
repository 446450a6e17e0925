//! Where events come in: read from a relay's message beside the SDK, once, and handed over.

use std::borrow::Cow;

use nostr::SubscriptionId;
use serde::Deserialize;

use crate::types::limits::EVENT_TAG_COUNT_MAX;
use crate::wire::Unverified;

/// A relay's `["EVENT", NAME, {…}]` (NIP-01).
#[derive(Deserialize)]
struct Delivery<'a>(#[serde(borrow)] Cow<'a, str>, SubscriptionId, #[serde(borrow)] Unverified<'a>);

/// Whether a message is `["EVENT", …`.
pub(super) fn is_event(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('[').map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with(r#""EVENT""#))
}

/// The event of a message, and the subscription it came under; `None` for anything else. It is not verified.
pub(in crate::transport) fn read(text: &str) -> Option<(SubscriptionId, Unverified<'_>)> {
    let Delivery(word, name, event) = serde_json::from_str(text).ok()?;
    (word == "EVENT" && event.tag_count() <= EVENT_TAG_COUNT_MAX).then_some((name, event))
}

#[cfg(test)]
mod tests {
    use nostr::{Event, EventBuilder, JsonUtil, Keys, Kind, Tag};

    use super::*;

    fn event(tag_count: usize) -> Event {
        let tags = (0..tag_count).map(|_| Tag::parse(["t", "x"]).unwrap());
        let keys = Keys::parse(&"01".repeat(32)).unwrap();
        EventBuilder::new(Kind::from_u16(24_212), "content").tags(tags).sign_with_keys(&keys).unwrap()
    }

    #[test]
    fn event_is_read_with_its_subscription() {
        let event = event(1);
        for (name, text) in [("s0", r#"["EVENT","s0","#), ("", " [ \"EVENT\" ,\"\",")] {
            let text = format!("{text}{}]", event.as_json());
            assert!(is_event(&text));
            let (read_name, read_event) = read(&text).unwrap();
            assert_eq!((read_name, read_event.whole()), (SubscriptionId::new(name), event.clone()));
        }
    }

    #[test]
    fn what_is_no_event_or_has_too_many_tags_is_nothing() {
        let json = event(0).as_json();
        let many = |count| format!(r#"["EVENT","s",{}]"#, event(count).as_json());
        assert!(read(&many(EVENT_TAG_COUNT_MAX)).is_some());
        let texts = [
            many(EVENT_TAG_COUNT_MAX + 1),
            format!(r#"["EVENT",{json}]"#),
            format!(r#"["EVENT","s",{json},1]"#),
            format!(r#"["EVENTS","s",{json}]"#),
            format!(r#"["EVENT","s",{json}"#),
            r#"["EVENT","s",{}]"#.to_owned(),
            "[]".to_owned(),
        ];
        for text in texts {
            assert_eq!(read(&text), None, "{text:.60}");
        }
    }
}
