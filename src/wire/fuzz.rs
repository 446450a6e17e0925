//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of this layer is broken.
//!
//! The law of every parser: no panic, no more memory than the limits allow, and whatever is accepted is read again as
//! the same value when it was written.

use std::fmt::Debug;

use bytes::Bytes;
use nostr::{Event, JsonUtil, Keys};

use crate::types::{ClientId, MerkleRoot, ProviderId, Timestamp};
use crate::wire::blossom::{Grant, Token, Wanted, blob_of_path};
use crate::wire::direct::{Ack, Beginning, Encoded, Hello, Introduction, Proof};
use crate::wire::{
    AUDIT_KIND, Announcement, AuditAnswer, Chunk, ChunkSet, DirectMessage, Draft, REQUEST_KIND,
    RESPONSE_KIND, Request, Response, Status, Upload, WireError, tags,
};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 7] = [
    ("wire_event", event),
    ("wire_request", request),
    ("wire_response", response),
    ("wire_chunk_set", chunk_set),
    ("wire_audit", audit),
    ("wire_direct", direct),
    ("wire_blossom", blossom),
];

/// An event's JSON, as a relay brings it; read as every kind.
pub fn event(bytes: &[u8]) {
    let Ok(event) = Event::from_json(bytes) else { return };
    round_trip(Announcement::parse(&event), Announcement::to_draft, Announcement::parse);
    round_trip(Request::parse(&event), Request::to_draft, Request::parse);
    round_trip(Response::parse(&event), Response::to_draft, Response::parse);
    round_trip(Chunk::parse(&event), Chunk::to_draft, Chunk::parse);
    round_trip(Upload::parse(&event), Upload::to_draft, Upload::parse);
    round_trip(AuditAnswer::parse(&event), AuditAnswer::to_draft, AuditAnswer::parse);
    round_trip(Status::parse(&event), Status::to_draft, Status::parse);
}

/// The content of a request.
pub fn request(bytes: &[u8]) {
    let Ok(content) = str::from_utf8(bytes) else { return };
    let address = tags::address(ProviderId::new([1; 32]));
    let tags = vec![tags::tag(["a", &address])];
    let draft = Draft { kind: REQUEST_KIND, content: content.to_owned(), tags };
    round_trip(Request::parse(&sign(draft)), Request::to_draft, Request::parse);
}

/// The content of a response.
pub fn response(bytes: &[u8]) {
    let Ok(content) = str::from_utf8(bytes) else { return };
    let id = "01".repeat(32);
    let tags = vec![tags::tag(["e", &id]), tags::tag(["p", &id])];
    let draft = Draft { kind: RESPONSE_KIND, content: content.to_owned(), tags };
    round_trip(Response::parse(&sign(draft)), Response::to_draft, Response::parse);
}

/// A message of the direct path: after the handshake, or of it.
pub fn direct(bytes: &[u8]) {
    if let Ok(message) = DirectMessage::decode(Bytes::copy_from_slice(bytes)) {
        if let DirectMessage::Ask { content, .. } = &message {
            let _ = DirectMessage::read_ask(content);
        }
        if let DirectMessage::Answer { content, .. } = &message {
            let _ = DirectMessage::read_answer(content);
        }
        if let DirectMessage::Proofs { content, .. } = &message {
            let _ = DirectMessage::read_proofs(content, ClientId::new([1; 32]));
        }
        // What its first bytes say is what all of them say.
        let beginning = Beginning::read(bytes, bytes.len());
        let carried = match &message {
            DirectMessage::Store(store) => Some((store.id, store.data.len() as u64)),
            DirectMessage::Response { id, data, .. } => Some((*id, data.len() as u64)),
            _ => None,
        };
        assert_eq!(beginning.map(|beginning| (beginning.id(), beginning.blob_len())), carried);
        let Encoded { head, data } = message.clone().encode();
        let again = [&head[..], &data].concat();
        assert!(again.len() <= bytes.len(), "nothing is longer than it was");
        assert_eq!(DirectMessage::decode(again.into()).expect("it was read before"), message);
    }
    let same = |again: Option<Vec<u8>>| assert!(again.is_none_or(|again| again == bytes), "canonical");
    same(Hello::decode(bytes).ok().map(|hello| hello.encode()));
    same(Ack::decode(bytes).ok().map(|ack| ack.encode()));
    same(Introduction::decode(bytes).ok().map(|introduction| introduction.encode()));
    if let Ok(proof) = Proof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
        assert!(!proof.is_of_provider(&[0; 32]), "nobody has signed that");
    }
}

/// The content of an answer to an audit. What is read of it proves nothing of a blob that the bytes were not made from.
pub fn audit(bytes: &[u8]) {
    let Ok(content) = str::from_utf8(bytes) else { return };
    let id = "01".repeat(32);
    let tags = vec![tags::tag(["e", &id]), tags::tag(["p", &id])];
    let draft = Draft { kind: AUDIT_KIND, content: content.to_owned(), tags };
    let parsed = AuditAnswer::parse(&sign(draft));
    for proof in parsed.iter().flat_map(|answer| answer.samples.iter().flatten()) {
        assert!(
            !proof.holds(0, 3, &MerkleRoot::new([0; 32])),
            "a root was found for which SHA-256 has no bytes"
        );
    }
    round_trip(parsed, AuditAnswer::to_draft, AuditAnswer::parse);
}

/// The text of a chunk set; it has one spelling only.
pub fn chunk_set(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(set) = ChunkSet::parse(text) else { return };
    assert_eq!(set.to_string(), text);
    assert_eq!(set.iter().collect::<ChunkSet>(), set);
}

/// What a Blossom server reads of a request: the header `Authorization`, the event in it, a range, a path.
pub fn blossom(bytes: &[u8]) {
    if let Ok(event) = Event::from_json(bytes) {
        round_trip(Grant::parse(&event), Grant::to_draft, Grant::parse);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::parse(text) {
        let names = token.grant.servers.clone();
        let allows = |now| token.check(token.grant.verb, &names, now).is_ok();
        assert!(!allows(token.grant.expires), "an end is an end");
    }
    for len in [0, 1, 10, u64::MAX] {
        if let Wanted::Part { offset, len: part } = Wanted::parse(text, len) {
            let end = offset.checked_add(part).expect("a part ends in the blob");
            assert!(part > 0 && end <= len, "a part lies in the blob");
        }
    }
    if let Ok(hash) = blob_of_path(text) {
        assert!(text.contains(&hash.to_string()), "a name has one spelling");
    }
}

fn round_trip<T: Debug + PartialEq>(
    parsed: Result<T, WireError>,
    to_draft: fn(&T) -> Draft,
    parse: fn(&Event) -> Result<T, WireError>,
) {
    let Ok(value) = parsed else { return };
    let again = parse(&sign(to_draft(&value)));
    assert_eq!(again.expect("what was read is written in a form that can be read"), value);
}

fn sign(draft: Draft) -> Event {
    let keys = Keys::parse("0101010101010101010101010101010101010101010101010101010101010101");
    draft.sign(&keys.expect("a number below the order of the curve is a key"), Timestamp(1))
}
