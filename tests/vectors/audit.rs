//! Vectors of the extension `audit` (docs/protocol.md), written by another program from that page.

use blobdvm::types::limits::EVENT_LEN_MAX;
use blobdvm::types::merkle::{leaf_count, merkle_root};
use blobdvm::types::{AuditNonce, BlobHash, MerkleRoot};
use blobdvm::wire::{AUDIT_KIND, Action, AuditAnswer, Draft, Proof, REQUEST_KIND, Request, audit_position};
use nostr::{Event, Keys, Tag};
use serde_json::{Value, json};

use super::text;

/// Whether a vector is accepted as what it says it is.
pub(super) fn is_accepted(vector: &Value) -> bool {
    match text(vector, "what") {
        "proof" => holds(vector),
        "request" => is_request(text(vector, "content")),
        "answer" => AuditAnswer::parse(&event(AUDIT_KIND, text(vector, "content"))).is_ok(),
        other => panic!("{other}"),
    }
}

/// Checks what a right vector says besides.
pub(super) fn check(vector: &Value) {
    assert!(is_accepted(vector), "{vector}");
    if text(vector, "what") == "proof" {
        let blob = blob(vector);
        assert_eq!(BlobHash::of(&blob).to_string(), text(vector, "hash"));
        assert_eq!(merkle_root(&blob).to_string(), text(vector, "root"));
        let proof = Proof::of(&blob, vector["position"].as_u64().unwrap()).unwrap();
        assert_eq!(proof, decoded(vector).unwrap());
    }
}

fn is_request(content: &str) -> bool {
    match Request::parse(&event(REQUEST_KIND, content)) {
        Ok(Request { action: Action::Audit { .. }, .. }) => true,
        Ok(other) => panic!("{other:?}"),
        Err(_) => false,
    }
}

/// As a client checks a sample of its own.
fn holds(vector: &Value) -> bool {
    let nonce: AuditNonce = text(vector, "nonce").parse().unwrap();
    let hash: BlobHash = text(vector, "hash").parse().unwrap();
    let root: MerkleRoot = text(vector, "root").parse().unwrap();
    let index = u32::try_from(vector["sample_index"].as_u64().unwrap()).unwrap();
    let leaves = leaf_count(vector["blob_len"].as_u64().unwrap());
    let position = audit_position(&nonce, index, &hash, leaves).unwrap();
    assert_eq!(position, vector["position"].as_u64().unwrap());
    decoded(vector).is_some_and(|proof| proof.holds(position, leaves, &root))
}

fn decoded(vector: &Value) -> Option<Proof> {
    let content = json!({"nonce": vector["nonce"], "samples": [vector["proof"]]}).to_string();
    AuditAnswer::parse(&event(AUDIT_KIND, &content)).ok()?.samples.remove(0)
}

fn blob(vector: &Value) -> Vec<u8> {
    let len = usize::try_from(vector["blob_len"].as_u64().unwrap()).unwrap();
    (0..len).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

fn event(kind: u16, content: &str) -> Event {
    assert!(content.len() < EVENT_LEN_MAX);
    let id = "01".repeat(32);
    let address = format!("31999:{id}:blob-storage-v1");
    let tags = [["a", &address], ["e", &id], ["p", &id]].map(|tag| Tag::parse(tag).unwrap()).into();
    let keys = Keys::parse(&id).unwrap();
    Draft { kind, content: content.to_owned(), tags }.sign(&keys, blobdvm::types::Timestamp(1))
}
