//! Laws of the direct path's messages.

use std::time::Duration;

use bytes::Bytes;
use nostr::Keys;

use super::*;
use crate::types::limits::{
    BATCH_COUNT_MAX, BLOB_LEN_MAX, DIRECT_TEXT_LEN_MAX, ENDPOINT_COUNT_MAX, RELAY_URL_LEN_MAX,
};
use crate::types::{AuditNonce, BlobHash, ProviderId, Timestamp};
use crate::wire::tags::tag;
use crate::wire::{
    ANNOUNCEMENT_KIND, Action, Announcement, Answer, Draft, ErrorCode, Hashes, SERVICE, WireError,
};

const ID: DirectId = DirectId(0x0102_0304);
const HASH: BlobHash = BlobHash::new([7; 32]);

fn messages() -> Vec<DirectMessage> {
    let store = |retention, encrypt| {
        let data = Bytes::from_static(b"blob");
        DirectMessage::Store(DirectStore { id: ID, at: Timestamp(9), retention, encrypt, hash: HASH, data })
    };
    let stat = Action::Stat(Hashes::Many(vec![HASH, HASH]));
    vec![
        DirectMessage::Request { id: ID, hash: HASH },
        DirectMessage::Response { id: ID, hash: HASH, data: Bytes::from_static(b"blob") },
        DirectMessage::Response { id: ID, hash: HASH, data: Bytes::new() },
        DirectMessage::Have { id: ID, hashes: vec![HASH; 3] },
        DirectMessage::Have { id: ID, hashes: Vec::new() },
        DirectMessage::Want { id: ID, hashes: vec![HASH; BATCH_COUNT_MAX] },
        DirectMessage::NotFound { id: ID, hash: HASH },
        DirectMessage::Error { id: ID, code: ErrorCode::Busy, text: "later".to_owned() },
        store(None, false),
        store(Some(Duration::from_secs(60)), true),
        DirectMessage::ask(ID, Timestamp(9), &stat, None),
        DirectMessage::answer(ID, &Answer::Deleted(HASH), None),
    ]
}

fn bytes(message: DirectMessage) -> Bytes {
    let Encoded { head, data } = message.encode();
    [Bytes::from(head), data].concat().into()
}

#[test]
fn every_message_round_trips() {
    for message in messages() {
        let encoded = bytes(message.clone());
        assert!(encoded.len() as u64 >= message.data_len());
        assert_eq!(DirectMessage::decode(encoded).unwrap(), message);
    }
}

#[test]
fn response_is_laid_out_as_in_the_peer_protocol() {
    let message = DirectMessage::Response { id: ID, hash: HASH, data: Bytes::from_static(b"blob") };
    assert_eq!(&bytes(message)[..], [&[3, 1, 2, 3, 4], &[7; 32][..], b"blob"].concat());
}

#[test]
fn message_that_is_cut_short_is_refused_or_another_one() {
    for message in messages() {
        let whole = bytes(message.clone());
        for len in 0..whole.len().min(200) {
            assert_ne!(DirectMessage::decode(whole.slice(..len)).ok(), Some(message.clone()), "{len}");
        }
    }
}

#[test]
fn what_is_asked_reads_as_it_would_from_an_event() {
    let actions = [
        Action::Stat(Hashes::Many(vec![HASH])),
        Action::Renew { hashes: Hashes::One(HASH), retention: Some(Duration::from_secs(60)) },
        Action::Delete(Hashes::One(HASH)),
        Action::List { after: Some(HASH), limit: Some(3) },
        Action::Audit { nonce: AuditNonce::new([1; 32]), hashes: vec![HASH] },
    ];
    for action in actions {
        let DirectMessage::Ask { content, .. } = DirectMessage::ask(ID, Timestamp(1), &action, None) else {
            unreachable!("an ask is an ask");
        };
        assert_eq!(DirectMessage::read_ask(&content).unwrap(), (action, None));
    }
    let retrieve = format!(r#"{{"action":"retrieve","hash":"{HASH}"}}"#);
    for content in [retrieve.as_str(), r#"{"action":"store","data":"AA=="}"#, r#"{"action":"fly"}"#, ""] {
        assert!(DirectMessage::read_ask(content).is_err(), "{content}");
    }
}

#[test]
fn blob_beyond_the_limit_is_refused() {
    let data = Bytes::from(vec![0; usize::try_from(BLOB_LEN_MAX).unwrap() + 1]);
    let message = DirectMessage::Response { id: ID, hash: HASH, data };
    assert!(matches!(DirectMessage::decode(bytes(message)), Err(WireError::BlobTooLarge { .. })));
}

#[test]
fn handshake_messages_round_trip_and_nothing_else_is_taken_for_one() {
    let messages = |cipher| {
        (
            Hello { cipher, noise: [3; NOISE_FIRST_LEN] },
            Ack { cipher, noise: [4; NOISE_SECOND_LEN], sealed_proof: [5; SEALED_PROOF_LEN] },
            Introduction { cipher, sealed_proof: [6; SEALED_PROOF_LEN] },
        )
    };
    for (version, cipher) in [(1, DirectCipher::ChaCha20Poly1305), (2, DirectCipher::Aes256Gcm)] {
        let (hello, ack, introduction) = messages(cipher);
        assert_eq!(hello.encode()[1], version);
        assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
        assert_eq!(Ack::decode(&ack.encode()).unwrap(), ack);
        assert_eq!(Introduction::decode(&introduction.encode()).unwrap(), introduction);
    }
    let (hello, ack, introduction) = messages(DirectCipher::ChaCha20Poly1305);
    for (at, to) in [(0, 2), (1, 0), (1, 3)] {
        let mut wrong = [hello.encode(), ack.encode(), introduction.encode()];
        for bytes in &mut wrong {
            bytes[at] = to;
        }
        assert!(Hello::decode(&wrong[0]).is_err());
        assert!(Ack::decode(&wrong[1]).is_err());
        assert!(Introduction::decode(&wrong[2]).is_err());
    }
    assert!(Ack::decode(&introduction.encode()).is_err());
    assert!(Hello::decode(&[]).is_err());
}

#[test]
fn proof_holds_for_its_handshake_role_and_provider_alone() {
    let keys = Keys::parse(&"01".repeat(32)).unwrap();
    let provider = ProviderId::new(keys.public_key().to_bytes());
    let other = ProviderId::new([2; 32]);
    let (mine, theirs) = (Proof::of_client(&keys, &[1; 32], &provider), Proof::of_provider(&keys, &[1; 32]));
    assert!(mine.is_of_client(&[1; 32], &provider) && theirs.is_of_provider(&[1; 32]));
    assert!(!mine.is_of_client(&[2; 32], &provider) && !theirs.is_of_provider(&[2; 32]));
    assert!(!mine.is_of_client(&[1; 32], &other));
    assert!(!mine.is_of_provider(&[1; 32]) && !theirs.is_of_client(&[1; 32], &provider));
    assert_eq!(Proof::decode(&mine.encode()).unwrap(), mine);
    for at in [0, 31, 32, 95] {
        let mut changed = mine.encode();
        changed[at] ^= 1;
        assert!(!Proof::decode(&changed).unwrap().is_of_client(&[1; 32], &provider), "{at}");
    }
}

#[test]
fn text_beyond_the_limit_is_refused() {
    for (len, is_taken) in [(DIRECT_TEXT_LEN_MAX, true), (DIRECT_TEXT_LEN_MAX + 1, false)] {
        let message = DirectMessage::Answer { id: ID, content: "x".repeat(len) };
        assert_eq!(DirectMessage::decode(bytes(message)).is_ok(), is_taken, "{len}");
    }
}

#[test]
fn endpoints_of_an_announcement_are_few_and_short_and_websockets() {
    let long = format!("ws://192.0.2.1/{}", "x".repeat(RELAY_URL_LEN_MAX));
    let named = ["direct", "http://192.0.2.1", &long, "ws://192.0.2.1:1", "nothing"];
    let many = vec!["ws://192.0.2.1:2"; 2 * ENDPOINT_COUNT_MAX];
    let tags = vec![tag(["d", SERVICE]), tag(named.into_iter().chain(many))];
    let draft = Draft { kind: ANNOUNCEMENT_KIND, content: String::new(), tags };
    let event = draft.sign(&Keys::parse(&"01".repeat(32)).unwrap(), Timestamp(1));
    let endpoints = Announcement::parse(&event).unwrap().endpoints;
    assert_eq!(endpoints.len(), ENDPOINT_COUNT_MAX - 3);
    assert_eq!(endpoints[0].as_str(), "ws://192.0.2.1:1");
    for telling in ["ws://192.0.2.1/?q=1", "ws://user@192.0.2.1", "ws://192.0.2.1/#part"] {
        let tags = vec![tag(["d", SERVICE]), tag(["direct", telling])];
        let draft = Draft { kind: ANNOUNCEMENT_KIND, content: String::new(), tags };
        let event = draft.sign(&Keys::parse(&"01".repeat(32)).unwrap(), Timestamp(1));
        assert!(Announcement::parse(&event).unwrap().endpoints.is_empty(), "{telling}");
    }
}
