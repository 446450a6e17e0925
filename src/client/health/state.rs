//! How a pack stands: which of its shards were found where, against k, n and the spread. PURE.

use std::collections::{BTreeMap, BTreeSet};

use crate::erasure::Scheme;
use crate::types::{ProviderId, ShardIndex, Timestamp};

/// What was found out about a shard that a provider promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The provider has it, as far as was looked.
    Good {
        /// Until when it promises to keep it; 0 where this vault has no claim of its own on it.
        expires: Timestamp,
    },
    /// The provider does not have it.
    Missing,
    /// What the provider has is not the shard.
    Corrupt,
    /// The provider did not answer, or cannot tell.
    Unknown,
    /// The provider does not answer, but not for so long that it is given up.
    Away,
}

/// A shard, whoever promised it, and what was found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Which shard.
    pub shard: ShardIndex,
    /// Who promised it.
    pub provider: ProviderId,
    /// What was found.
    pub found: Found,
}

/// How a pack stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every shard is there, each at a provider of its own.
    Healthy,
    /// It can be restored, but not everything is where it should be.
    Degraded,
    /// Fewer than `need` shards were found; the rest may come back with the providers that did not answer.
    OutOfReach,
    /// Fewer than `need` shards can be left.
    Lost,
}

/// How a pack stands, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// For each shard that counts, the provider that it counts at: as many different providers as can be.
    pub(crate) placed: BTreeMap<ShardIndex, ProviderId>,
    /// What that makes of the pack.
    pub(crate) verdict: Verdict,
}

impl Found {
    /// True if the shard is there, or taken to be for now.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Good { .. } | Self::Away)
    }
}

impl Standing {
    /// How a pack of `scheme` stands.
    pub(crate) fn of(scheme: Scheme, sights: &[Sight]) -> Self {
        let total = scheme.total();
        let seen = |wanted: fn(Found) -> bool| -> usize {
            let shards = sights.iter().filter(|sight| wanted(sight.found) && sight.shard.0 < total);
            shards.map(|sight| sight.shard).collect::<BTreeSet<_>>().len()
        };
        let need = usize::from(scheme.need());
        let good = seen(|found| matches!(found, Found::Good { .. }));
        let possible = seen(|found| matches!(found, Found::Good { .. } | Found::Away | Found::Unknown));
        let placed = spread(sights.iter().filter(|sight| sight.found.counts() && sight.shard.0 < total));
        let verdict = if possible < need {
            Verdict::Lost
        } else if placed.len() == usize::from(total) {
            Verdict::Healthy
        } else if good < need {
            Verdict::OutOfReach
        } else {
            Verdict::Degraded
        };
        Self { placed, verdict }
    }

    /// Shards that are nowhere, or only where another shard of the pack counts already.
    pub(crate) fn absent(&self, scheme: Scheme) -> Vec<ShardIndex> {
        (0..scheme.total()).map(ShardIndex).filter(|shard| !self.placed.contains_key(shard)).collect()
    }
}

/// Gives as many shards as possible a provider each, no provider twice: a maximum matching by augmenting paths.
fn spread<'a>(sights: impl Iterator<Item = &'a Sight>) -> BTreeMap<ShardIndex, ProviderId> {
    let mut holders: BTreeMap<ShardIndex, BTreeSet<ProviderId>> = BTreeMap::new();
    for sight in sights {
        holders.entry(sight.shard).or_default().insert(sight.provider);
    }
    let mut taken: BTreeMap<ProviderId, ShardIndex> = BTreeMap::new();
    for shard in holders.keys() {
        place(*shard, &holders, &mut taken, &mut BTreeSet::new());
    }
    taken.into_iter().map(|(provider, shard)| (shard, provider)).collect()
}

/// Finds a provider for `shard`, moving others where that helps. Whether there is one. As deep as there are shards.
fn place(
    shard: ShardIndex,
    holders: &BTreeMap<ShardIndex, BTreeSet<ProviderId>>,
    taken: &mut BTreeMap<ProviderId, ShardIndex>,
    tried: &mut BTreeSet<ProviderId>,
) -> bool {
    for provider in holders.get(&shard).into_iter().flatten() {
        if !tried.insert(*provider) {
            continue;
        }
        let other = taken.get(provider).copied();
        if other.is_none_or(|other| place(other, holders, taken, tried)) {
            taken.insert(*provider, shard);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Found = Found::Good { expires: Timestamp(9) };

    fn sight(shard: u8, provider: u8, found: Found) -> Sight {
        Sight { shard: ShardIndex(shard), provider: ProviderId::new([provider; 32]), found }
    }

    fn standing(need: u8, total: u8, sights: &[Sight]) -> Standing {
        Standing::of(Scheme::new(need, total).unwrap(), sights)
    }

    #[test]
    fn a_pack_is_healthy_when_every_shard_has_a_provider_of_its_own() {
        let all = [sight(0, 1, GOOD), sight(1, 2, GOOD), sight(2, 3, GOOD)];
        assert_eq!(standing(2, 3, &all).verdict, Verdict::Healthy);
        let doubled = [sight(0, 1, GOOD), sight(1, 2, GOOD), sight(2, 2, GOOD)];
        let doubled = standing(2, 3, &doubled);
        assert_eq!((doubled.verdict, doubled.placed.len()), (Verdict::Degraded, 2));
    }

    #[test]
    fn shards_that_moved_count_where_they_spread_most() {
        // Shard 0 is at 1 and 2, shard 1 only at 1: both count.
        let moved = [sight(0, 1, GOOD), sight(0, 2, GOOD), sight(1, 1, GOOD)];
        let moved = standing(1, 2, &moved);
        assert_eq!(moved.verdict, Verdict::Healthy);
        assert_eq!(moved.placed[&ShardIndex(1)], ProviderId::new([1; 32]));
    }

    #[test]
    fn what_is_left_decides_between_degraded_out_of_reach_and_lost() {
        for pattern in 0..4_usize.pow(4) {
            let kinds = [GOOD, Found::Missing, Found::Unknown, Found::Away];
            let found: Vec<Found> = (0..4).map(|shard| kinds[pattern / 4_usize.pow(shard) % 4]).collect();
            let sights: Vec<_> = (0..4).map(|n| sight(n, n, found[usize::from(n)])).collect();
            let count = |wanted: &[Found]| found.iter().filter(|found| wanted.contains(found)).count();
            let verdict = standing(2, 4, &sights).verdict;
            if count(&[GOOD, Found::Away]) == 4 {
                assert_eq!(verdict, Verdict::Healthy);
            } else if count(&[GOOD]) >= 2 {
                assert_eq!(verdict, Verdict::Degraded);
            } else if count(&[GOOD, Found::Away, Found::Unknown]) >= 2 {
                assert_eq!(verdict, Verdict::OutOfReach);
            } else {
                assert_eq!(verdict, Verdict::Lost);
            }
        }
    }

    #[test]
    fn absent_shards_are_those_without_a_provider_of_their_own() {
        let sights = [sight(0, 1, GOOD), sight(1, 1, GOOD), sight(2, 2, Found::Corrupt), sight(9, 3, GOOD)];
        let standing = standing(1, 3, &sights);
        assert_eq!(standing.absent(Scheme::new(1, 3).unwrap()).len(), 2);
    }
}
