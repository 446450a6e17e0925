//! Blobs that providers keep for this vault and nothing names: what killed puts left, and manifest packs and heads that
//! newer ones have replaced.
//!
//! A put's blobs have no name either until its head is published, so an orphan is deleted only when this home has seen
//! it nameless for the grace period. What a replaced head names is kept for longer: with it an old head that a relay
//! still offers can be read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::error::{ClientError, Failure};
use crate::client::exchange::ExchangeError;
use crate::client::get::fetch::Fetcher;
use crate::client::head::run;
use crate::client::roster::Roster;
use crate::format::Head;
use crate::types::limits::{HEAD_LEN_CLASSES, HEAD_TRIAL_COUNT_MAX, LISTED_COUNT_MAX, SUPERSEDED_HEAD_KEEP};
use crate::types::{BlobHash, DeviceId, ProviderId, Timestamp};

use super::flow::PruneOutcome;

/// Packs that are looked up together.
const LOOKED_UP_TOGETHER: usize = 1_000;

/// What nothing names.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Nameless for long enough: who keeps it, and its length.
    due: BTreeMap<BlobHash, (BTreeSet<ProviderId>, u64)>,
    /// All that is nameless, since when this home knows it.
    first_seen: BTreeMap<BlobHash, Timestamp>,
    failures: Vec<Failure>,
}

/// Claims by blob: who has it, and its length.
type Claims = BTreeMap<BlobHash, (BTreeSet<ProviderId>, u64)>;

impl Orphans {
    /// All of them, those that have to wait included.
    pub(super) fn count(&self) -> u64 {
        self.first_seen.len() as u64
    }

    /// Bytes of those that can be deleted now.
    pub(super) fn due_len(&self) -> u64 {
        self.due.values().map(|(providers, len)| len * providers.len() as u64).sum()
    }
}

impl Client {
    /// Looks through what the providers list. Changes nothing.
    ///
    /// # Errors
    /// What keeps it from knowing all names that count: then nothing is an orphan.
    pub(super) async fn find_orphans(
        &self,
        grace: Duration,
        roster: &Roster,
        caught: &CaughtUp,
    ) -> Result<Orphans, ClientError> {
        let mut orphans = Orphans::default();
        let mut claims = self.claims(roster, &mut orphans.failures).await?;
        self.take_out_packs(&mut claims)?;
        if let Err(error) = self.take_out_manifest(&mut claims, roster, caught).await {
            self.monitor.note(&format!("blobs that nothing names are not looked for: {error}"));
            return Ok(Orphans { failures: orphans.failures, ..Orphans::default() });
        }
        let (known, now) = (self.vault.nameless_blobs()?, self.env.now());
        for (hash, claim) in claims {
            let since = known.get(&hash).copied().unwrap_or(now);
            orphans.first_seen.insert(hash, since);
            if since.saturating_add(grace) <= now {
                orphans.due.insert(hash, claim);
            }
        }
        Ok(orphans)
    }

    /// Deletes those that were nameless for long enough, and remembers the others.
    pub(super) async fn delete_orphans(
        &self,
        orphans: Orphans,
        outcome: &mut PruneOutcome,
    ) -> Result<(), ClientError> {
        let Orphans { due, mut first_seen, failures } = orphans;
        outcome.failures.extend(failures);
        // Before anything goes, so that a crash does not make the others wait anew.
        self.vault.set_nameless_blobs(&first_seen)?;
        let mut at: BTreeMap<ProviderId, Vec<(BlobHash, u64)>> = BTreeMap::new();
        for (hash, (providers, len)) in due {
            for provider in providers {
                at.entry(provider).or_default().push((hash, len));
            }
        }
        let deletes = at.into_iter().map(|(provider, blobs)| async move {
            let hashes: Vec<_> = blobs.iter().map(|(hash, _)| *hash).collect();
            (provider, self.exchange.delete(provider, &hashes).await, blobs)
        });
        for (provider, result, blobs) in join_all(deletes).await {
            match result {
                Ok(had_claims) => {
                    for ((hash, len), _) in blobs.iter().zip(had_claims).filter(|(_, had)| *had) {
                        outcome.deleted_blobs += 1;
                        outcome.freed_bytes += len;
                        first_seen.remove(hash);
                    }
                }
                Err(error) => outcome.failures.push(Failure::new(provider, None, &error)),
            }
        }
        Ok(self.vault.set_nameless_blobs(&first_seen)?)
    }

    /// Everything that the providers of this vault list.
    async fn claims(&self, roster: &Roster, failures: &mut Vec<Failure>) -> Result<Claims, ClientError> {
        let known = self.known_providers()?;
        let asked = known.into_keys().filter(|provider| roster.members.contains_key(provider));
        let lists = asked
            .map(|provider| async move { (provider, self.exchange.list(provider, LISTED_COUNT_MAX).await) });
        let mut claims = Claims::new();
        for (provider, listed) in join_all(lists).await {
            match listed {
                Ok(listed) => {
                    for claim in listed {
                        let (providers, len) = claims.entry(claim.hash).or_default();
                        providers.insert(provider);
                        *len = claim.size;
                    }
                }
                // A plain provider cannot say what it keeps.
                Err(ExchangeError::Unsupported { .. }) => {}
                Err(error) => failures.push(Failure::new(provider, None, &error)),
            }
        }
        Ok(claims)
    }

    /// Takes out the shards of all packs that are recorded and not deleted.
    fn take_out_packs(&self, claims: &mut Claims) -> Result<(), ClientError> {
        let removals = self.vault.removals()?;
        let mut last = None;
        loop {
            let part = self.vault.packs_after(last.as_ref(), LOOKED_UP_TOGETHER)?;
            let Some(end) = part.last() else { return Ok(()) };
            last = Some(*end);
            for id in part.iter().filter(|id| !removals.is_dropped(id)) {
                let Some(entry) = self.vault.pack(id)? else { continue };
                for shard in &entry.pack.coding.shards {
                    claims.remove(&shard.hash);
                }
            }
        }
    }

    /// Takes out the blobs that are heads, or are named by heads, unless a newer one took their place long ago.
    async fn take_out_manifest(
        &self,
        claims: &mut Claims,
        roster: &Roster,
        caught: &CaughtUp,
    ) -> Result<(), ClientError> {
        let own = self.vault.head()?;
        let mut current: BTreeMap<DeviceId, &Head> =
            caught.heads.iter().map(|(device, head)| (*device, head)).collect();
        // As it was published last: that may have been in this run.
        current.extend(own.iter().map(|head| (head.device, head)));
        let fetcher = Fetcher::new(roster, BTreeSet::new(), self.exchange.clone(), self.monitor.clone());
        for head in current.values() {
            for run in &head.runs {
                for hash in run::blobs(run, head, &fetcher).await? {
                    claims.remove(&hash);
                }
            }
        }
        let copies = self.head_copies(claims).await;
        let mut seen: BTreeMap<(DeviceId, u64), Timestamp> =
            copies.iter().map(|(_, head)| ((head.device, head.counter), head.made_at)).collect();
        seen.extend(current.values().map(|head| ((head.device, head.counter), head.made_at)));
        let long_ago = self.env.now().saturating_sub(SUPERSEDED_HEAD_KEEP);
        for (hash, head) in copies {
            let next = seen.range((head.device, head.counter + 1)..=(head.device, u64::MAX)).next();
            if next.is_some_and(|(_, replaced_at)| *replaced_at <= long_ago) {
                continue;
            }
            claims.remove(&hash);
            for run in &head.runs {
                // An index that is lost leads nowhere any more.
                for hash in run::blobs(run, &head, &fetcher).await.unwrap_or_default() {
                    claims.remove(&hash);
                }
            }
        }
        Ok(())
    }

    /// Those of the claims that are copies of heads. Of each provider the largest so many are tried.
    async fn head_copies(&self, claims: &Claims) -> Vec<(BlobHash, Head)> {
        let is_head_len = |len: u64| HEAD_LEN_CLASSES.iter().any(|class| *class as u64 == len);
        let mut tried: BTreeMap<ProviderId, Vec<(BlobHash, u64)>> = BTreeMap::new();
        for (hash, (providers, len)) in claims {
            if let Some(provider) = providers.first().filter(|_| is_head_len(*len)) {
                tried.entry(*provider).or_default().push((*hash, *len));
            }
        }
        let looks = tried.into_iter().map(|(provider, mut blobs)| async move {
            blobs.sort_by_key(|(_, len)| Reverse(*len));
            let mut heads = Vec::new();
            for (hash, len) in blobs.into_iter().take(HEAD_TRIAL_COUNT_MAX) {
                heads.extend(self.head_in(provider, hash, len).await.map(|head| (hash, head)));
            }
            heads
        });
        join_all(looks).await.into_iter().flatten().collect()
    }
}
