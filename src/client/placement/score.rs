//! How good a provider is, from what is remembered of it. PURE.

use std::time::Duration;

use crate::vault::ProviderRecord;

/// What a shard is taken to be long: the largest that there is.
const SHARD_LEN: u64 = 512 * 1024;
/// Bytes a second that a provider is taken to move before it has moved any.
const THROUGHPUT_UNKNOWN: u32 = 4 * 1024 * 1024;
/// Demerits below this are nothing: one outage is worth less.
const DEMERITS_FORGIVEN: u32 = 25;
/// Costs below this are all the same.
const COST_MIN_MS: u64 = 50;

/// How good a provider is: the less, the better. Conduct comes first, and then what a shard costs in time. Both in
/// steps that double, so that chance does not move shards about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// 0 without blame; one more for twice the demerits.
    pub blame: u32,
    /// 0 where a shard takes next to no time; one more for twice as long.
    pub cost: u32,
}

impl Score {
    /// The score of a provider with this record, whose answer took `latency` in this run.
    pub fn of(record: &ProviderRecord, latency: Duration) -> Self {
        let blame = (record.demerits / DEMERITS_FORGIVEN + 1).ilog2();
        let now_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        let usual_ms = record.latency_ms.map_or(now_ms, u64::from);
        let throughput = record.throughput.unwrap_or(THROUGHPUT_UNKNOWN).max(1);
        let shard_ms = SHARD_LEN * 1_000 / u64::from(throughput);
        let cost_ms = (now_ms / 2).saturating_add(usual_ms / 2).saturating_add(shard_ms);
        Self { blame, cost: (cost_ms / COST_MIN_MS).saturating_add(1).ilog2() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Timestamp;
    use crate::vault::Deed;

    fn after(deeds: &[Deed]) -> ProviderRecord {
        let (mut run, mut record) = (ProviderRecord::default(), ProviderRecord::default());
        for deed in deeds {
            run.take(*deed);
        }
        record.absorb(&run, Timestamp(0), Timestamp(1));
        record
    }

    const SOON: Duration = Duration::from_millis(5);

    #[test]
    fn losses_weigh_more_than_silence_and_silence_more_than_slowness() {
        let slow = Score::of(&ProviderRecord::default(), Duration::from_secs(2));
        let often_silent = {
            let mut record = ProviderRecord::default();
            let mut run = ProviderRecord::default();
            run.take(Deed::Silent);
            for at in 0..10 {
                record.absorb(&run, Timestamp(at), Timestamp(at));
            }
            Score::of(&record, SOON)
        };
        let lost = Score::of(&after(&[Deed::Lost]), SOON);
        assert!(slow < often_silent && often_silent < lost, "{slow:?} {often_silent:?} {lost:?}");
        assert_eq!(lost, Score::of(&after(&[Deed::Corrupt]), SOON));
        assert_eq!(lost, Score::of(&after(&[Deed::Audited { good: 99, bad: 1 }]), SOON));
    }

    #[test]
    fn one_outage_and_small_differences_of_speed_move_nothing() {
        let good = Score::of(&ProviderRecord::default(), SOON);
        assert_eq!(good, Score::of(&after(&[Deed::Silent; 20]), SOON));
        assert_eq!(good, Score::of(&ProviderRecord::default(), SOON * 2));
    }

    proptest! {
        /// Whatever is remembered, more of what is bad never makes a provider better, and nothing overflows.
        #[test]
        fn score_follows_conduct_and_cost(
            demerits: u32, more: u32, latency_ms: Option<u32>, throughput: Option<u32>, millis: u64, later: u32,
        ) {
            let record = ProviderRecord { latency_ms, throughput, demerits, ..ProviderRecord::default() };
            let latency = Duration::from_millis(millis);
            let score = Score::of(&record, latency);
            let worse = ProviderRecord { demerits: demerits.saturating_add(more), ..record };
            prop_assert!(Score::of(&worse, latency) >= score);
            let slower = latency.saturating_add(Duration::from_millis(later.into()));
            prop_assert!(Score::of(&record, slower) >= score);
            let faster = ProviderRecord { throughput: throughput.map(|it| it.saturating_add(more)), ..record };
            prop_assert!(Score::of(&faster, latency) <= score);
        }
    }
}
