//! When a transfer is late, from what other transfers of the run take. PURE.
//!
//! The measure is relative: on a line on which everything is slow nothing is late, and nothing is sent twice. Before
//! the first transfer is done nothing can be compared; then the bytes under way say how long may be waited.

use std::collections::VecDeque;
use std::time::Duration;

/// Transfers that are remembered.
const RECENT_MAX: usize = 32;
/// Nothing is late before that, however fast the others are.
const LATE_MIN: Duration = Duration::from_millis(200);
/// Nothing is late before that while little is known.
const LATE_MIN_EARLY: Duration = Duration::from_millis(400);
/// How many transfers are little.
const EARLY_COUNT: usize = 4;
/// A transfer is late after so many times what the others take.
const LATE_FACTOR: u32 = 3;
/// When the first transfer is late, if next to nothing is under way.
const LATE_UNKNOWN: Duration = Duration::from_millis(700);
/// A line that moves fewer bytes a second may be taken for a late provider, until the first transfer is done.
const SLOW_LINE: u64 = 64 * 1024;
/// Below this length all transfers take as long.
const LEN_MIN: u64 = 32 * 1024;

/// What transfers take in this run.
#[derive(Debug, Default)]
pub(super) struct Tempo {
    recent: VecDeque<(u64, Duration)>,
}

impl Tempo {
    /// A transfer of `len` bytes took so long.
    pub(super) fn took(&mut self, len: u64, took: Duration) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((len, took));
    }

    /// True once there is something to compare with.
    pub(super) fn is_known(&self) -> bool {
        !self.recent.is_empty()
    }

    /// After how long a transfer of `len` bytes is late, while so many bytes are under way to or from a provider that
    /// answers small questions within `answer`.
    pub(super) fn late_after(&self, len: u64, under_way: u64, answer: Duration) -> Duration {
        if !self.is_known() {
            let backlog = Duration::from_millis(under_way.saturating_mul(1_000) / SLOW_LINE);
            return LATE_UNKNOWN.max(answer.saturating_mul(4)).saturating_add(backlog);
        }
        let least = if self.recent.len() < EARLY_COUNT { LATE_MIN_EARLY } else { LATE_MIN };
        self.median(len).saturating_mul(LATE_FACTOR).max(least)
    }

    /// What a transfer of `len` bytes takes, by the median of those that were done; shorter ones are scaled up.
    fn median(&self, len: u64) -> Duration {
        let scaled = |(done, took): &(u64, Duration)| {
            let ratio = u32::try_from(len.max(LEN_MIN).div_ceil((*done).max(LEN_MIN))).unwrap_or(u32::MAX);
            took.saturating_mul(ratio)
        };
        let mut all: Vec<_> = self.recent.iter().map(scaled).collect();
        all.sort_unstable();
        all[all.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const SOON: Duration = Duration::from_millis(2);

    fn tempo(count: usize, len: u64, millis: u64) -> Tempo {
        let mut tempo = Tempo::default();
        for _ in 0..count {
            tempo.took(len, Duration::from_millis(millis));
        }
        tempo
    }

    #[test]
    fn late_is_what_takes_a_multiple_of_what_others_take() {
        let late = |millis| tempo(10, 512 * KIB, millis).late_after(512 * KIB, 0, SOON);
        assert_eq!(late(1), LATE_MIN);
        assert_eq!(late(100), Duration::from_millis(300));
        assert_eq!(late(20_000), Duration::from_secs(60));
    }

    #[test]
    fn one_slow_transfer_among_many_changes_nothing() {
        let mut tempo = tempo(10, 512 * KIB, 100);
        tempo.took(512 * KIB, Duration::from_secs(100));
        assert_eq!(tempo.late_after(512 * KIB, 0, SOON), Duration::from_millis(300));
    }

    #[test]
    fn a_long_transfer_may_take_longer_than_the_short_ones_before_it() {
        assert_eq!(tempo(10, 32 * KIB, 100).late_after(512 * KIB, 0, SOON), Duration::from_millis(4_800));
        assert_eq!(tempo(10, 10, 100).late_after(20, 0, SOON), Duration::from_millis(300));
    }

    #[test]
    fn before_the_first_is_done_a_narrow_or_distant_line_gets_its_time() {
        let nothing = Tempo::default();
        assert_eq!(nothing.late_after(1, 1, SOON), LATE_UNKNOWN);
        assert_eq!(nothing.late_after(1, 0, Duration::from_secs(1)), Duration::from_secs(4));
        assert!(nothing.late_after(512 * KIB, 1_536 * KIB, SOON) > Duration::from_secs(24));
        assert!(
            tempo(1, 512 * KIB, 20).late_after(512 * KIB, 1_536 * KIB, SOON) < Duration::from_millis(500)
        );
        assert!(tempo(1, 512 * KIB, 20).is_known() && !nothing.is_known());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut tempo = tempo(100, KIB, 5_000);
        assert_eq!(tempo.recent.len(), RECENT_MAX);
        for _ in 0..RECENT_MAX {
            tempo.took(KIB, Duration::from_millis(10));
        }
        assert_eq!(tempo.late_after(KIB, 0, SOON), LATE_MIN);
    }
}
