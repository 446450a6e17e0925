//! A repair: packs back to full health. Works on sealed shards alone: no segment is opened, no key of one is needed.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

use crate::client::base::Client;
use crate::client::crew::Crew;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::health::check::Charge;
use crate::client::health::kept::{ASKED_TOGETHER, KeptPack};
use crate::client::health::state::{Found, Standing, Verdict};
use crate::client::health::survey::Examined;
use crate::client::upload::Kept;
use crate::env::off_thread;
use crate::format::{PlacementItem, Promise, Promises};
use crate::types::limits::UPLOAD_BYTES_MAX;
use crate::types::{PackId, ProviderId, ShardIndex, SnapshotId};

/// What a repair has done.
#[derive(Debug, Default)]
pub struct RepairOutcome {
    /// Packs that are back at full health.
    pub packs_repaired: u64,
    /// Packs that could not be brought there: too few providers are free, or too few shards answer.
    pub packs_left: u64,
    /// Packs that cannot be restored.
    pub packs_lost: u64,
    /// Shards that were stored anew.
    pub shards_written: u64,
    /// Bytes of shards that were read.
    pub bytes_read: u64,
    /// Bytes that were stored, the record of it included.
    pub bytes_written: u64,
    /// Providers that failed.
    pub failures: Vec<Failure>,
}

/// What may be done in one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepairLimits {
    /// Packs with so many shards missing are repaired; fewer can wait.
    pub(crate) missing_min: usize,
    /// Bytes that may still be moved; what needs more waits.
    pub(crate) bytes_left: u64,
}

impl RepairLimits {
    /// Everything, now.
    pub(crate) const NONE: Self = Self { missing_min: 1, bytes_left: u64::MAX };

    /// Takes `bytes` out of what is left. Whether there was so much.
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

/// What became of one pack.
struct Mended {
    pack: PackId,
    kept: Vec<Kept>,
    /// Shards that are still where they should not be, or nowhere.
    left: usize,
    /// Fewer than `need` shards could be read.
    is_lost: bool,
}

impl Client {
    /// Brings everything that the vault, or one of its snapshots, relies on back to full health: reads as many shards of
    /// a pack as are enough, and stores what is missing at the provider that promised it, or at another one.
    ///
    /// Each pack is recorded as soon as its shards are receipted: a repair that is cut off goes on where it was.
    pub async fn repair(&mut self, snapshot: Option<SnapshotId>) -> Result<RepairOutcome, ClientError> {
        let caught = self.catch_up().await?;
        let crew = self.crew(1, &caught).await?;
        let mut charge = self.charge_with(caught, snapshot)?;
        let mut outcome =
            RepairOutcome { failures: crew.roster.failures.clone(), ..RepairOutcome::default() };
        self.audit_suspects(&mut charge.foreknown, &charge.packs, &crew.roster).await?;
        let done = self.repair_all(RepairLimits::NONE, &mut charge, &crew, &mut outcome).await;
        self.remember_deeds();
        done?;
        Ok(outcome)
    }

    /// Repairs what is looked after, within `limits`, and publishes what was done.
    pub(crate) async fn repair_all(
        &mut self,
        mut limits: RepairLimits,
        charge: &mut Charge,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<(), ClientError> {
        let before = (self.exchange.fetched_len(), self.exchange.stored_len());
        for part in charge.packs.chunks(ASKED_TOGETHER) {
            let packs = self.kept_packs(part)?;
            let examined = self.survey(packs, &charge.foreknown, &crew.roster, &mut outcome.failures).await;
            self.repair_part(examined, &mut limits, crew, outcome).await?;
        }
        self.repair_manifests(charge, crew, outcome).await?;
        outcome.bytes_read += self.exchange.fetched_len() - before.0;
        outcome.bytes_written += self.exchange.stored_len() - before.1;
        outcome.failures.extend(crew.uploader.failures());
        Ok(())
    }

    async fn repair_part(
        &self,
        examined: Vec<Examined>,
        limits: &mut RepairLimits,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<(), ClientError> {
        let fetcher =
            Fetcher::new(&crew.roster, BTreeSet::new(), self.exchange.clone(), self.monitor.clone());
        let weak = examined.into_iter().filter_map(|one| {
            let standing = one.standing();
            let missing = usize::from(one.pack.coding.scheme.total()) - standing.placed.len();
            (missing >= limits.missing_min).then_some((one, standing))
        });
        let weak: Vec<_> = weak.collect();
        let len = |one: &Examined| {
            u64::from(one.pack.coding.scheme.total()) * u64::from(one.pack.coding.shard_len())
        };
        let len_max = weak.iter().map(|(one, _)| len(one)).max().unwrap_or(1);
        let at_once = usize::try_from(UPLOAD_BYTES_MAX / len_max).unwrap_or(1).clamp(1, 16);
        self.monitor.expect(weak.iter().map(|(one, _)| len(one)).sum());
        let mends = weak.into_iter().map(|(one, standing)| {
            let may = limits.take(moved_by(&one, &standing));
            let fetcher = &fetcher;
            async move {
                if may {
                    self.mend(one, standing, crew, fetcher).await
                } else {
                    Ok(Mended::none(&one, &standing))
                }
            }
        });
        let mut mends = stream::iter(mends).buffer_unordered(at_once);
        let mut healed = BTreeSet::new();
        let mut failed = None;
        while let Some(mended) = mends.next().await {
            match mended.and_then(|mended| self.record_mended(&mended).map(|()| mended)) {
                Ok(mended) => {
                    healed.extend(mended.kept.iter().map(|kept| (mended.pack, kept.shard)));
                    outcome.count(&mended);
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(mends);
        outcome.failures.extend(fetcher.failures());
        self.vault.clear_blemishes(|blemish| healed.contains(&(blemish.pack, blemish.shard)))?;
        failed.map_or(Ok(()), Err)
    }

    /// Makes the missing shards of a pack again and stores them.
    async fn mend(
        &self,
        one: Examined,
        standing: Standing,
        crew: &Crew,
        fetcher: &Fetcher,
    ) -> Result<Mended, ClientError> {
        let (pack, scheme) = (one.pack.id, one.pack.coding.scheme);
        let mut mended = Mended::none(&one, &standing);
        if standing.verdict == Verdict::Lost {
            return Ok(Mended { is_lost: true, ..mended });
        }
        let holders: Vec<Holder> = one
            .sights
            .iter()
            .filter(|sight| matches!(sight.found, Found::Good { .. }))
            .map(|sight| (sight.shard, sight.provider))
            .collect();
        let targets = targets(&one, &standing, crew);
        if holders.len() < usize::from(scheme.need()) || targets.is_empty() {
            return Ok(mended);
        }
        let KeptPack { coding, .. } = one.pack;
        let shards = match fetcher.shards(pack, &coding, &holders).await {
            Ok(shards) => shards,
            Err(ClientError::TooFewShards { .. }) => return Ok(mended),
            Err(error) => return Err(error),
        };
        let names: Vec<_> = coding.shards.iter().map(|name| name.hash).collect();
        let rebuilt = off_thread(move || coding.rebuild(&shards)).await;
        let rebuilt: Vec<Bytes> = rebuilt.expect("rebuilding does not panic")?;
        let mut taken: BTreeSet<_> = standing.placed.values().copied().collect();
        taken.extend(targets.iter().map(|(_, provider)| *provider));
        for (shard, provider) in targets {
            let (hash, blob) = (names[shard.as_usize()], &rebuilt[shard.as_usize()]);
            let mut target = Some(provider);
            while let Some(provider) = target {
                taken.insert(provider);
                match crew.uploader.store_shard(shard, (hash, blob.clone()), provider).await {
                    Ok(kept) => {
                        mended.kept.push(kept);
                        mended.left -= 1;
                        break;
                    }
                    Err(failure) => {
                        crew.uploader.blame(&Failure { pack: Some(pack), ..failure });
                        target = crew.uploader.spare(&taken);
                    }
                }
            }
        }
        Ok(mended)
    }

    fn record_mended(&self, mended: &Mended) -> Result<(), ClientError> {
        let promise = |kept: &Kept| {
            let promise = Promise { pack: mended.pack, shard: kept.shard, expires: kept.expires };
            PlacementItem::Promises(Promises { provider: kept.provider, promises: vec![promise] })
        };
        let items: Vec<_> = mended.kept.iter().map(promise).collect();
        Ok(self.vault.append(&items, &[])?)
    }
}

impl Mended {
    /// Nothing was done yet.
    fn none(one: &Examined, standing: &Standing) -> Self {
        let left = standing.absent(one.pack.coding.scheme).len();
        Self { pack: one.pack.id, kept: Vec::new(), left, is_lost: false }
    }
}

impl RepairOutcome {
    fn count(&mut self, mended: &Mended) {
        self.shards_written += mended.kept.len() as u64;
        if mended.is_lost {
            self.packs_lost += 1;
        } else if mended.left > 0 {
            self.packs_left += 1;
        } else {
            self.packs_repaired += 1;
        }
    }
}

/// Bytes that a repair of the pack moves: what is read, and what is stored.
fn moved_by(one: &Examined, standing: &Standing) -> u64 {
    let coding = &one.pack.coding;
    let shards = usize::from(coding.scheme.need()) + standing.absent(coding.scheme).len();
    shards as u64 * u64::from(coding.shard_len())
}

/// Where each missing shard is to go: back to whoever lost it, if that one answers; where it was wrong, or nobody
/// answers, rather to another one. Never two shards of a pack to one provider.
fn targets(one: &Examined, standing: &Standing, crew: &Crew) -> Vec<(ShardIndex, ProviderId)> {
    let mut taken: BTreeSet<_> = standing.placed.values().copied().collect();
    let mut targets = Vec::new();
    for shard in standing.absent(one.pack.coding.scheme) {
        let promised = |found: Found, taken: &BTreeSet<ProviderId>| {
            let mut those = one.sights.iter().filter(|sight| {
                sight.shard == shard
                    && sight.found == found
                    && crew.roster.can_use(&sight.provider)
                    && !taken.contains(&sight.provider)
            });
            those.next().map(|sight| sight.provider)
        };
        let target = promised(Found::Missing, &taken)
            .or_else(|| crew.uploader.spare(&taken))
            .or_else(|| promised(Found::Corrupt, &taken));
        if let Some(provider) = target {
            taken.insert(provider);
            targets.push((shard, provider));
        }
    }
    targets
}
