//! One pack back to full health: any `need` of its shards are read, the missing ones made again and stored.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::health::kept::KeptPack;
use crate::client::health::repair::RepairLimits;
use crate::client::health::state::{Found, Sight, Standing, Verdict};
use crate::client::health::survey::Examined;
use crate::client::roster::Roster;
use crate::client::upload::{Kept, Uploader};
use crate::format::{PlacementItem, Promise, Promises};
use crate::types::limits::UPLOAD_BYTES_MAX;
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex};

/// Packs that are mended at a time, however small they are.
const AT_ONCE_MAX: usize = 16;

/// Mends packs with the providers that answered.
pub(crate) struct Mender<'a> {
    client: &'a Client,
    roster: &'a Roster,
    uploader: &'a Uploader,
    fetcher: Fetcher,
}

/// What became of one pack.
pub(crate) struct Mended {
    pub(crate) pack: PackId,
    /// Shards that were stored.
    pub(crate) kept: Vec<Kept>,
    /// Shards that are still where they should not be, or nowhere.
    pub(crate) left: usize,
    /// Fewer than `need` shards can be left.
    pub(crate) is_lost: bool,
}

impl Mended {
    /// Nothing was done yet.
    fn none(one: &Examined, standing: &Standing) -> Self {
        let left = standing.absent(one.pack.coding.scheme).len();
        Self { pack: one.pack.id, kept: Vec::new(), left, is_lost: false }
    }
}

impl<'a> Mender<'a> {
    pub(crate) fn new(client: &'a Client, roster: &'a Roster, uploader: &'a Uploader) -> Self {
        let (exchange, monitor) = (client.exchange.clone(), client.monitor.clone());
        Self { client, roster, uploader, fetcher: Fetcher::new(roster, BTreeSet::new(), exchange, monitor) }
    }

    /// What providers failed at while shards were read.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.fetcher.failures()
    }

    /// Mends packs within `limits`, several at a time, and records each when its shards are receipted; `tell` hears of
    /// it. What is under way when one fails comes to its end.
    pub(crate) async fn mend_all(
        &self,
        weak: Vec<(Examined, Standing)>,
        limits: &mut RepairLimits,
        mut tell: impl FnMut(&Mended),
    ) -> Result<(), ClientError> {
        let len = |one: &Examined| {
            u64::from(one.pack.coding.scheme.total()) * u64::from(one.pack.coding.shard_len())
        };
        let len_max = weak.iter().map(|(one, _)| len(one)).max().unwrap_or(1);
        let at_once = usize::try_from(UPLOAD_BYTES_MAX / len_max).unwrap_or(1).clamp(1, AT_ONCE_MAX);
        let mends = weak.into_iter().map(|(one, standing)| {
            let may = limits.take(moved_by(&one, &standing));
            async move { if may { self.mend(one, standing).await } else { Ok(Mended::none(&one, &standing)) } }
        });
        let mut mends = stream::iter(mends).buffer_unordered(at_once);
        let mut healed = BTreeSet::new();
        let mut failed = None;
        while let Some(mended) = mends.next().await {
            match mended.and_then(|mended| self.record(&mended).map(|()| mended)) {
                Ok(mended) => {
                    healed.extend(mended.kept.iter().map(|kept| (mended.pack, kept.shard)));
                    tell(&mended);
                }
                Err(error) => failed = Some(error),
            }
        }
        let vault = &self.client.vault;
        vault.clear_blemishes(|blemish| healed.contains(&(blemish.pack, blemish.shard)))?;
        failed.map_or(Ok(()), Err)
    }

    /// Makes the missing shards of a pack again and stores them.
    async fn mend(&self, one: Examined, standing: Standing) -> Result<Mended, ClientError> {
        let (pack, scheme) = (one.pack.id, one.pack.coding.scheme);
        let mut mended = Mended::none(&one, &standing);
        if standing.verdict == Verdict::Lost {
            return Ok(Mended { is_lost: true, ..mended });
        }
        let good = one.sights.iter().filter(|sight| matches!(sight.found, Found::Good { .. }));
        let holders: Vec<Holder> = good.map(|sight| (sight.shard, sight.provider)).collect();
        let targets = self.targets(&one, &standing);
        if holders.len() < usize::from(scheme.need()) || targets.is_empty() {
            return Ok(mended);
        }
        let KeptPack { coding, .. } = one.pack;
        let shards = match self.fetcher.shards(pack, &coding, &holders).await {
            Ok(shards) => shards,
            Err(ClientError::TooFewShards { .. }) => return Ok(mended),
            Err(error) => return Err(error),
        };
        let names: Vec<_> = coding.shards.iter().map(|name| name.hash).collect();
        let rebuilt = spawn_blocking(move || coding.rebuild(&shards)).await;
        let rebuilt: Vec<Bytes> = rebuilt.expect("rebuilding does not panic")?;
        let mut taken: BTreeSet<_> = standing.placed.values().copied().collect();
        taken.extend(targets.iter().map(|(_, provider)| *provider));
        for (shard, provider) in targets {
            let blob = (names[shard.as_usize()], rebuilt[shard.as_usize()].clone());
            if let Some(kept) = self.store(pack, shard, blob, provider, &mut taken).await {
                mended.kept.push(kept);
                mended.left -= 1;
            }
        }
        Ok(mended)
    }

    /// Stores a shard at `provider`, or at a spare one should that fail. Nothing if nobody is left.
    async fn store(
        &self,
        pack: PackId,
        shard: ShardIndex,
        (hash, blob): (BlobHash, Bytes),
        provider: ProviderId,
        taken: &mut BTreeSet<ProviderId>,
    ) -> Option<Kept> {
        let mut target = provider;
        loop {
            match self.uploader.store_shard(shard, (hash, blob.clone()), target).await {
                Ok(kept) => return Some(kept),
                Err(failure) => {
                    self.uploader.blame(&Failure { pack: Some(pack), ..failure });
                    target = self.uploader.spare(taken)?;
                    taken.insert(target);
                }
            }
        }
    }

    /// Where each missing shard is to go: back to whoever lost it, if that one answers; where it was wrong, or nobody
    /// answers, rather to another one. Never two shards of a pack to one provider.
    fn targets(&self, one: &Examined, standing: &Standing) -> Vec<(ShardIndex, ProviderId)> {
        let mut taken: BTreeSet<_> = standing.placed.values().copied().collect();
        let mut targets = BTreeMap::new();
        let absent = standing.absent(one.pack.coding.scheme);
        let promised = |shard: ShardIndex, found: Found, taken: &BTreeSet<ProviderId>| {
            let is_it = |sight: &&Sight| sight.shard == shard && sight.found == found;
            let mut those = one.sights.iter().filter(is_it).map(|sight| sight.provider);
            those.find(|provider| self.roster.can_use(provider) && !taken.contains(provider))
        };
        // First who gets back what it lost: nobody else's shard must take that place.
        for shard in &absent {
            if let Some(provider) = promised(*shard, Found::Missing, &taken) {
                taken.insert(provider);
                targets.insert(*shard, provider);
            }
        }
        for shard in absent {
            if targets.contains_key(&shard) {
                continue;
            }
            let other = self.uploader.spare(&taken).or_else(|| promised(shard, Found::Corrupt, &taken));
            if let Some(provider) = other {
                taken.insert(provider);
                targets.insert(shard, provider);
            }
        }
        targets.into_iter().collect()
    }

    fn record(&self, mended: &Mended) -> Result<(), ClientError> {
        let promise = |kept: &Kept| {
            let promise = Promise { pack: mended.pack, shard: kept.shard, expires: kept.expires };
            PlacementItem::Promises(Promises { provider: kept.provider, promises: vec![promise] })
        };
        let items: Vec<_> = mended.kept.iter().map(promise).collect();
        Ok(self.client.vault.append(&items, &[])?)
    }
}

/// Bytes that a repair of the pack moves: what is read, and what is stored.
fn moved_by(one: &Examined, standing: &Standing) -> u64 {
    let coding = &one.pack.coding;
    let shards = usize::from(coding.scheme.need()) + standing.absent(coding.scheme).len();
    shards as u64 * u64::from(coding.shard_len())
}
