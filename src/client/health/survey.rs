//! Who has what: every provider is asked, in batches and without moving data, about the shards that it promised.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::error::Failure;
use crate::client::health::kept::{KeptPack, PromisedShard};
use crate::client::health::state::{Found, Sight, Standing};
use crate::client::roster::Roster;
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex};
use crate::vault::Blemish;
use crate::wire::Extension;

/// A pack, and what was found of it.
pub(crate) struct Examined {
    pub(crate) pack: KeptPack,
    /// What was found, in the order of the pack's promises.
    pub(crate) sights: Vec<Sight>,
}

impl Examined {
    /// A pack of which nothing was found yet.
    pub(crate) fn unknown(pack: KeptPack) -> Self {
        let sight = |promised: &PromisedShard| {
            let PromisedShard { shard, provider, .. } = *promised;
            Sight { shard, provider, found: Found::Unknown }
        };
        let sights = pack.promised.iter().map(sight).collect();
        Self { pack, sights }
    }

    /// How the pack stands.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(self.pack.coding.scheme, &self.sights)
    }

    /// The blob of a shard that was promised.
    pub(crate) fn hash(&self, sight: &Sight) -> Option<BlobHash> {
        self.pack.coding.shards.get(sight.shard.as_usize()).map(|name| name.hash)
    }

    /// Shards that are there.
    pub(crate) fn there(&self) -> impl Iterator<Item = (PackId, ShardIndex, ProviderId)> + '_ {
        let there = self.sights.iter().filter(|sight| matches!(sight.found, Found::Good { .. }));
        there.map(|sight| (self.pack.id, sight.shard, sight.provider))
    }

    /// What is to be healed. A shard that counts elsewhere by now is not.
    pub(crate) fn blemishes(&self) -> impl Iterator<Item = Blemish> + '_ {
        let placed = self.standing().placed;
        self.sights.iter().filter_map(move |sight| {
            let is_corrupt = match sight.found {
                _ if placed.contains_key(&sight.shard) => return None,
                Found::Corrupt => true,
                Found::Missing => false,
                Found::Good { .. } | Found::Unknown | Found::Away => return None,
            };
            let (pack, shard, provider) = (self.pack.id, sight.shard, sight.provider);
            Some(Blemish { pack, shard, provider, is_corrupt })
        })
    }
}

/// What is known beforehand, whatever providers say.
#[derive(Debug, Default)]
pub(crate) struct Foreknown {
    /// Shards that were found missing or wrong when they were read.
    pub(crate) blemishes: BTreeSet<Blemish>,
    /// Providers that do not answer and are waited for.
    pub(crate) excused: BTreeSet<ProviderId>,
}

impl Foreknown {
    /// What is known of one shard, if anything is that counts for more than a provider's word.
    fn of(&self, pack: &KeptPack, sight: &Sight) -> Option<Found> {
        let is_it = |is_corrupt| {
            let (shard, provider) = (sight.shard, sight.provider);
            self.blemishes.contains(&Blemish { pack: pack.id, shard, provider, is_corrupt })
        };
        match sight.found {
            _ if is_it(true) => Some(Found::Corrupt),
            // One that was missing may have come back; a provider that says so is believed until it is read.
            Found::Unknown if is_it(false) => Some(Found::Missing),
            Found::Unknown if self.excused.contains(&sight.provider) => Some(Found::Away),
            _ => None,
        }
    }
}

/// A shard in a survey: which pack, which of its sights.
type Spot = (usize, usize);

impl Client {
    /// Asks the members of `roster` about everything that they promised of `packs`. Who is not among them, fails, or
    /// cannot tell without sending the blobs, leaves its shards unknown.
    pub(crate) async fn survey(
        &self,
        packs: Vec<KeptPack>,
        foreknown: &Foreknown,
        roster: &Roster,
        failures: &mut Vec<Failure>,
    ) -> Vec<Examined> {
        let mut examined: Vec<_> = packs.into_iter().map(Examined::unknown).collect();
        let mut asked: BTreeMap<ProviderId, Vec<(Spot, BlobHash)>> = BTreeMap::new();
        for (index, one) in examined.iter().enumerate() {
            for (place, sight) in one.sights.iter().enumerate() {
                let can_tell = roster
                    .members
                    .get(&sight.provider)
                    .is_some_and(|member| member.terms.speaks(Extension::Stat));
                if let Some(hash) = one.hash(sight).filter(|_| can_tell) {
                    asked.entry(sight.provider).or_default().push(((index, place), hash));
                }
            }
        }
        let questions = asked.into_iter().map(|(provider, spots)| async move {
            let hashes: Vec<_> = spots.iter().map(|(_, hash)| *hash).collect();
            (provider, self.exchange.stat(provider, &hashes).await, spots)
        });
        for (provider, answer, spots) in join_all(questions).await {
            let items = match answer {
                Ok(items) => items,
                Err(error) => {
                    let failure = Failure::new(provider, None, &error);
                    self.monitor.failed(&failure);
                    failures.push(failure);
                    continue;
                }
            };
            for (((index, place), _), item) in spots.into_iter().zip(items) {
                let one = &mut examined[index];
                let len = u64::from(one.pack.coding.shard_len());
                one.sights[place].found = match item {
                    None => Found::Missing,
                    Some(promise) if promise.size != len => Found::Corrupt,
                    Some(promise) => Found::Good { expires: promise.expires },
                };
            }
        }
        for one in &mut examined {
            for sight in &mut one.sights {
                if let Some(found) = foreknown.of(&one.pack, sight) {
                    sight.found = found;
                }
            }
        }
        examined
    }
}
