//! Events as they came: read from their JSON once, verified when somebody wants them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use nostr::filter::MatchEventOptions;
use nostr::secp256k1::schnorr::Signature;
use nostr::{Event, EventId, Filter, Kind, PublicKey, Tags, Timestamp};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::wire::nip01::{self, Envelope};

/// An event that says of itself what it is. Its content stays where it was read, as long as nobody wants it.
///
/// It is read from JSON text, and from nothing else: what is borrowed from there stands there as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'a> {
    /// The event without its content.
    envelope: Event,
    content: Cow<'a, str>,
}

/// An event whose id is the hash of what it holds, signed by its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a>(Unverified<'a>);

impl<'a> Unverified<'a> {
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
        // Only a search (NIP-50) looks at contents; whatever else the filter says is cheaper to compare.
        let options = MatchEventOptions::new();
        filter.match_event(&self.envelope, options.nip50(false))
            && (filter.search.is_none() || filter.match_event(&self.clone().whole(), options))
    }

    /// The event, if its id is the hash of what it holds and the signature its author's.
    pub fn verified(self) -> Option<Verified<'a>> {
        // A text with escapes is made anew, and control characters are refused: what is borrowed is plain.
        let is_borrowed = matches!(self.content, Cow::Borrowed(_));
        debug_assert!(!is_borrowed || nip01::is_plain(&self.content), "it was read from JSON text");
        let is_plain = is_borrowed || nip01::is_plain(&self.content);
        Envelope::of(&self.envelope).verifies_with(&self.content, is_plain).then_some(Verified(self))
    }

    /// The event without its content, for whoever keeps that elsewhere.
    pub(crate) fn envelope(&self) -> &Event {
        &self.envelope
    }

    /// The event with its content, whether it verifies or not.
    pub(crate) fn whole(self) -> Event {
        let mut event = self.envelope;
        event.content = self.content.into_owned();
        event
    }
}

impl Verified<'_> {
    /// The event, with its content.
    pub fn into_event(self) -> Event {
        self.0.whole()
    }
}

impl<'a> Deref for Verified<'a> {
    type Target = Unverified<'a>;

    fn deref(&self) -> &Unverified<'a> {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Unverified<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

/// Takes a JSON object, where a derived reader would take an array of the values too, which no other client could read.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Unverified<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unverified<'de>, A::Error> {
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
        let Fields { id, pubkey, created_at, kind, tags, content, sig } =
            Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Unverified { envelope: Event::new(id, pubkey, created_at, kind, tags, "", sig), content })
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
                prop_assert_eq!(read.clone().verified().is_some(), !spoiled, "{}", json);
                prop_assert_eq!(read.whole(), event.clone());
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
        let event = event("words", Vec::new());
        let json = event.as_json();
        let (id, author, time, sig) = (event.id, event.pubkey, event.created_at, event.sig);
        for wrong in [
            format!(r#"["{id}","{author}",{time},24212,[],"words","{sig}"]"#),
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
