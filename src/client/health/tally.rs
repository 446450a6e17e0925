//! The account of a check: packs, shards and providers, counted. PURE.

use std::collections::BTreeMap;

use crate::client::health::state::{Found, Sight, Standing, Verdict};
use crate::client::health::survey::Examined;
use crate::erasure::Scheme;
use crate::types::{PackId, ProviderId, Timestamp};

/// What was found, counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Packs that were looked at.
    pub packs: u64,
    /// Packs of which every shard is there, each at a provider of its own.
    pub healthy: u64,
    /// Packs that are not healthy and can be restored.
    pub degraded: u64,
    /// Packs that can only be restored if providers come back that did not answer.
    pub out_of_reach: u64,
    /// Packs that cannot be restored.
    pub lost: u64,
    /// Their shards. Those that moved to another provider count there only.
    pub shards: ShardCounts,
    /// The same by provider.
    pub providers: BTreeMap<ProviderId, ProviderHealth>,
    /// Packs that are not healthy, and how they stand.
    pub weak: BTreeMap<PackId, Verdict>,
    /// How many packs of files' bytes are coded how.
    pub schemes: BTreeMap<Scheme, u64>,
    /// Packs one by one, as far as that was asked for.
    pub listed: Vec<ListedPack>,
}

/// Which packs are listed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Those that are not healthy, up to a number that a person still reads.
    Weak,
    /// Every one.
    All,
}

/// A pack, and what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPack {
    /// The pack.
    pub pack: PackId,
    /// True if it holds a part of a manifest.
    pub is_of_manifest: bool,
    /// Shards that are enough, and shards there are.
    pub scheme: Scheme,
    /// How it stands.
    pub verdict: Verdict,
    /// Its shards: who promised them, and what was found there.
    pub sights: Vec<Sight>,
}

/// Shards, by what was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// There, each at a provider of its own.
    pub good: u64,
    /// Not there, or only where another shard of the pack is.
    pub missing: u64,
    /// Something else is there.
    pub corrupt: u64,
    /// The provider did not answer, or cannot tell.
    pub unknown: u64,
}

/// What one provider has of what it promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderHealth {
    /// Shards that it is to keep.
    pub shards: u64,
    /// By what was found.
    pub found: ShardCounts,
    /// Good ones whose promise ends soon.
    pub expiring: u64,
    /// Good ones that are promised to others only, as far as this key may know: full devices to a capability.
    pub unpromised: u64,
    /// When the first promise for a good one lapses.
    pub first_lapse: Option<Timestamp>,
}

/// Weak packs that are listed one by one.
const WEAK_LISTED_MAX: usize = 100;

impl ShardCounts {
    fn add(&mut self, found: Found) {
        match found {
            Found::Good { .. } => self.good += 1,
            Found::Missing => self.missing += 1,
            Found::Corrupt => self.corrupt += 1,
            Found::Unknown | Found::Away => self.unknown += 1,
        }
    }
}

impl Tally {
    /// Counts a pack. Promises that end before `soon` are expiring.
    pub(crate) fn add(&mut self, examined: &Examined, listing: Listing, soon: Timestamp) {
        let scheme = examined.pack.coding.scheme;
        let standing = examined.standing();
        self.packs += 1;
        let is_weak = standing.verdict != Verdict::Healthy;
        if listing == Listing::All || is_weak && self.listed.len() < WEAK_LISTED_MAX {
            self.listed.push(ListedPack {
                pack: examined.pack.id,
                is_of_manifest: examined.pack.manifest_of.is_some(),
                scheme,
                verdict: standing.verdict,
                sights: examined.sights.clone(),
            });
        }
        if examined.pack.manifest_of.is_none() {
            *self.schemes.entry(scheme).or_default() += 1;
        }
        match standing.verdict {
            Verdict::Healthy => self.healthy += 1,
            Verdict::Degraded => self.degraded += 1,
            Verdict::OutOfReach => self.out_of_reach += 1,
            Verdict::Lost => self.lost += 1,
        }
        if is_weak {
            self.weak.insert(examined.pack.id, standing.verdict);
        }
        for sight in &examined.sights {
            self.add_to_provider(sight, &standing, soon);
        }
        for (shard, provider) in &standing.placed {
            let is_it = |sight: &&Sight| (sight.shard, sight.provider) == (*shard, *provider);
            self.shards.add(examined.sights.iter().find(is_it).map_or(Found::Unknown, |sight| sight.found));
        }
        for shard in standing.absent(scheme) {
            let found = |wanted| examined.sights.iter().any(|it| it.shard == shard && it.found == wanted);
            let worst = [Found::Corrupt, Found::Missing, Found::Unknown].into_iter().find(|it| found(*it));
            self.shards.add(worst.unwrap_or(Found::Missing));
        }
    }

    /// Counts a pack that is needed and of which nothing is recorded.
    pub(crate) fn add_unrecorded(&mut self, pack: PackId) {
        self.packs += 1;
        self.lost += 1;
        self.weak.insert(pack, Verdict::Lost);
    }

    /// A shard that counts elsewhere by now is no longer this provider's to keep.
    fn add_to_provider(&mut self, sight: &Sight, standing: &Standing, soon: Timestamp) {
        if standing.placed.get(&sight.shard).is_some_and(|provider| *provider != sight.provider) {
            return;
        }
        let row = self.providers.entry(sight.provider).or_default();
        row.shards += 1;
        row.found.add(sight.found);
        if sight.found == (Found::Good { expires: Timestamp(0) }) {
            row.unpromised += 1;
        } else if let Found::Good { expires } = sight.found {
            row.expiring += u64::from(expires < soon);
            row.first_lapse = Some(row.first_lapse.map_or(expires, |first| first.min(expires)));
        }
    }
}
