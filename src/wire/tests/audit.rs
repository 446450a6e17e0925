//! Laws of kind 24214.

use super::*;
use crate::types::limits::{AUDIT_COUNT_MAX, AUDIT_PATH_COUNT_MAX};
use crate::types::merkle::{LEAF_LEN, leaf_count, merkle_root};

const NONCE: AuditNonce = AuditNonce::new([5; 32]);

fn blob(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

fn answer(samples: Vec<Option<Proof>>) -> AuditAnswer {
    let request = EventId::from_byte_array([3; 32]);
    let number = Some(RequestNumber(1));
    AuditAnswer { request, requester: ClientId::new([4; 32]), number, nonce: NONCE, samples }
}

#[test]
fn answer_round_trips_and_its_proofs_hold() {
    let blobs = [1, LEAF_LEN, LEAF_LEN + 1, 100_000].map(blob);
    let position = |index, blob: &Vec<u8>| {
        audit_position(&NONCE, index, &BlobHash::of(blob), leaf_count(blob.len() as u64)).unwrap()
    };
    let mut samples: Vec<_> =
        (0..).zip(&blobs).map(|(index, blob)| Proof::of(blob, position(index, blob))).collect();
    samples.push(None);
    let value = answer(samples);
    let event = signed(value.to_draft());
    assert_eq!(event.kind.as_u16(), AUDIT_KIND);
    let read = AuditAnswer::parse(&event).unwrap();
    assert_eq!(read, value);
    for ((index, blob), proof) in (0..).zip(&blobs).zip(read.samples) {
        let leaves = leaf_count(blob.len() as u64);
        assert!(proof.unwrap().holds(position(index, blob), leaves, &merkle_root(blob)));
    }
}

#[test]
fn every_leaf_can_be_asked_for_and_an_empty_blob_has_none() {
    let hash = hash(1);
    let mut seen = [false; 10];
    for index in 0..200 {
        seen[usize::try_from(audit_position(&NONCE, index, &hash, 10).unwrap()).unwrap()] = true;
    }
    assert_eq!(seen, [true; 10]);
    assert_eq!(audit_position(&NONCE, 0, &hash, 0), None);
    assert_eq!(Proof::of(&[], 0), None);
}

#[test]
fn largest_audit_and_its_answer_fit_the_events_of_every_relay() {
    let proof =
        Proof { path: vec![[0xff; 32]; AUDIT_PATH_COUNT_MAX], leaf: Bytes::from_static(&[0xff; LEAF_LEN]) };
    let hashes = vec![hash(0xff); AUDIT_COUNT_MAX];
    let asked = request(Action::Audit { nonce: NONCE, hashes }).to_draft();
    let answered = answer(vec![Some(proof); AUDIT_COUNT_MAX]).to_draft();
    let (asked, answered) = (signed(asked).as_json().len(), signed(answered).as_json().len());
    assert!(asked < EVENT_LEN_MAX && answered < EVENT_LEN_MAX, "{asked} {answered}");
    // Of the largest blobs there are.
    assert!(asked + answered < 2_500 * AUDIT_COUNT_MAX, "{asked} {answered}");
    assert_eq!(BLOB_LEN_MAX.div_ceil(LEAF_LEN as u64).next_power_of_two(), 1 << AUDIT_PATH_COUNT_MAX);
}

#[test]
fn an_answer_of_another_kind_is_none_to_an_audit() {
    let event = signed(response(Answer::Deleted(hash(1))).to_draft());
    assert!(matches!(AuditAnswer::parse(&event), Err(WireError::Kind { .. })));
    let mut draft = answer(vec![None]).to_draft();
    draft.tags.retain(|tag| tag.as_slice()[0] != "e");
    assert!(matches!(AuditAnswer::parse(&signed(draft)), Err(WireError::TagMissing { tag: "e" })));
}
