//! Promises are extended before they lapse: in batches, and without moving data where the provider can do that.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{ExchangeError, StoreOptions};
use crate::client::health::check::Charge;
use crate::client::health::kept::{ASKED_TOGETHER, KeptPack, PromisedShard};
use crate::client::health::state::{Found, Sight, Standing};
use crate::client::roster::{Member, Roster};
use crate::format::{PlacementItem, Promise, Promises};
use crate::types::limits::PROMISE_COUNT_MAX;
use crate::types::{BlobHash, ProviderId, SnapshotId, Timestamp};
use crate::wire::Extension;

/// A promise that is extended by less is not worth a record.
const GAIN_MIN: Duration = Duration::from_secs(86_400);

/// Which promises are extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// All that can be.
    All,
    /// Those of which less than half of what the provider announces is left.
    HalfOver,
}

/// What a renewal has done.
#[derive(Debug, Default)]
pub struct RenewOutcome {
    /// Promises that last longer now, or as long as the provider announces.
    pub renewed: u64,
    /// Shards that nobody promises for longer: their provider does not answer, refuses, or has lost them.
    pub failed: u64,
    /// Bytes of blobs that had to be moved, at providers that cannot renew.
    pub bytes_moved: u64,
    /// When the first promise lapses that was looked at.
    pub first_lapse: Option<Timestamp>,
    /// Providers that failed.
    pub failures: Vec<Failure>,
}

/// A promise that is to be extended.
struct Wish {
    /// The pack's place in its part.
    index: usize,
    promised: PromisedShard,
    hash: BlobHash,
    len: u64,
}

impl Due {
    fn is_met(self, expires: Timestamp, member: &Member, now: Timestamp) -> bool {
        self == Self::All || expires.since(now) < member.terms.retention / 2
    }
}

impl RenewOutcome {
    /// Counts what is promised of a pack now. A shard that is promised elsewhere is not missed where it was.
    fn count(&mut self, pack: &KeptPack, sights: &[Sight]) {
        let standing = Standing::of(pack.coding.scheme, sights);
        self.failed += standing.absent(pack.coding.scheme).len() as u64;
        for sight in sights {
            if let Found::Good { expires } = sight.found
                && standing.placed.get(&sight.shard) == Some(&sight.provider)
            {
                self.first_lapse = Some(self.first_lapse.map_or(expires, |first| first.min(expires)));
            }
        }
    }
}

impl Client {
    /// Extends every promise that the vault, or one of its snapshots, relies on, and records what was promised.
    pub async fn renew(&mut self, snapshot: Option<SnapshotId>) -> Result<RenewOutcome, ClientError> {
        let charge = self.charge_for(snapshot).await?;
        let mut outcome =
            RenewOutcome { failures: charge.roster.failures.clone(), ..RenewOutcome::default() };
        let done = self.renew_all(Due::All, &charge, &mut outcome).await;
        self.remember_deeds();
        done?;
        self.publish_news(&charge.caught).await?;
        Ok(outcome)
    }

    /// Extends what is due of everything that is looked after.
    pub(crate) async fn renew_all(
        &self,
        due: Due,
        charge: &Charge,
        outcome: &mut RenewOutcome,
    ) -> Result<(), ClientError> {
        for part in charge.packs.chunks(ASKED_TOGETHER) {
            let packs = self.kept_packs(part)?;
            self.renew_part(&packs, due, &charge.roster, outcome).await?;
        }
        let manifests = self.manifest_packs(charge.heads(), &charge.roster).await;
        self.renew_part(&manifests, due, &charge.roster, outcome).await
    }

    async fn renew_part(
        &self,
        packs: &[KeptPack],
        due: Due,
        roster: &Roster,
        outcome: &mut RenewOutcome,
    ) -> Result<(), ClientError> {
        let now = self.env.now();
        let mut wishes: BTreeMap<ProviderId, Vec<Wish>> = BTreeMap::new();
        let mut sights: Vec<Vec<Sight>> = vec![Vec::new(); packs.len()];
        for (index, pack) in packs.iter().enumerate() {
            for promised in &pack.promised {
                let PromisedShard { shard, provider, expires } = *promised;
                let Some(name) = pack.coding.shards.get(shard.as_usize()) else { continue };
                let member = roster.members.get(&provider);
                let is_due = member.is_some_and(|member| due.is_met(expires, member, now));
                if is_due {
                    let wish = Wish {
                        index,
                        promised: *promised,
                        hash: name.hash,
                        len: pack.coding.shard_len().into(),
                    };
                    wishes.entry(provider).or_default().push(wish);
                } else {
                    let found = if expires >= now { Found::Good { expires } } else { Found::Missing };
                    sights[index].push(Sight { shard, provider, found });
                }
            }
        }
        let renewals = wishes.into_iter().map(|(provider, wishes)| async move {
            let done = self.renew_at(provider, &wishes, roster).await;
            (provider, wishes, done)
        });
        let mut items = Vec::new();
        for (provider, wishes, (promises, moved, failure)) in join_all(renewals).await {
            outcome.bytes_moved += moved;
            outcome.failures.extend(failure);
            let mut recorded = Vec::new();
            for (wish, promise) in wishes.iter().zip(promises) {
                let (pack, shard) = (&packs[wish.index], wish.promised.shard);
                let found = promise.map_or(Found::Missing, |expires| Found::Good { expires });
                sights[wish.index].push(Sight { shard, provider, found });
                outcome.renewed += u64::from(promise.is_some());
                let gain = promise.map_or(Duration::ZERO, |expires| expires.since(wish.promised.expires));
                // Promises for the manifest's own packs stand in heads.
                if let Some(expires) = promise.filter(|_| gain >= GAIN_MIN && pack.manifest_of.is_none()) {
                    recorded.push(Promise { pack: pack.id, shard, expires });
                }
            }
            let item = |part: &[Promise]| Promises { provider, promises: part.to_vec() };
            items.extend(recorded.chunks(PROMISE_COUNT_MAX).map(item).map(PlacementItem::Promises));
        }
        for (pack, sights) in packs.iter().zip(&sights) {
            outcome.count(pack, sights);
        }
        Ok(self.vault.append(&items, &[])?)
    }

    /// Until when `provider` now promises each shard; what had to be moved for it; who failed, if anybody did.
    async fn renew_at(
        &self,
        provider: ProviderId,
        wishes: &[Wish],
        roster: &Roster,
    ) -> (Vec<Option<Timestamp>>, u64, Option<Failure>) {
        let none = || vec![None; wishes.len()];
        let Some(member) = roster.members.get(&provider) else { return (none(), 0, None) };
        if !member.terms.speaks(Extension::Renew) {
            return self.store_again_at(provider, wishes).await;
        }
        let hashes: Vec<_> = wishes.iter().map(|wish| wish.hash).collect();
        match self.exchange.renew(provider, &hashes, None).await {
            Ok(items) => {
                let expires = |item: Option<crate::wire::Promise>| item.map(|promise| promise.expires);
                (items.into_iter().map(expires).collect(), 0, None)
            }
            Err(error) => {
                let failure = Failure::new(provider, None, &error);
                self.monitor.failed(&failure);
                (none(), 0, Some(failure))
            }
        }
    }

    /// A provider of the base protocol extends a promise when it is given the blob once more.
    async fn store_again_at(
        &self,
        provider: ProviderId,
        wishes: &[Wish],
    ) -> (Vec<Option<Timestamp>>, u64, Option<Failure>) {
        let (mut promises, mut moved, mut failure) = (Vec::with_capacity(wishes.len()), 0, None);
        for wish in wishes {
            // Who has failed once would only make everybody wait.
            let again = if failure.is_some() { None } else { Some(self.store_again(provider, wish).await) };
            promises.push(match again {
                Some(Ok(expires)) => {
                    moved += 2 * wish.len;
                    Some(expires)
                }
                Some(Err(error)) if error.code().is_none() => {
                    failure = Some(Failure::new(provider, None, &error));
                    None
                }
                Some(Err(_)) | None => None,
            });
        }
        (promises, moved, failure)
    }

    async fn store_again(&self, provider: ProviderId, wish: &Wish) -> Result<Timestamp, ExchangeError> {
        let blob = self.exchange.fetch(provider, wish.hash, Some(wish.len)).await?;
        let options = StoreOptions { hash: Some(wish.hash), ..StoreOptions::default() };
        Ok(self.exchange.store(provider, blob, options).await?.expires)
    }
}
