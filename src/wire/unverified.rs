//! Events as they came: read from their JSON once, and not verified.

use std::borrow::Cow;

use nostr::filter::MatchEventOptions;
use nostr::secp256k1::schnorr::Signature;
use nostr::{Event, EventId, Filter, Kind, PublicKey, Tags, Timestamp};
use serde::{Deserialize, Deserializer};

use crate::wire::nip01;

/// An event that says of itself what it is. Its content stays where it was read, as long as nobody wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'a> {
    /// The event without its content.
    envelope: Event,
    content: Cow<'a, str>,
}

impl Unverified<'_> {
    /// The id that it says it has.
    pub fn id(&self) -> EventId {
        self.envelope.id
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.envelope.kind
    }

    /// How many tags it has.
    pub fn tag_count(&self) -> usize {
        self.envelope.tags.len()
    }

    /// Whether the filter wants it.
    pub fn matches(&self, filter: &Filter) -> bool {
        let options = MatchEventOptions::new();
        // Only a search (NIP-50) looks at contents.
        match filter.search {
            None => filter.match_event(&self.envelope, options),
            Some(_) => filter.match_event(&self.clone().into_event(), options),
        }
    }

    /// Whether the id is the hash of the event's content, and the signature its author's.
    pub fn verifies(&self) -> bool {
        // What is borrowed stood in JSON as it is: a text with escapes is made anew, and control characters are refused.
        let is_plain = matches!(self.content, Cow::Borrowed(_)) || nip01::is_plain(&self.content);
        nip01::verifies_with(&self.envelope, &self.content, is_plain)
    }

    /// The event, with its content, verified or not.
    pub fn into_event(self) -> Event {
        let mut event = self.envelope;
        event.content = self.content.into_owned();
        event
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Unverified<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            id: EventId,
            pubkey: PublicKey,
            created_at: Timestamp,
            kind: Kind,
            tags: Tags,
            #[serde(borrow)]
            content: Cow<'a, str>,
            sig: Signature,
        }
        let Fields { id, pubkey, created_at, kind, tags, content, sig } = Fields::deserialize(deserializer)?;
        Ok(Self { envelope: Event::new(id, pubkey, created_at, kind, tags, "", sig), content })
    }
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, JsonUtil, Keys, Tag};
    use proptest::prelude::*;

    use super::*;

    fn event(content: &str, tags: Vec<Vec<String>>) -> Event {
        let tags = tags.into_iter().map(|tag| Tag::parse(tag).unwrap());
        let keys = Keys::parse(&"01".repeat(32)).unwrap();
        EventBuilder::new(Kind::from_u16(24_212), content).tags(tags).sign_with_keys(&keys).unwrap()
    }

    proptest! {
        #[test]
        fn event_is_what_the_general_decoder_reads(
            content in "(?s).{0,40}|[\\x00-\\x7f]{0,40}",
            tags in proptest::collection::vec(proptest::collection::vec("(?s).{0,8}", 1..4), 0..4),
            spoiled in any::<bool>(),
        ) {
            let mut event = event(&content, tags);
            if spoiled {
                event.content.push('x');
            }
            // The same text with escapes that need not be.
            let json = event.as_json();
            for json in [json.replace('x', "\\u0078").replace('/', "\\/"), json] {
                let read: Unverified<'_> = serde_json::from_str(&json).unwrap();
                prop_assert_eq!((read.id(), read.kind(), read.tag_count()), (event.id, event.kind, event.tags.len()));
                prop_assert_eq!(read.verifies(), !spoiled, "{}", json);
                prop_assert_eq!(read.into_event(), event.clone());
            }
        }
    }

    #[test]
    fn filters_match_what_they_match_of_the_whole_event() {
        let event = event("some words", vec![vec!["t".to_owned(), "x".to_owned()]]);
        let json = event.as_json();
        let read: Unverified<'_> = serde_json::from_str(&json).unwrap();
        let filters = [
            Filter::new().kind(event.kind).author(event.pubkey),
            Filter::new().hashtag("x"),
            Filter::new().search("words"),
            Filter::new().kind(Kind::TextNote),
            Filter::new().hashtag("y"),
            Filter::new().search("other"),
        ];
        assert_eq!(filters.map(|filter| read.matches(&filter)), [true, true, true, false, false, false]);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let json = event("words", Vec::new()).as_json();
        for wrong in [
            json.replace("\"words\"", "1"),
            json.replace("\"words\"", "\"wo\nrds\""),
            json.replace("\"sig\"", "\"seal\""),
            json.replace("24212", "-1"),
            json.replace(",\"kind\"", ",\"kind\":1,\"kind\""),
            "[]".to_owned(),
        ] {
            assert!(serde_json::from_str::<Unverified<'_>>(&wrong).is_err(), "{wrong}");
        }
    }
}
