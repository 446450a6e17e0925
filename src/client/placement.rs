//! Placement: which provider gets which shard. PURE.
//!
//! Two rules. No two shards of a pack go to one provider. Announcements cost nothing, so a crowd of newcomers may be
//! one disk: providers without a history come last.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::types::ProviderId;

/// How far a provider is known to this vault. The order is the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Named by the user.
    Trusted,
    /// Keeps something for this vault already.
    Known,
    /// Without a history.
    Newcomer,
}

/// A provider that could get a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub provider: ProviderId,
    /// How far it is known.
    pub standing: Standing,
    /// How long its answer took in this run.
    pub latency: Duration,
}

/// The providers of one put, best first: the first `spread` get shards, the rest are spares.
#[derive(Debug, Clone)]
pub struct Placement {
    ranked: Vec<ProviderId>,
    spread: usize,
    newcomers: usize,
}

impl Placement {
    /// Ranks `candidates`; `None` if they are fewer than `spread`.
    pub fn plan(mut candidates: Vec<Candidate>, spread: usize) -> Option<Self> {
        candidates.sort_by_key(|candidate| (candidate.standing, candidate.latency, candidate.provider));
        candidates.dedup_by_key(|candidate| candidate.provider);
        if candidates.len() < spread {
            return None;
        }
        let newcomers =
            candidates[..spread].iter().filter(|candidate| candidate.standing == Standing::Newcomer).count();
        let ranked = candidates.into_iter().map(|candidate| candidate.provider).collect();
        Some(Self { ranked, spread, newcomers })
    }

    /// Providers that get shards as long as nothing goes wrong.
    pub fn chosen(&self) -> &[ProviderId] {
        &self.ranked[..self.spread]
    }

    /// How many of the chosen have no history with this vault.
    pub fn newcomers(&self) -> usize {
        self.newcomers
    }

    /// The providers of one pack's shards, by shard index. Packs take turns, so that data and parity are even.
    pub fn turn(&self, pack_number: usize) -> Vec<ProviderId> {
        let mut turn = self.chosen().to_vec();
        turn.rotate_left(pack_number % self.spread);
        turn
    }

    /// The best provider that neither holds a shard of the pack (`taken`) nor has failed (`down`).
    pub fn spare(&self, taken: &BTreeSet<ProviderId>, down: &BTreeSet<ProviderId>) -> Option<ProviderId> {
        self.ranked.iter().copied().find(|provider| !taken.contains(provider) && !down.contains(provider))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u8, standing: Standing, latency_ms: u64) -> Candidate {
        let provider = ProviderId::new([number; 32]);
        Candidate { provider, standing, latency: Duration::from_millis(latency_ms) }
    }

    #[test]
    fn fewer_candidates_than_the_spread_make_no_placement() {
        let twice_the_same = vec![candidate(1, Standing::Known, 1), candidate(1, Standing::Known, 2)];
        assert!(Placement::plan(twice_the_same, 2).is_none());
        assert!(Placement::plan(vec![], 1).is_none());
    }

    #[test]
    fn newcomers_come_last_however_fast_they_are() {
        let candidates = vec![
            candidate(1, Standing::Newcomer, 0),
            candidate(2, Standing::Known, 900),
            candidate(3, Standing::Trusted, 999),
            candidate(4, Standing::Newcomer, 1),
        ];
        let placement = Placement::plan(candidates, 3).unwrap();
        assert_eq!(placement.chosen(), [3, 2, 1].map(|number| ProviderId::new([number; 32])));
        assert_eq!(placement.newcomers(), 1);
    }

    #[test]
    fn every_turn_gives_each_provider_one_shard() {
        let placement =
            Placement::plan((1..=5).map(|n| candidate(n, Standing::Known, 1)).collect(), 4).unwrap();
        for pack_number in 0..9 {
            let distinct: BTreeSet<_> = placement.turn(pack_number).into_iter().collect();
            assert_eq!(distinct, placement.chosen().iter().copied().collect());
        }
        assert_ne!(placement.turn(0), placement.turn(1));
    }

    #[test]
    fn a_spare_neither_holds_a_shard_nor_is_down() {
        let placement =
            Placement::plan((1..=4).map(|n| candidate(n, Standing::Known, 1)).collect(), 2).unwrap();
        let id = |number| ProviderId::new([number; 32]);
        assert_eq!(placement.spare(&[id(1), id(2)].into(), &[id(3)].into()), Some(id(4)));
        assert_eq!(placement.spare(&[id(1), id(2)].into(), &[id(3), id(4)].into()), None);
    }
}
