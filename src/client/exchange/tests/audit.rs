//! Audits of providers that have everything, half of it, or something else, with the extension and without it.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use nostr::JsonUtil;

use super::model::State;
use super::*;
use crate::client::exchange::{AuditSample, AuditVerdict, Audited};
use crate::types::limits::AUDIT_COUNT_MAX;
use crate::types::merkle::leaf_count;
use crate::types::{AuditNonce, merkle_root};
use crate::wire::{Answer, AuditAnswer, Draft, Proof, Response, audit_position};

impl State {
    /// The proofs of an audit, as this provider's manner makes them.
    pub(super) fn samples(&self, nonce: AuditNonce, hashes: &[BlobHash]) -> Vec<Option<Proof>> {
        let sample = |(index, hash): (u32, &BlobHash)| {
            let blob = self.blobs.get(hash)?;
            let leaves = leaf_count(blob.len() as u64);
            let position = audit_position(&nonce, index, hash, leaves)?;
            match self.manner {
                Manner::OtherLeaf => Proof::of(blob, (position + 1) % leaves),
                Manner::Random => Proof::of(&model::blob(blob.len() as u64, 99), position),
                _ => Proof::of(blob, position),
            }
        };
        (0..).zip(hashes).map(sample).collect()
    }

    pub(super) fn audit(&mut self, mut answer: AuditAnswer) -> Vec<Draft> {
        let AuditAnswer { request, requester, number, .. } = answer;
        match self.manner {
            Manner::OffTopic => {
                let answer = Answer::Deleted(BlobHash::new([1; 32]));
                vec![Response { request, requester, number, answer }.to_draft()]
            }
            Manner::Renewing => {
                answer.samples.clone_from(&self.audited.as_ref().unwrap().samples);
                vec![answer.to_draft()]
            }
            Manner::Replaying => match &self.audited {
                Some(old) => vec![AuditAnswer { request, requester, number, ..old.clone() }.to_draft()],
                None => {
                    self.audited = Some(answer.clone());
                    vec![answer.to_draft()]
                }
            },
            Manner::Unreadable => vec![Draft { content: "0123456789".into(), ..answer.to_draft() }],
            Manner::Short => {
                answer.samples.truncate(1);
                vec![answer.to_draft()]
            }
            _ => vec![answer.to_draft()],
        }
    }
}

fn sample(blob: &Bytes) -> AuditSample {
    AuditSample { hash: BlobHash::of(blob), root: merkle_root(blob), len: blob.len() as u64 }
}

/// A provider that was given `count` blobs, and what it can be asked about them.
async fn stored(is_plain: bool, count: u64, hub: &Hub) -> (Model, Exchange, Vec<AuditSample>) {
    let provider = Model::start(1, is_plain, Manner::Good, hub.carrier()).await;
    let exchange = exchange(hub, &[&provider]).await;
    let mut samples = Vec::new();
    for number in 0..count {
        let blob = blob(30_000 + number * 1_111, number);
        exchange.store(provider.id(), blob.clone(), StoreOptions::default()).await.unwrap();
        samples.push(sample(&blob));
    }
    (provider, exchange, samples)
}

fn count(audited: &Audited, wanted: AuditVerdict) -> usize {
    audited.verdicts.iter().filter(|verdict| **verdict == wanted).count()
}

#[tokio::test(start_paused = true)]
async fn provider_that_has_everything_is_good_and_what_moved_is_counted() {
    for (is_plain, rounds) in [(false, 10), (true, 1)] {
        let hub = Hub::new("relay", 1);
        let (provider, exchange, samples) = stored(is_plain, 10, &hub).await;
        let moved = Arc::new(AtomicU64::new(0));
        let meter = moved.clone();
        let count_all = move |event: &nostr::Event| {
            meter.fetch_add(event.as_json().len() as u64, Ordering::Relaxed);
            false
        };
        hub.set_faults(Faults { drop_if: Some(Arc::new(count_all)), ..Faults::default() });
        let before = provider.state.lock().unwrap().requests;
        let many: Vec<AuditSample> = samples.iter().copied().cycle().take(10 * rounds).collect();
        let audited = exchange.audit(provider.id(), &many).await.unwrap();
        assert_eq!(audited.verdicts, vec![AuditVerdict::Good; many.len()]);
        let delivered = moved.load(Ordering::Relaxed);
        // The word that all chunks were sent comes when they are there: nobody waits for it.
        let unheard = if is_plain { 10 * 1_000 } else { 0 };
        assert!((delivered - unheard..=delivered).contains(&audited.bytes_moved), "{delivered} {audited:?}");
        let requests = (provider.state.lock().unwrap().requests - before) as usize;
        if is_plain {
            assert_eq!(requests, 10);
            let bytes: u64 = samples.iter().map(|sample| sample.len).sum();
            assert!(audited.bytes_moved > bytes, "whole blobs");
        } else {
            assert_eq!(requests, many.len().div_ceil(AUDIT_COUNT_MAX));
            assert!(audited.bytes_moved < 2_500 * many.len() as u64, "{}", audited.bytes_moved);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn provider_that_keeps_half_is_caught() {
    for is_plain in [false, true] {
        let hub = Hub::new("relay", 1);
        let (provider, exchange, samples) = stored(is_plain, 12, &hub).await;
        for sample in samples.iter().step_by(2) {
            provider.state.lock().unwrap().blobs.remove(&sample.hash);
        }
        let audited = exchange.audit(provider.id(), &samples).await.unwrap();
        let expected = [AuditVerdict::Missing, AuditVerdict::Good].repeat(6);
        assert_eq!(audited.verdicts, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn provider_that_keeps_half_of_every_blob_is_caught_by_most_samples() {
    let hub = Hub::new("relay", 1);
    let (provider, exchange, samples) = stored(false, 12, &hub).await;
    for sample in &samples {
        // The rest of the leaves it makes up.
        let mut state = provider.state.lock().unwrap();
        let kept = state.blobs[&sample.hash].clone();
        let half = kept.len() / 2;
        state.blobs.insert(sample.hash, [&kept[..half], &vec![0; kept.len() - half]].concat().into());
    }
    let audited = exchange.audit(provider.id(), &samples).await.unwrap();
    // It has lost the path of nearly every leaf, though it has half of the leaves.
    assert!(count(&audited, AuditVerdict::Corrupt) >= 6, "{audited:?}");
}

#[tokio::test(start_paused = true)]
async fn provider_that_answers_wrongly_is_caught() {
    let wrong = [Manner::OtherLeaf, Manner::Random, Manner::Unreadable, Manner::OffTopic, Manner::Short];
    for manner in wrong {
        let hub = Hub::new("relay", 1);
        let (provider, exchange, samples) = stored(false, 5, &hub).await;
        provider.state.lock().unwrap().manner = manner;
        let audited = exchange.audit(provider.id(), &samples).await.unwrap();
        assert_eq!(audited.verdicts, [AuditVerdict::Corrupt; 5]);
        assert!(audited.bytes_moved > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_replayed_under_a_new_nonce_is_caught() {
    let hub = Hub::new("relay", 1);
    let (provider, exchange, samples) = stored(false, 5, &hub).await;
    provider.state.lock().unwrap().manner = Manner::Replaying;
    let first = exchange.audit(provider.id(), &samples).await.unwrap();
    assert_eq!(first.verdicts, [AuditVerdict::Good; 5]);
    let second = exchange.audit(provider.id(), &samples).await.unwrap();
    assert_eq!(second.verdicts, [AuditVerdict::Corrupt; 5]);
    // And so where it puts the new nonce on it.
    provider.state.lock().unwrap().manner = Manner::Renewing;
    let third = exchange.audit(provider.id(), &samples).await.unwrap();
    assert_eq!(third.verdicts, [AuditVerdict::Corrupt; 5]);
}

#[tokio::test(start_paused = true)]
async fn plain_provider_that_sends_wrong_bytes_is_caught_and_each_blob_is_asked_for_once() {
    let hub = Hub::new("relay", 1);
    let (provider, exchange, samples) = stored(true, 3, &hub).await;
    let twice = [samples.clone(), samples].concat();
    let before = provider.state.lock().unwrap().requests;
    let audited = exchange.audit(provider.id(), &twice).await.unwrap();
    assert_eq!(audited.verdicts, [AuditVerdict::Good; 6]);
    assert_eq!(provider.state.lock().unwrap().requests, before + 3);
    provider.state.lock().unwrap().manner = Manner::Corrupt;
    let audited = exchange.audit(provider.id(), &twice).await.unwrap();
    assert_eq!(audited.verdicts, [AuditVerdict::Corrupt; 6]);
}

#[tokio::test(start_paused = true)]
async fn provider_that_does_not_answer_is_no_verdict() {
    for is_plain in [false, true] {
        let hub = Hub::new("relay", 1);
        let (provider, exchange, samples) = stored(is_plain, 2, &hub).await;
        provider.state.lock().unwrap().manner = Manner::Silent;
        let error = exchange.audit(provider.id(), &samples).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Silent { .. }), "{error}");
        assert!(exchange.audit(provider.id(), &[]).await.unwrap().verdicts.is_empty());
    }
}
