//! Vectors of the direct path (docs/protocol.md), written by another program from that page.

use blobdvm::types::ProviderId;
use blobdvm::wire::direct::{Ack, Encoded, Hello, Introduction, Proof};
use blobdvm::wire::{DirectId, DirectMessage, DirectStore};
use serde_json::Value;

use super::{array, bytes, text};

/// Whether a vector is accepted as what it says it is.
pub(super) fn is_accepted(vector: &Value) -> bool {
    let found = bytes(vector, "bytes");
    match text(vector, "what") {
        "message" => DirectMessage::decode(found.into()).is_ok(),
        "hello" => Hello::decode(&found).is_ok(),
        "ack" => Ack::decode(&found).is_ok(),
        "introduction" => Introduction::decode(&found).is_ok(),
        "provider proof" => {
            Proof::decode(&found).is_ok_and(|proof| proof.is_of_provider(&array(vector, "handshake")))
        }
        "client proof" => {
            let provider = ProviderId::parse(text(vector, "provider")).unwrap();
            let holds = |proof: Proof| proof.is_of_client(&array(vector, "handshake"), &provider);
            Proof::decode(&found).is_ok_and(holds)
        }
        other => panic!("{other}"),
    }
}

/// Checks what a right vector says besides.
pub(super) fn check(vector: &Value) {
    assert!(is_accepted(vector), "{vector}");
    if text(vector, "what") == "message" {
        let message = DirectMessage::decode(bytes(vector, "bytes").into()).unwrap();
        assert_eq!(message.id(), DirectId(0x0102_0304));
        assert_eq!(meaning(&message), text(vector, "means"));
        let Encoded { head, data } = message.encode();
        assert_eq!([&head[..], &data].concat(), bytes(vector, "bytes"));
    }
}

fn meaning(message: &DirectMessage) -> String {
    let list = |word: &str, hashes: &[_]| {
        let names = hashes.iter().map(|hash| format!(" {hash}"));
        word.to_owned() + &names.collect::<String>()
    };
    match message {
        DirectMessage::Request { hash, .. } => format!("request {hash}"),
        DirectMessage::Response { hash, data, .. } => format!("response {hash} {}", hex::encode(data)),
        DirectMessage::Have { hashes, .. } => list("have", hashes),
        DirectMessage::Want { hashes, .. } => list("want", hashes),
        DirectMessage::NotFound { hash, .. } => format!("not found {hash}"),
        DirectMessage::Error { code, text, .. } => format!("error {code} {text}"),
        DirectMessage::Store(DirectStore { at, retention, encrypt, hash, data, .. }) => {
            let retention = retention.map_or("as announced".to_owned(), |time| time.as_secs().to_string());
            let rest = if *encrypt { "encrypted" } else { "plain" };
            format!("store {} {retention} {rest} {hash} {}", at.0, hex::encode(data))
        }
        DirectMessage::Ask { at, content, .. } => {
            assert!(DirectMessage::read_ask(content).is_ok());
            format!("ask {} {content}", at.0)
        }
        DirectMessage::Answer { content, .. } => {
            assert!(DirectMessage::read_answer(content).is_ok());
            format!("answer {content}")
        }
        DirectMessage::Proofs { content, .. } => format!("proofs {content}"),
    }
}
