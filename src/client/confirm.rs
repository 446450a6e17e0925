//! Confirmation: is a pack that is about to be reused really there (invariant I2)?
//!
//! What the manifest remembers is not enough: a provider may have lost its disk since. Each pack is asked for once in
//! a run, in batches, at every provider that promised a shard of it; promises that end too soon are renewed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::exchange::Exchange;
use crate::client::health::{Examined, Found, KeptPack, Mended, Mender, RepairLimits, Verdict};
use crate::client::roster::Roster;
use crate::client::upload::Uploader;
use crate::erasure::Scheme;
use crate::format::{Promise, Promises};
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex, Timestamp};
use crate::vault::Blemish;

/// How long a shard must be promised, unless `--accept-short` is given.
pub(crate) const KEEP_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Packs that were recorded behind one that is asked for, and are asked for with it: what a put that was cut off has stored
/// is asked for in the order in which it was recorded, and a question for each would take a long line long.
const NEIGHBOUR_COUNT: usize = 150;
/// Packs that are asked about at a time. What is known of each while it is asked for takes about a kilobyte.
const ASKED_TOGETHER: usize = if cfg!(test) { 3 } else { 4_000 };
/// Packs that lack a shard of which that is remembered until they are mended; others are asked about again by then.
const WEAK_COUNT_MAX: usize = if cfg!(test) { 2 } else { 4_000 };
/// How long with it: time enough to put again.
pub(crate) const KEEP_FOR_SHORT: Duration = Duration::from_secs(12 * 3_600);

/// What a reused pack must still be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standard {
    /// The coding that is asked for: as many distinct providers, and as many that may be lost.
    pub(crate) scheme: Scheme,
    /// Promises must last at least until then.
    pub(crate) keep_until: Timestamp,
    /// Promises that end before are renewed.
    pub(crate) renew_before: Timestamp,
}

impl Standard {
    /// What a put made at `now` asks for, if each shard must be kept for `keep_for`.
    pub(crate) fn new(scheme: Scheme, keep_for: Duration, now: Timestamp) -> Self {
        let keep_until = now.saturating_add(keep_for);
        Self { scheme, keep_until, renew_before: keep_until.saturating_add(keep_for / 4) }
    }

    /// True if shards of `scheme` at `providers` distinct providers are as good as a pack stored now.
    pub(crate) fn is_met(&self, scheme: Scheme, providers: usize) -> bool {
        let spare = providers.saturating_sub(usize::from(scheme.need()));
        providers >= usize::from(self.scheme.total()) && spare >= usize::from(self.scheme.parity())
    }
}

/// A shard that a provider promised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promised {
    pub(crate) shard: ShardIndex,
    pub(crate) hash: BlobHash,
    pub(crate) len: u32,
}

/// What a question about a pack came to.
enum Judgement {
    /// It is as good as one stored now.
    Good,
    /// It is not, and what is left of it is enough to make it so.
    Weak(Box<Examined>),
    /// It cannot be used.
    Bad,
}

/// Asks about packs, each once in a run.
pub(crate) struct Confirmer {
    standard: Standard,
    verdicts: BTreeMap<PackId, Judgement>,
    /// How many of them are [`Judgement::Weak`].
    weak_count: usize,
    /// Mends packs that lack a shard, where there is one: cheaper than to store everything in them anew.
    mends_with: Option<Uploader>,
    /// Packs that are condemned or deleted, once they were looked up.
    unusable: Option<BTreeSet<PackId>>,
    /// Nothing is there, whatever anybody says: all is stored anew.
    trusts_nothing: bool,
    /// Packs that will probably be asked for together: those of an earlier snapshot of the same name.
    together: BTreeSet<PackId>,
    /// Promises that were heard or renewed in this run, to be recorded.
    heard: Vec<Promises>,
}

impl Confirmer {
    pub(crate) fn new(standard: Standard, together: BTreeSet<PackId>) -> Self {
        let (verdicts, heard) = Default::default();
        let (weak_count, mends_with, unusable, trusts_nothing) = (0, None, None, false);
        Self { standard, verdicts, weak_count, mends_with, unusable, trusts_nothing, together, heard }
    }

    /// The same, and packs that lack a shard are mended.
    pub(crate) fn mending_with(self, uploader: Uploader) -> Self {
        Self { mends_with: Some(uploader), ..self }
    }

    /// One to which nothing is there, so that everything is stored anew.
    pub(crate) fn trusting_nothing(standard: Standard) -> Self {
        Self { trusts_nothing: true, ..Self::new(standard, BTreeSet::new()) }
    }

    /// True if all `packs` are there at full spread, promised for long enough, and nobody has condemned them.
    pub(crate) async fn all_there(
        &mut self,
        packs: &[PackId],
        client: &Client,
        roster: &Roster,
    ) -> Result<bool, ClientError> {
        if self.trusts_nothing {
            return Ok(false);
        }
        if packs.iter().any(|pack| !self.verdicts.contains_key(pack)) {
            let mut asked: BTreeSet<_> = packs.iter().copied().collect();
            if asked.iter().any(|pack| self.together.contains(pack)) {
                asked.append(&mut self.together);
            } else if let Some(first) = packs.first() {
                asked.extend(client.vault.packs_after(Some(first), NEIGHBOUR_COUNT)?);
            }
            asked.retain(|pack| !self.verdicts.contains_key(pack));
            self.ask(&asked, packs, client, roster).await?;
        }
        if self.mends_with.is_some() {
            self.mend(packs, client, roster).await?;
        }
        Ok(packs.iter().all(|pack| matches!(self.verdicts.get(pack), Some(Judgement::Good))))
    }

    /// Mends those of `packs` that lack a shard. Which ones came to full health is known from then on.
    async fn mend(&mut self, packs: &[PackId], client: &Client, roster: &Roster) -> Result<(), ClientError> {
        let Some(uploader) = &self.mends_with else { return Ok(()) };
        let mut weak = Vec::new();
        for pack in packs {
            let Some(Judgement::Weak(_)) = self.verdicts.get(pack) else { continue };
            if let Some(Judgement::Weak(one)) = self.verdicts.insert(*pack, Judgement::Bad) {
                self.weak_count -= 1;
                let standing = one.standing();
                weak.push((*one, standing));
            }
        }
        if weak.is_empty() {
            return Ok(());
        }
        let mender = Mender::new(client, roster, uploader);
        let verdicts = &mut self.verdicts;
        let tell = |mended: &Mended| {
            if mended.left == 0 {
                verdicts.insert(mended.pack, Judgement::Good);
            }
        };
        mender.mend_all(weak, &mut RepairLimits::NONE.clone(), tell).await
    }

    /// True if all of so many packs are still there as [`all_there`](Self::all_there) says. No verdict is remembered, nor
    /// what was heard.
    pub(crate) async fn are_all_still_there(
        &mut self,
        packs: &BTreeSet<PackId>,
        client: &Client,
        roster: &Roster,
    ) -> Result<bool, ClientError> {
        let blemishes = client.vault.blemishes()?;
        for part in portions(packs) {
            self.ask_together(&part, &[], &blemishes, client, roster).await?;
            let verdicts = std::mem::take(&mut self.verdicts);
            self.heard.clear();
            if verdicts.values().any(|verdict| !matches!(verdict, Judgement::Good)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Promises heard since the last call, to be recorded.
    pub(crate) fn take_heard(&mut self) -> Vec<Promises> {
        std::mem::take(&mut self.heard)
    }

    /// Asks about packs. Those that are `wanted` have a verdict then, and of the others all but too many weak ones.
    async fn ask(
        &mut self,
        packs: &BTreeSet<PackId>,
        wanted: &[PackId],
        client: &Client,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        let blemishes = client.vault.blemishes()?;
        for part in portions(packs) {
            self.ask_together(&part, wanted, &blemishes, client, roster).await?;
        }
        Ok(())
    }

    async fn ask_together(
        &mut self,
        packs: &BTreeSet<PackId>,
        wanted: &[PackId],
        blemishes: &BTreeSet<Blemish>,
        client: &Client,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        let mut examined: BTreeMap<PackId, Examined> = BTreeMap::new();
        let mut promised: BTreeMap<ProviderId, Vec<(PackId, Promised)>> = BTreeMap::new();
        let unusable = match self.unusable.take() {
            Some(unusable) => unusable,
            None => client.vault.unusable_packs()?,
        };
        for id in packs.difference(&unusable) {
            let Some(pack) = KeptPack::of_files(id, &client.vault)? else { continue };
            let one = Examined::unknown(pack);
            for sight in &one.sights {
                let (shard, provider) = (sight.shard, sight.provider);
                let spoilt = Blemish { pack: *id, shard, provider, is_corrupt: true };
                if let Some(hash) = one.hash(sight).filter(|_| !blemishes.contains(&spoilt)) {
                    let shard = Promised { shard, hash, len: one.pack.coding.shard_len() };
                    promised.entry(provider).or_default().push((*id, shard));
                }
            }
            examined.insert(*id, one);
        }
        promised.retain(|provider, _| roster.can_use(provider));
        let standard = self.standard;
        let asked = promised.into_iter().map(|(provider, shards)| async move {
            let blobs: Vec<_> = shards.iter().map(|(_, shard)| *shard).collect();
            let found = still_there(&client.exchange, provider, &blobs, &standard).await;
            (provider, shards, found)
        });
        for (provider, shards, found) in join_all(asked).await {
            let mut heard = Vec::new();
            for ((pack, shard), expires) in shards.iter().zip(found) {
                let Some(one) = examined.get_mut(pack) else { continue };
                heard.extend(one.hear(shard.shard, provider, expires, standard.keep_until));
            }
            if !heard.is_empty() {
                self.heard.push(Promises { provider, promises: heard });
            }
        }
        for id in packs {
            let judgement = examined.remove(id).map_or(Judgement::Bad, |one| self.judge(one));
            if matches!(judgement, Judgement::Weak(_)) {
                if self.weak_count >= WEAK_COUNT_MAX && !wanted.contains(id) {
                    continue;
                }
                self.weak_count += 1;
            }
            self.verdicts.insert(*id, judgement);
        }
        self.unusable = Some(unusable);
        Ok(())
    }

    fn judge(&self, one: Examined) -> Judgement {
        let (scheme, standing) = (one.pack.coding.scheme, one.standing());
        if self.standard.is_met(scheme, standing.placed.len()) {
            Judgement::Good
        } else if self.mends_with.is_some()
            && self.standard.is_met(scheme, scheme.total().into())
            && standing.verdict == Verdict::Degraded
        {
            Judgement::Weak(Box::new(one))
        } else {
            Judgement::Bad
        }
    }
}

/// As many packs at a time as are asked about together.
fn portions(packs: &BTreeSet<PackId>) -> impl Iterator<Item = BTreeSet<PackId>> {
    let mut left = packs.iter().copied();
    std::iter::from_fn(move || {
        let part: BTreeSet<_> = left.by_ref().take(ASKED_TOGETHER).collect();
        (!part.is_empty()).then_some(part)
    })
}

impl Examined {
    /// Takes in until when a provider promises a shard now. What is to be recorded of that: of two promises the later one
    /// counts, and what is recorded already need not be said again.
    fn hear(
        &mut self,
        shard: ShardIndex,
        provider: ProviderId,
        expires: Option<Timestamp>,
        keep_until: Timestamp,
    ) -> Option<Promise> {
        let (recorded, sight) = self
            .pack
            .promised
            .iter()
            .zip(&mut self.sights)
            .find(|(_, sight)| (sight.shard, sight.provider) == (shard, provider))?;
        sight.found = match expires {
            Some(expires) if expires >= keep_until => Found::Good { expires },
            // It is there, but not for long enough.
            Some(_) => Found::Unknown,
            None => Found::Missing,
        };
        let pack = self.pack.id;
        expires.filter(|expires| *expires > recorded.expires).map(|expires| Promise { pack, shard, expires })
    }
}

/// Until when `provider` now promises each of `shards`; `None` where it has none of it. Renews what ends too soon. A
/// provider that does not answer has nothing.
pub(crate) async fn still_there(
    exchange: &Exchange,
    provider: ProviderId,
    shards: &[Promised],
    standard: &Standard,
) -> Vec<Option<Timestamp>> {
    let hashes: Vec<_> = shards.iter().map(|shard| shard.hash).collect();
    let stats = match exchange.stat_hastily(provider, &hashes).await {
        Ok(stats) => stats,
        Err(error) => {
            tracing::warn!(provider = %provider.short(), %error, "cannot confirm what it keeps");
            return vec![None; shards.len()];
        }
    };
    let right_len = |(stat, shard): (Option<_>, &Promised)| -> Option<Timestamp> {
        stat.filter(|stat: &crate::wire::Promise| stat.size == u64::from(shard.len)).map(|stat| stat.expires)
    };
    let mut expires: Vec<_> = stats.into_iter().zip(shards).map(right_len).collect();
    let late: Vec<_> = (0..shards.len())
        .filter(|index| expires[*index].is_some_and(|expires| expires < standard.renew_before))
        .collect();
    if late.is_empty() {
        return expires;
    }
    let hashes: Vec<_> = late.iter().map(|index| shards[*index].hash).collect();
    match exchange.renew(provider, &hashes, None).await {
        Ok(renewed) => {
            for (index, promise) in late.into_iter().zip(renewed) {
                expires[index] = promise.map(|promise| promise.expires).max(expires[index]);
            }
        }
        Err(error) => tracing::warn!(provider = %provider.short(), %error, "cannot renew what it keeps"),
    }
    expires
}
