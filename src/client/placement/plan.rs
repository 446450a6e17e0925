//! Who gets the shards of a pack, and who stands by. PURE.
//!
//! No two shards of a pack go to one provider, and none to a banned one. Those that the user trusts come first, then
//! those that are known, by their score. Announcements cost nothing, so a crowd of newcomers may be one disk: they get
//! one shard of a pack at most, as long as there are others. What one operator has is lost together, and what listens
//! on one relay is silent together: shards are spread over them where that is possible.

use std::collections::BTreeSet;

use nostr::RelayUrl;

use crate::client::placement::Score;
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
    /// The user wants nothing stored there.
    Banned,
}

/// A provider that could get a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub provider: ProviderId,
    /// How far it is known.
    pub standing: Standing,
    /// How good it is.
    pub score: Score,
    /// Who runs it, as the user says.
    pub operator: Option<String>,
    /// Where it listens, as it announces; empty if it does not say.
    pub relays: BTreeSet<RelayUrl>,
}

/// The providers of one put, best first.
#[derive(Debug, Clone)]
pub struct Placement {
    ranked: Vec<Candidate>,
    spread: usize,
}

/// Whom a choice keeps away from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Avoid {
    /// Providers that failed: they get nothing more.
    pub down: BTreeSet<ProviderId>,
    /// Providers that are late: they come after all others.
    pub suspect: BTreeSet<ProviderId>,
}

impl Placement {
    /// Ranks `candidates`; `None` if those that may be used are fewer than `spread`.
    pub fn plan(mut candidates: Vec<Candidate>, spread: usize) -> Option<Self> {
        candidates.retain(|candidate| candidate.standing != Standing::Banned);
        candidates.sort_by_key(|candidate| (candidate.provider, candidate.standing));
        candidates.dedup_by_key(|candidate| candidate.provider);
        candidates.sort_by_key(|candidate| (candidate.standing, candidate.score, candidate.provider));
        (candidates.len() >= spread).then_some(Self { ranked: candidates, spread })
    }

    /// Providers that get shards as long as nothing goes wrong.
    pub fn chosen(&self) -> Vec<ProviderId> {
        self.choose(&Avoid::default())
    }

    /// How many of the chosen have no history with this vault.
    pub fn newcomers(&self) -> usize {
        let chosen: BTreeSet<_> = self.chosen().into_iter().collect();
        let is_new = |candidate: &&Candidate| candidate.standing == Standing::Newcomer;
        self.ranked.iter().filter(is_new).filter(|candidate| chosen.contains(&candidate.provider)).count()
    }

    /// The providers of one pack's shards, by shard index, fewer than the spread where too many are down. Packs take
    /// turns, so that data and parity are even.
    pub fn turn(&self, pack_number: usize, avoid: &Avoid) -> Vec<ProviderId> {
        let mut turn = self.choose(avoid);
        let by = pack_number % turn.len().max(1);
        turn.rotate_left(by);
        turn
    }

    /// The best provider for one more shard of a pack of which those in `taken` have shards, or may have.
    pub fn spare(&self, taken: &BTreeSet<ProviderId>, avoid: &Avoid) -> Option<ProviderId> {
        let held: Vec<_> =
            self.ranked.iter().filter(|candidate| taken.contains(&candidate.provider)).collect();
        self.next(&held, avoid).map(|candidate| candidate.provider)
    }

    fn choose(&self, avoid: &Avoid) -> Vec<ProviderId> {
        let mut held = Vec::with_capacity(self.spread);
        while held.len() < self.spread {
            let Some(next) = self.next(&held, avoid) else { break };
            held.push(next);
        }
        held.into_iter().map(|candidate| candidate.provider).collect()
    }

    /// The best candidate beside those that hold shards of the same pack.
    fn next(&self, held: &[&Candidate], avoid: &Avoid) -> Option<&Candidate> {
        let free = self.ranked.iter().filter(|candidate| {
            let is_held = held.iter().any(|holder| holder.provider == candidate.provider);
            !is_held && !avoid.down.contains(&candidate.provider)
        });
        free.min_by_key(|candidate| {
            let is_one_more_newcomer = candidate.standing == Standing::Newcomer
                && held.iter().any(|holder| holder.standing == Standing::Newcomer);
            (
                avoid.suspect.contains(&candidate.provider),
                is_one_more_newcomer,
                held.iter().any(|holder| holder.operator.is_some() && holder.operator == candidate.operator),
                candidate.standing,
                candidate.score.blame,
                all_on_one_relay(held, candidate),
                candidate.score.cost,
                candidate.provider,
            )
        })
    }
}

/// True if all of these are reached by one and the same relay only.
fn all_on_one_relay(held: &[&Candidate], candidate: &Candidate) -> bool {
    candidate.relays.len() == 1
        && !held.is_empty()
        && held.iter().all(|holder| holder.relays == candidate.relays)
}

#[cfg(test)]
mod tests;
