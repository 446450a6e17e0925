//! The two encodings of an event that NIP-01 fixes: the text whose hash is its id, and its JSON.
//!
//! Events here carry tens of kilobytes of base64. Their content is hashed and copied once, as it stands, where a
//! general encoder copies it several times on its way.

use nostr::secp256k1::Message;
use nostr::secp256k1::schnorr::Signature;
use nostr::{Event, EventId, Kind, PublicKey, SECP256K1, Tag, Tags, Timestamp};
use sha2::{Digest, Sha256};

/// The id of an event: the SHA-256 of `[0,author,created_at,kind,tags,content]` as JSON without blanks.
pub fn event_id(
    author: &PublicKey,
    created_at: Timestamp,
    kind: Kind,
    tags: &Tags,
    content: &str,
) -> EventId {
    let head = Sha256::new_with_prefix(id_head(author, created_at, kind, tags));
    hash(head, content, is_plain(content))
}

/// Whether the id is the hash of the event's content, and the signature its author's.
pub fn verifies(event: &Event) -> bool {
    Envelope::of(event).verifies_with(&event.content, is_plain(&event.content))
}

/// All that it takes to verify an event beside its content. It is of one size, however long the event's tags are.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    id: EventId,
    author: PublicKey,
    signature: Signature,
    /// Has taken in what comes before the content.
    head: Sha256,
}

impl Envelope {
    pub(super) fn of(event: &Event) -> Self {
        let Event { id, pubkey: author, created_at, kind, tags, sig: signature, .. } = event;
        let head = Sha256::new_with_prefix(id_head(author, *created_at, *kind, tags));
        Self { id: *id, author: *author, signature: *signature, head }
    }

    /// Whether the id is the hash of the event with this content, and the signature its author's; `is_plain` says whether
    /// the content stands in JSON as it is.
    pub(super) fn verifies_with(&self, content: &str, is_plain: bool) -> bool {
        let id = hash(self.head.clone(), content, is_plain);
        let message = Message::from_digest(id.to_bytes());
        let is_signed = |key| SECP256K1.verify_schnorr(&self.signature, &message, &key).is_ok();
        id == self.id && self.author.xonly().is_ok_and(is_signed)
    }
}

/// What comes before the content in the text whose hash is the id.
fn id_head(author: &PublicKey, created_at: Timestamp, kind: Kind, tags: &Tags) -> String {
    let mut head = format!(r#"[0,"{author}",{created_at},{kind},"#);
    push_tags(&mut head, tags);
    head.push(',');
    head
}

fn hash(head: Sha256, content: &str, is_plain: bool) -> EventId {
    let hash = if is_plain {
        head.chain_update(b"\"").chain_update(content).chain_update(b"\"]")
    } else {
        let mut escaped = String::with_capacity(content.len() + 64);
        push_text(&mut escaped, content);
        head.chain_update(escaped).chain_update(b"]")
    };
    EventId::from_byte_array(hash.finalize().into())
}

/// The event as JSON.
pub fn to_json(event: &Event) -> String {
    let mut json = String::new();
    push_event(&mut json, event);
    json
}

/// The message by which a client publishes the event: `["EVENT",{…}]`.
pub fn publishing(event: &Event) -> String {
    let mut json = r#"["EVENT","#.to_owned();
    push_event(&mut json, event);
    json.push(']');
    json
}

fn push_event(json: &mut String, event: &Event) {
    let (head, tail) = (head(event), tail(event));
    json.reserve(head.len() + event.content.len() + tail.len() + 3);
    json.push_str(&head);
    push_text(json, &event.content);
    json.push_str(&tail);
}

/// What comes before the content.
fn head(event: &Event) -> String {
    let Event { id, pubkey, created_at, kind, tags, .. } = event;
    let mut json =
        format!(r#"{{"id":"{id}","pubkey":"{pubkey}","created_at":{created_at},"kind":{kind},"tags":"#);
    push_tags(&mut json, tags);
    json.push_str(r#","content":"#);
    json
}

/// What comes after the content.
fn tail(event: &Event) -> String {
    format!(r#","sig":"{}"}}"#, event.sig)
}

fn push_tags(json: &mut String, tags: &Tags) {
    push_list(json, tags.iter().map(Tag::as_slice), |json, tag| {
        push_list(json, tag, |json, text| push_text(json, text));
    });
}

fn push_list<T>(json: &mut String, items: impl IntoIterator<Item = T>, push: impl Fn(&mut String, T)) {
    json.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push(json, item);
    }
    json.push(']');
}

fn push_text(json: &mut String, text: &str) {
    if is_plain(text) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
    }
}

/// Whether the text stands in JSON as it is.
pub(super) fn is_plain(text: &str) -> bool {
    // Bytes are gathered in a byte and without an early end, which compiles to vector instructions.
    let gather = |found: u8, byte: &u8| {
        found | u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\')
    };
    text.as_bytes().chunks(4_096).all(|part| part.iter().fold(0, gather) == 0)
}

#[cfg(test)]
mod tests {
    use nostr::{ClientMessage, EventBuilder, JsonUtil, Keys};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_json_and_verdicts_are_those_of_the_general_encoder(
            content in "(?s).{0,40}|[\\x00-\\x7f]{0,40}",
            tags in proptest::collection::vec(proptest::collection::vec("(?s).{0,8}|[\\x00-\\x7f]{0,8}", 1..4), 0..4),
            kind in any::<u16>(),
        ) {
            let tags: Vec<Tag> = tags.into_iter().map(|tag| Tag::parse(tag).unwrap()).collect();
            let keys = Keys::parse(&"01".repeat(32)).unwrap();
            let builder = EventBuilder::new(Kind::from_u16(kind), content).tags(tags).custom_created_at(Timestamp::from_secs(7));
            let event = builder.sign_with_keys(&keys).unwrap();
            prop_assert_eq!(event_id(&event.pubkey, event.created_at, event.kind, &event.tags, &event.content), event.id);
            prop_assert_eq!(to_json(&event), event.as_json());
            prop_assert_eq!(ClientMessage::from_json(publishing(&event)).unwrap(), ClientMessage::event(event.clone()));
            prop_assert!(verifies(&event));
        }
    }

    /// An event from the open network, signed by another program, as the Nostr crates publish it among their vectors.
    const PUBLISHED: &str = r#"{"id":"2be17aa3031bdcb006f0fce80c146dea9c1c0268b0af2398bb673365c6444d45","pubkey":"f86c44a2de95d9149b51c6a29afeabba264c18e2fa7c49de93424a0c56947785","created_at":1640839235,"kind":4,"tags":[["p","13adc511de7e1cfcf1c6b7f6365fb5a03442d7bcacf565ea57fa7770912c023d"]],"content":"uRuvYr585B80L6rSJiHocw==?iv=oh6LVqdsYYol3JfFnXTbPA==","sig":"a5d9290ef9659083c490b303eb7ee41356d8778ff19f2f91776c8dc4443388a64ffcf336e61af4c25c05ac3ae952d1ced889ed655b67790891222aaa15b99fdd"}"#;

    #[test]
    fn a_published_event_has_its_id_its_json_and_a_valid_signature() {
        let event = Event::from_json(PUBLISHED).unwrap();
        assert_eq!(
            event_id(&event.pubkey, event.created_at, event.kind, &event.tags, &event.content),
            event.id
        );
        assert_eq!(to_json(&event), PUBLISHED);
        assert!(verifies(&event));
    }

    #[test]
    fn an_event_that_was_changed_anywhere_does_not_verify() {
        let keys = Keys::parse(&"01".repeat(32)).unwrap();
        let event = EventBuilder::new(Kind::from_u16(24_212), "content").sign_with_keys(&keys).unwrap();
        let mut changed: Vec<Event> = vec![event.clone(); 6];
        changed[0].content.push('x');
        changed[1].tags.push(Tag::parse(["t", "x"]).unwrap());
        changed[2].created_at = Timestamp::from_secs(1);
        changed[3].kind = Kind::from_u16(24_213);
        changed[4].pubkey = Keys::parse(&"02".repeat(32)).unwrap().public_key();
        changed[5].id = EventId::all_zeros();
        let other = EventBuilder::new(Kind::from_u16(24_212), "other").sign_with_keys(&keys).unwrap();
        let mut forged = event.clone();
        forged.sig = other.sig;
        assert!(verifies(&event));
        assert!(changed.iter().chain([&forged]).all(|event| !verifies(event)));
    }
}
