//! Does a provider have what it is to keep? Random leaves under a fresh nonce, or, of a provider that knows no audits,
//! whole blobs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use futures_util::future::join_all;

use crate::client::exchange::drive::{Drive, now};
use crate::client::exchange::link::Link;
use crate::client::exchange::switch::Chunks;
use crate::client::exchange::{Exchange, ExchangeError};
use crate::session::AskSession;
use crate::types::limits::{AUDIT_COUNT_MAX, EVENT_LEN_MAX, READ_LEN_MAX};
use crate::types::merkle::leaf_count;
use crate::types::{AuditNonce, BlobHash, MerkleRoot, ProviderId};
use crate::vault::Deed;
use crate::wire::{Action, AuditAnswer, ErrorCode, Extension, Proof, audit_position};

/// Blobs that are fetched at the same time from a provider that knows no audits.
const FETCH_COUNT: usize = 8;
/// What an event that is no chunk takes of the window.
const EVENT_LEN: u64 = EVENT_LEN_MAX as u64;

/// A blob that a provider is asked to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditSample {
    /// Its name.
    pub hash: BlobHash,
    /// Root of its Merkle tree, as the manifest has it.
    pub root: MerkleRoot,
    /// Its length in bytes, at least 1.
    pub len: u64,
}

/// What a sample shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditVerdict {
    /// The provider has the leaf that was asked for, or the whole blob.
    Good,
    /// The provider says that it has not got the blob, or no longer whole.
    Missing,
    /// What the provider sent proves nothing.
    Corrupt,
}

/// What an audit of one provider found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// One for each sample, in their order.
    pub verdicts: Vec<AuditVerdict>,
    /// Bytes of all events that were sent and received for it, each counted once.
    pub bytes_moved: u64,
}

impl Exchange {
    /// Asks a provider to prove that it has these blobs. A blob may be named more than once: then leaves at several
    /// positions are asked for.
    ///
    /// A provider without the extension `audit` is asked for the blobs themselves, each once. The result is noted in the
    /// provider's record.
    ///
    /// # Errors
    /// If the provider does not answer, or refuses to be audited. What it answers wrongly is a verdict.
    pub async fn audit(
        &self,
        provider: ProviderId,
        samples: &[AuditSample],
    ) -> Result<Audited, ExchangeError> {
        let (link, moved) = (self.link(provider)?, AtomicU64::new(0));
        let verdicts = if link.terms.speaks(Extension::Audit) {
            let mut verdicts = Vec::with_capacity(samples.len());
            for batch in batches(samples) {
                let admission = self.admit(EVENT_LEN, &link).await;
                let answer = self.judged(&link, link.ask_audit(batch, &moved)).await;
                admission.end(&answer);
                verdicts.extend(answer?);
            }
            verdicts
        } else {
            self.fetch_all(provider, samples, &moved).await?
        };
        let count =
            |good| verdicts.iter().filter(|verdict| (**verdict == AuditVerdict::Good) == good).count();
        let [good, bad] = [true, false].map(|good| u32::try_from(count(good)).unwrap_or(u32::MAX));
        self.note(provider, Deed::Audited { good, bad });
        Ok(Audited { verdicts, bytes_moved: moved.into_inner() })
    }

    async fn fetch_all(
        &self,
        provider: ProviderId,
        samples: &[AuditSample],
        moved: &AtomicU64,
    ) -> Result<Vec<AuditVerdict>, ExchangeError> {
        let mut blobs: Vec<(BlobHash, u64)> =
            samples.iter().map(|sample| (sample.hash, sample.len)).collect();
        blobs.sort_unstable();
        blobs.dedup_by_key(|(hash, _)| *hash);
        let mut found = BTreeMap::new();
        for part in blobs.chunks(FETCH_COUNT) {
            let fetches = part.iter().map(|(hash, len)| self.fetch_one(provider, *hash, *len, moved));
            for ((hash, _), verdict) in part.iter().zip(join_all(fetches).await) {
                found.insert(*hash, verdict?);
            }
        }
        Ok(samples.iter().filter_map(|sample| found.get(&sample.hash).copied()).collect())
    }

    async fn fetch_one(
        &self,
        provider: ProviderId,
        hash: BlobHash,
        len: u64,
        moved: &AtomicU64,
    ) -> Result<AuditVerdict, ExchangeError> {
        match self.fetch_promised(provider, hash, Some(len), Some(moved)).await {
            Ok(_) => Ok(AuditVerdict::Good),
            Err(ExchangeError::Corrupt { .. }) => Ok(AuditVerdict::Corrupt),
            Err(error) => match error.code() {
                Some(ErrorCode::FileNotFound) => Ok(AuditVerdict::Missing),
                Some(ErrorCode::IntegrityFailed | ErrorCode::ChunkMissing) => Ok(AuditVerdict::Corrupt),
                _ => Err(error),
            },
        }
    }
}

impl Link {
    async fn ask_audit(
        &self,
        samples: &[AuditSample],
        moved: &AtomicU64,
    ) -> Result<Vec<AuditVerdict>, ExchangeError> {
        let nonce = self.audit_nonce();
        let hashes = samples.iter().map(|sample| sample.hash).collect();
        let request = self.request(Action::Audit { nonce, hashes });
        if let Some(direct) = self.direct(self.options().stall_timeout).await? {
            match direct.audit(&request.action, request.number, samples[0].hash, moved).await {
                Ok(Some(answer)) => return Ok(judge(samples, &nonce, &answer)),
                Ok(None) => {}
                Err(ExchangeError::Corrupt { .. }) => return Ok(vec![AuditVerdict::Corrupt; samples.len()]),
                Err(error) => return Err(error),
            }
        }
        let draft = request.to_draft();
        let session = AskSession::<AuditAnswer>::new(self.pace(EVENT_LEN_MAX), self.random(), now());
        let line = self.switch.line(Chunks::None, 0);
        let drive = Drive::new(self, line, samples[0].hash).metered(Some(moved));
        match drive.run(session, |number| (draft.clone(), Some(number))).await {
            Ok(outcome) => Ok(judge(samples, &nonce, &outcome.output)),
            Err(ExchangeError::Corrupt { .. }) => Ok(vec![AuditVerdict::Corrupt; samples.len()]),
            Err(error) => Err(error),
        }
    }
}

/// What an answer shows of each sample. One that belongs to another question shows nothing of any.
fn judge(samples: &[AuditSample], nonce: &AuditNonce, answer: &AuditAnswer) -> Vec<AuditVerdict> {
    if answer.nonce != *nonce || answer.samples.len() != samples.len() {
        return vec![AuditVerdict::Corrupt; samples.len()];
    }
    let pairs = (0..).zip(samples.iter().zip(&answer.samples));
    pairs.map(|(index, (sample, proof))| judge_one(sample, nonce, index, proof.as_ref())).collect()
}

fn judge_one(sample: &AuditSample, nonce: &AuditNonce, index: u32, proof: Option<&Proof>) -> AuditVerdict {
    let Some(proof) = proof else { return AuditVerdict::Missing };
    let leaves = leaf_count(sample.len);
    let position = audit_position(nonce, index, &sample.hash, leaves);
    let is_good = position.is_some_and(|position| proof.holds(position, leaves, &sample.root));
    if is_good { AuditVerdict::Good } else { AuditVerdict::Corrupt }
}

/// Parts that fit one request each: by their number, and by the bytes that a provider reads for one.
fn batches(samples: &[AuditSample]) -> Vec<&[AuditSample]> {
    let (mut batches, mut rest) = (Vec::new(), samples);
    while !rest.is_empty() {
        let mut len = 0_u64;
        let fits = |sample: &&AuditSample| {
            len = len.saturating_add(sample.len);
            len <= READ_LEN_MAX
        };
        let count = rest.iter().take(AUDIT_COUNT_MAX).take_while(fits).count().max(1);
        let (batch, others) = rest.split_at(count);
        batches.push(batch);
        rest = others;
    }
    batches
}
