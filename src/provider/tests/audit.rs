//! Audits: right proofs, no word of what is not whole, and bounds.

use tokio::time::timeout;

use super::*;
use crate::types::limits::{AUDIT_COUNT_MAX, BLOB_LEN_MAX, READ_LEN_MAX};
use crate::types::merkle::{leaf_count, merkle_root};
use crate::types::{AuditNonce, MerkleRoot};
use crate::wire::{AuditAnswer, Proof, audit_position};

const NONCE: AuditNonce = AuditNonce::new([9; 32]);

impl Client {
    /// The next answer to an audit of this client's, or refusal.
    async fn audited(&mut self) -> Result<AuditAnswer, ErrorCode> {
        loop {
            let event = self.inbox.next().await.unwrap().event;
            match event.kind.as_u16() {
                AUDIT_KIND => {
                    let answer = AuditAnswer::parse(&event).unwrap();
                    if *answer.requester.as_bytes() == self.keys.public_key().to_bytes() {
                        return Ok(answer);
                    }
                }
                STATUS_KIND => {
                    if let StatusKind::Error(code) = Status::parse(&event).unwrap().kind {
                        return Err(code);
                    }
                }
                _ => {}
            }
        }
    }

    async fn audit(&mut self, hashes: &[BlobHash], number: Option<u64>) -> Result<AuditAnswer, ErrorCode> {
        let action = Action::Audit { nonce: NONCE, hashes: hashes.to_vec() };
        let event = self.request(action, number);
        self.publish(event).await;
        self.audited().await
    }
}

fn assert_proved(proof: Option<&Proof>, index: u32, blob: &[u8]) {
    let leaves = leaf_count(blob.len() as u64);
    let position = audit_position(&NONCE, index, &BlobHash::of(blob), leaves).unwrap();
    let root: MerkleRoot = merkle_root(blob);
    assert!(proof.unwrap().holds(position, leaves, &root), "{index}");
}

#[tokio::test(start_paused = true)]
async fn audit_is_answered_with_a_proof_for_each_sample() {
    let scene = Scene::new().await;
    let (mut owner, mut other) = (scene.client().await, scene.client().await);
    let blobs: Vec<Vec<u8>> = [1, 1_024, 1_025, 40_000, 1 << 20].map(|len| blob(len, 3)).into();
    for blob in &blobs {
        owner.store(blob).await;
    }
    let mut hashes: Vec<BlobHash> = blobs.iter().map(|blob| BlobHash::of(blob)).collect();
    hashes.extend([hashes[4], BlobHash::of(b"nobody has this"), hashes[4]]);
    // As with a retrieve, it is not asked whose blob it is.
    for client in [&mut owner, &mut other] {
        let answer = client.audit(&hashes, Some(77)).await.unwrap();
        assert_eq!((answer.nonce, answer.number), (NONCE, Some(RequestNumber(77))));
        assert_eq!(answer.samples.len(), hashes.len());
        for (index, sample) in (0..).zip(&answer.samples) {
            match index {
                6 => assert_eq!(*sample, None),
                5 | 7 => assert_proved(sample.as_ref(), index, &blobs[4]),
                _ => assert_proved(sample.as_ref(), index, &blobs[index as usize]),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn blob_that_is_damaged_or_expired_is_not_proved() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (bytes, hash) = (blob(70_000, 1), BlobHash::of(&blob(70_000, 1)));
    client.store(&bytes).await;
    for _ in 0..11 * 24 {
        scene.clock.advance(Duration::from_secs(3600));
        scene.provider().store().tick().unwrap();
    }
    assert_eq!(client.audit(&[hash], None).await.unwrap().samples, [None], "in the base it is gone");
    assert_proved(client.audit(&[hash], Some(1)).await.unwrap().samples[0].as_ref(), 0, &bytes);
    let paths = scene.disk.paths();
    let path = paths.iter().find(|path| path.to_string_lossy().contains(&hash.to_string())).unwrap();
    scene.disk.corrupt(path, |file| file[100] ^= 1);
    for _ in 0..2 {
        assert_eq!(client.audit(&[hash], Some(2)).await.unwrap().samples, [None]);
    }
    client.store(&bytes).await.outcome.unwrap();
    assert_proved(client.audit(&[hash], None).await.unwrap().samples[0].as_ref(), 0, &bytes);
    scene.disk.corrupt(path, |file| file.truncate(40_000));
    assert_eq!(client.audit(&[hash], None).await.unwrap().samples, [None]);
}

#[tokio::test(start_paused = true)]
async fn an_audit_of_more_than_a_provider_reads_for_one_request_is_refused() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(usize::try_from(BLOB_LEN_MAX).unwrap(), 1);
    client.store(&bytes).await;
    let hash = BlobHash::of(&bytes);
    let count = usize::try_from(READ_LEN_MAX / BLOB_LEN_MAX).unwrap();
    let answer = client.audit(&vec![hash; count], Some(1)).await.unwrap();
    answer.samples.iter().zip(0..).for_each(|(sample, index)| assert_proved(sample.as_ref(), index, &bytes));
    let refusal = client.audit(&vec![hash; count + 1], Some(2)).await;
    assert_eq!(refusal, Err(ErrorCode::InvalidRequest));
    let refusal = client.audit(&vec![BlobHash::of(b""); AUDIT_COUNT_MAX + 1], Some(3)).await;
    assert_eq!(refusal, Err(ErrorCode::InvalidRequest));
}

#[tokio::test(start_paused = true)]
async fn audits_wait_for_room_in_memory_and_for_their_turn() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (bytes, hash) = (blob(1 << 20, 1), BlobHash::of(&blob(1 << 20, 1)));
    client.store(&bytes).await;
    let server = scene.provider().server.clone();
    for limit in [&server.held, &server.turns, &server.threads] {
        let all = limit.acquire_many(u32::try_from(limit.available_permits()).unwrap()).await.unwrap();
        let action = Action::Audit { nonce: NONCE, hashes: vec![hash] };
        let event = client.request(action, None);
        client.publish(event).await;
        assert!(timeout(Duration::from_secs(5), client.audited()).await.is_err());
        drop(all);
        assert_proved(client.audited().await.unwrap().samples[0].as_ref(), 0, &bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn audits_of_one_client_wait_for_each_other_and_not_others_for_them() {
    let scene = Scene::new().await;
    let (mut greedy, mut modest) = (scene.client().await, scene.client().await);
    let (bytes, hash) = (blob(1 << 20, 1), BlobHash::of(&blob(1 << 20, 1)));
    greedy.store(&bytes).await;
    let server = scene.provider().server.clone();
    let all_room = server.held.available_permits();
    let turns = server.turns.acquire_many(u32::try_from(server.turns.available_permits()).unwrap()).await;
    for _ in 0..50 {
        let event = greedy.request(Action::Audit { nonce: NONCE, hashes: vec![hash; 3] }, None);
        greedy.publish(event).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held_kib = all_room - server.held.available_permits();
    assert_eq!(held_kib, 2 * 1024, "two at a time, one blob each");
    let event = modest.request(Action::Audit { nonce: NONCE, hashes: vec![hash] }, None);
    modest.publish(event).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(all_room - server.held.available_permits(), 3 * 1024, "the other is next");
    drop(turns);
    assert_proved(modest.audited().await.unwrap().samples[0].as_ref(), 0, &bytes);
    for _ in 0..50 {
        assert_eq!(greedy.audited().await.unwrap().samples.len(), 3);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.provider().gauges().job_count, 0);
}
