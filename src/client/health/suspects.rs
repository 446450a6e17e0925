//! Audits: random samples of what each provider is to keep; and providers that were found wrong once, or by another way,
//! have to prove everything.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use rand::Rng;

use crate::client::audit::{Tally as AuditTally, choose};
use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{AuditSample, AuditVerdict, Audited};
use crate::client::health::kept::{ASKED_TOGETHER, KeptPack};
use crate::client::health::state::Found;
use crate::client::health::survey::{Examined, Foreknown};
use crate::client::roster::Roster;
use crate::types::{PackId, ProviderId, ShardIndex};
use crate::vault::{Blemish, Deed};

/// A shard that can be audited.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    pack: PackId,
    shard: ShardIndex,
    sample: AuditSample,
}

/// For each provider some of what it is to keep, each shard as likely as any other (reservoir sampling, Vitter 1985).
#[derive(Debug)]
pub(crate) struct Pools {
    /// Shards that are held for each provider.
    count: usize,
    pools: BTreeMap<ProviderId, (u64, Vec<Candidate>)>,
}

/// What audits have found.
#[derive(Debug, Default)]
pub(crate) struct AuditOutcome {
    pub(crate) tallies: BTreeMap<ProviderId, AuditTally>,
    pub(crate) blemishes: BTreeSet<Blemish>,
    pub(crate) bytes_moved: u64,
    pub(crate) failures: Vec<Failure>,
}

impl Pools {
    /// Pools for `count` samples of each provider.
    pub(crate) fn new(count: u32) -> Self {
        Self { count: usize::try_from(count).unwrap_or(usize::MAX), pools: BTreeMap::new() }
    }

    /// Takes in what was found of a pack: shards that providers say they have.
    pub(crate) fn add(&mut self, examined: &Examined, rng: &mut impl Rng) {
        if self.count == 0 {
            return;
        }
        let placed = examined.standing().placed;
        for sight in &examined.sights {
            let counts_here = placed.get(&sight.shard) == Some(&sight.provider);
            if !counts_here || !matches!(sight.found, Found::Good { .. }) {
                continue;
            }
            let Some(candidate) = candidate(&examined.pack, sight.shard) else { continue };
            let (seen, pool) = self.pools.entry(sight.provider).or_default();
            *seen += 1;
            if pool.len() < self.count {
                pool.push(candidate);
            } else {
                let at = rng.random_range(0..*seen);
                if let Some(place) = usize::try_from(at).ok().and_then(|at| pool.get_mut(at)) {
                    *place = candidate;
                }
            }
        }
    }
}

impl Client {
    /// Audits what is in the pools, all providers beside each other. Where a pool has fewer shards than samples, shards
    /// are sampled again at other positions.
    pub(crate) async fn audit_pools(&self, pools: Pools) -> AuditOutcome {
        let count = pools.count;
        let audits = pools.pools.into_iter().map(|(provider, (_, pool))| async move {
            let samples: Vec<_> = pool.iter().map(|candidate| candidate.sample).collect();
            let chosen = choose(&samples, count, &mut self.env.rng());
            let audited = self.exchange.audit(provider, &chosen).await;
            (provider, pool, chosen, audited)
        });
        let mut outcome = AuditOutcome::default();
        for (provider, pool, chosen, audited) in join_all(audits).await {
            match audited {
                Ok(audited) => {
                    let tally = AuditTally::of(provider, &audited);
                    let bad = tally.missing.saturating_add(tally.corrupt);
                    if tally.count() > 0 {
                        self.exchange.note(provider, Deed::Audited { good: tally.good, bad });
                    }
                    outcome.take(provider, &pool, &chosen, &audited);
                }
                Err(error) => outcome.failures.push(Failure::new(provider, None, &error)),
            }
        }
        outcome
    }

    /// Has every provider that is known to have something wrong prove all that it has promised of `packs`. What is
    /// proved is no longer held against it; what is not is added.
    pub(crate) async fn audit_suspects(
        &self,
        foreknown: &mut Foreknown,
        packs: &[PackId],
        roster: &Roster,
    ) -> Result<u64, ClientError> {
        let mut moved = 0;
        let suspects: BTreeSet<_> = foreknown.blemishes.iter().map(|blemish| blemish.provider).collect();
        let suspects: BTreeSet<_> =
            suspects.into_iter().filter(|provider| roster.members.contains_key(provider)).collect();
        if suspects.is_empty() {
            return Ok(moved);
        }
        for part in packs.chunks(ASKED_TOGETHER) {
            let mut all: BTreeMap<ProviderId, Vec<Candidate>> = BTreeMap::new();
            for pack in self.kept_packs(part)? {
                for promised in pack.promised.iter().filter(|it| suspects.contains(&it.provider)) {
                    all.entry(promised.provider).or_default().extend(candidate(&pack, promised.shard));
                }
            }
            let audits = all.into_iter().map(|(provider, pool)| async move {
                let samples: Vec<_> = pool.iter().map(|candidate| candidate.sample).collect();
                let audited = self.exchange.audit(provider, &samples).await;
                (provider, pool, samples, audited)
            });
            let mut outcome = AuditOutcome::default();
            for (provider, pool, samples, audited) in join_all(audits).await {
                // Who does not answer stays suspect.
                let Ok(audited) = audited else { continue };
                let proved: BTreeSet<_> =
                    pool.iter().map(|candidate| (candidate.pack, candidate.shard)).collect();
                foreknown.blemishes.retain(|blemish| {
                    blemish.provider != provider || !proved.contains(&(blemish.pack, blemish.shard))
                });
                outcome.take(provider, &pool, &samples, &audited);
            }
            moved += outcome.bytes_moved;
            foreknown.blemishes.extend(outcome.blemishes);
        }
        let known = &foreknown.blemishes;
        self.vault.update_care(|care| care.blemishes.clone_from(known))?;
        Ok(moved)
    }
}

impl AuditOutcome {
    /// Counts what an audit of `samples`, which are some of `pool`, has found.
    fn take(&mut self, provider: ProviderId, pool: &[Candidate], samples: &[AuditSample], audited: &Audited) {
        let by_hash: BTreeMap<_, _> =
            pool.iter().map(|candidate| (candidate.sample.hash, candidate)).collect();
        for (sample, verdict) in samples.iter().zip(&audited.verdicts) {
            let Some(candidate) = by_hash.get(&sample.hash) else { continue };
            let (pack, shard) = (candidate.pack, candidate.shard);
            let is_corrupt = match verdict {
                AuditVerdict::Good => continue,
                AuditVerdict::Missing => false,
                AuditVerdict::Corrupt => true,
            };
            self.blemishes.insert(Blemish { pack, shard, provider, is_corrupt });
        }
        self.bytes_moved += audited.bytes_moved;
        self.tallies.insert(provider, AuditTally::of(provider, audited));
    }
}

fn candidate(pack: &KeptPack, shard: ShardIndex) -> Option<Candidate> {
    let name = pack.coding.shards.get(shard.as_usize())?;
    let sample = AuditSample { hash: name.hash, root: name.root, len: pack.coding.shard_len().into() };
    Some(Candidate { pack: pack.id, shard, sample })
}
