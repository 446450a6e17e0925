//! What is remembered of a provider's conduct, from run to run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// What one shard that is lost or wrong, or one failed audit, adds to the demerits.
const LOSS_DEMERITS: u32 = 100;
/// What one silence or refusal adds to them.
const FAILURE_DEMERITS: u32 = 4;
/// Silences and refusals of one run that count: an outage fails everything that is under way, and is one outage.
const FAILURES_COUNTED: u32 = 5;
/// Demerits stand still here, so that nobody is damned for ever.
const DEMERITS_MAX: u32 = 10_000;
/// Good conduct takes away about half of the demerits in so long.
const HALF_LIFE: Duration = Duration::from_secs(14 * 86_400);
/// Most of the time since a provider was last seen that counts as good conduct: whoever was away earns nothing by it.
const CREDITED_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What is remembered of a provider's conduct. Counts stand still at their limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderRecord {
    /// How long its answers take, smoothed, in milliseconds; `None` before the first.
    pub latency_ms: Option<u32>,
    /// Bytes a second that go to it or come from it in one blob, smoothed; `None` before the first.
    pub throughput: Option<u32>,
    /// Requests that it answered as was asked.
    pub answered: u32,
    /// Requests that it refused.
    pub refused: u32,
    /// Requests that it did not answer.
    pub silent: u32,
    /// Bytes of blobs that it gave receipts for.
    pub stored_bytes: u64,
    /// Bytes of blobs that came from it.
    pub fetched_bytes: u64,
    /// Blobs that it promised and has not got.
    pub lost: u32,
    /// Blobs and answers of it that were wrong.
    pub corrupt: u32,
    /// Audited blocks that were right.
    pub audited_good: u32,
    /// Audited blocks that were not.
    pub audited_bad: u32,
    /// How bad its conduct was, with what is long past forgiven: 100 for a lost blob.
    pub demerits: u32,
    /// When it last did something that counts against it.
    pub last_failed: Timestamp,
}

/// Something that a provider did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It answered a small question.
    Answered {
        /// How long that took.
        took: Duration,
    },
    /// It gave a receipt for a blob.
    Stored {
        /// The blob's length.
        bytes: u64,
        /// How long that took.
        took: Duration,
    },
    /// A blob came from it, and is right.
    Fetched {
        /// The blob's length.
        bytes: u64,
        /// How long that took.
        took: Duration,
    },
    /// It refused.
    Refused,
    /// It did not answer.
    Silent,
    /// It has not got a blob that it promised.
    Lost,
    /// What it sent was wrong.
    Corrupt,
    /// It was audited.
    Audited {
        /// Blocks that were right.
        good: u32,
        /// Blocks that were not.
        bad: u32,
    },
}

impl ProviderRecord {
    /// A blob below this length says how fast a provider answers, and not how fast it moves bytes.
    const BULK_LEN: u64 = 64 * 1024;

    /// Takes in a deed of the run that this is the record of.
    pub fn take(&mut self, deed: Deed) {
        let count = |counter: &mut u32| *counter = counter.saturating_add(1);
        match deed {
            Deed::Answered { took } => {
                count(&mut self.answered);
                self.learn_latency(took);
            }
            Deed::Stored { bytes, took } => {
                count(&mut self.answered);
                self.stored_bytes = self.stored_bytes.saturating_add(bytes);
                self.learn_throughput(bytes, took);
            }
            Deed::Fetched { bytes, took } => {
                count(&mut self.answered);
                self.fetched_bytes = self.fetched_bytes.saturating_add(bytes);
                self.learn_throughput(bytes, took);
            }
            Deed::Refused => count(&mut self.refused),
            Deed::Silent => count(&mut self.silent),
            Deed::Lost => count(&mut self.lost),
            Deed::Corrupt => count(&mut self.corrupt),
            Deed::Audited { good, bad } => {
                self.audited_good = self.audited_good.saturating_add(good);
                self.audited_bad = self.audited_bad.saturating_add(bad);
            }
        }
    }

    /// True if this run was about more than whether the provider is there.
    pub fn is_dealing(&self) -> bool {
        let blobs = self.lost | self.corrupt | self.audited_good | self.audited_bad;
        self.stored_bytes > 0 || self.fetched_bytes > 0 || blobs > 0
    }

    /// True if the provider said anything.
    pub fn is_heard(&self) -> bool {
        self.answered > 0 || self.refused > 0
    }

    /// Adds the record of a run that ends at `now`. The provider was last seen at `seen` before that run.
    pub fn absorb(&mut self, run: &Self, seen: Timestamp, now: Timestamp) {
        let sins = run.sins();
        if run.is_heard() {
            self.demerits = faded(self.demerits, now.since(seen));
        }
        if sins > 0 {
            self.demerits = self.demerits.saturating_add(sins).min(DEMERITS_MAX);
            self.last_failed = self.last_failed.max(now);
        }
        self.latency_ms = smoothed(self.latency_ms, run.latency_ms, 4);
        self.throughput = smoothed(self.throughput, run.throughput, 4);
        let counters = [
            (&mut self.answered, run.answered),
            (&mut self.refused, run.refused),
            (&mut self.silent, run.silent),
            (&mut self.lost, run.lost),
            (&mut self.corrupt, run.corrupt),
            (&mut self.audited_good, run.audited_good),
            (&mut self.audited_bad, run.audited_bad),
        ];
        for (counter, more) in counters {
            *counter = counter.saturating_add(more);
        }
        self.stored_bytes = self.stored_bytes.saturating_add(run.stored_bytes);
        self.fetched_bytes = self.fetched_bytes.saturating_add(run.fetched_bytes);
    }

    /// The demerits that the deeds of one run are worth.
    fn sins(&self) -> u32 {
        let losses = self.lost.saturating_add(self.corrupt).saturating_add(self.audited_bad);
        let failures = self.silent.saturating_add(self.refused).min(FAILURES_COUNTED);
        losses.saturating_mul(LOSS_DEMERITS).saturating_add(failures * FAILURE_DEMERITS).min(DEMERITS_MAX)
    }

    fn learn_latency(&mut self, took: Duration) {
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.latency_ms = smoothed(self.latency_ms, Some(millis), 8);
    }

    fn learn_throughput(&mut self, bytes: u64, took: Duration) {
        if bytes < Self::BULK_LEN {
            return self.learn_latency(took);
        }
        let per_second = u128::from(bytes) * 1_000_000 / took.as_micros().max(1);
        self.throughput = smoothed(self.throughput, Some(u32::try_from(per_second).unwrap_or(u32::MAX)), 8);
    }
}

/// The mean of what is known and what is new, which counts one in `share`.
fn smoothed(known: Option<u32>, new: Option<u32>, share: u64) -> Option<u32> {
    let (Some(old), Some(now)) = (known, new) else { return new.or(known) };
    let mean = (u64::from(old) * (share - 1) + u64::from(now)) / share;
    Some(u32::try_from(mean).unwrap_or(u32::MAX))
}

/// What is left of `demerits` after good conduct for `since`.
fn faded(demerits: u32, since: Duration) -> u32 {
    let credited = since.min(CREDITED_MAX).as_secs();
    let forgiven = u64::from(demerits) * credited / (2 * HALF_LIFE.as_secs());
    demerits.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn run_of(deeds: &[Deed]) -> ProviderRecord {
        let mut run = ProviderRecord::default();
        for deed in deeds {
            run.take(*deed);
        }
        run
    }

    fn answer() -> Deed {
        Deed::Answered { took: Duration::from_millis(20) }
    }

    #[test]
    fn deeds_are_counted_and_smoothed() {
        let second = Duration::from_secs(1);
        let run = run_of(&[
            answer(),
            Deed::Stored { bytes: 1 << 20, took: second },
            Deed::Fetched { bytes: 1 << 20, took: second },
            Deed::Stored { bytes: 10, took: Duration::from_millis(20) },
            Deed::Audited { good: 7, bad: 0 },
            Deed::Refused,
            Deed::Silent,
        ]);
        assert_eq!((run.answered, run.refused, run.silent, run.audited_good), (4, 1, 1, 7));
        assert_eq!((run.latency_ms, run.throughput), (Some(20), Some(1 << 20)));
        assert_eq!((run.stored_bytes, run.fetched_bytes), ((1 << 20) + 10, 1 << 20));
        let mut record = ProviderRecord::default();
        record.absorb(&run, Timestamp(0), Timestamp(10));
        assert_eq!(record.last_failed, Timestamp(10));
        let known = ProviderRecord { demerits: 0, last_failed: Timestamp(0), ..record };
        assert_eq!(known, run);
    }

    #[test]
    fn only_looking_whether_somebody_is_there_is_no_dealing() {
        assert!(!run_of(&[answer(), Deed::Refused, Deed::Silent]).is_dealing());
        for deed in [Deed::Lost, Deed::Corrupt, Deed::Audited { good: 1, bad: 0 }] {
            assert!(run_of(&[deed]).is_dealing());
        }
    }

    #[test]
    fn a_lost_blob_weighs_more_than_any_outage() {
        let mut lost = ProviderRecord::default();
        lost.absorb(&run_of(&[Deed::Lost]), Timestamp(0), Timestamp(0));
        let mut away = ProviderRecord::default();
        away.absorb(&run_of(&[Deed::Silent; 100]), Timestamp(0), Timestamp(0));
        assert!(lost.demerits > away.demerits && away.demerits > 0);
    }

    #[test]
    fn old_sins_fade_with_good_conduct_and_with_nothing_else() {
        let mut good = ProviderRecord::default();
        good.absorb(&run_of(&[Deed::Corrupt; 10]), Timestamp(0), Timestamp(0));
        let mut away = good;
        let mut hasty = good;
        for day in 1..=100 {
            good.absorb(&run_of(&[answer()]), Timestamp((day - 1) * DAY), Timestamp(day * DAY));
            hasty.absorb(&run_of(&[answer()]), Timestamp(day), Timestamp(day));
        }
        away.absorb(&run_of(&[answer()]), Timestamp(0), Timestamp(100 * DAY));
        assert!(good.demerits < 60, "{}", good.demerits);
        assert!(away.demerits > 700, "who was away earned nothing by it: {}", away.demerits);
        assert_eq!(hasty.demerits, 1_000, "many answers in a moment are no good conduct");
    }

    #[test]
    fn counts_stand_still_at_their_limits() {
        let most = ProviderRecord {
            answered: u32::MAX,
            lost: u32::MAX,
            corrupt: u32::MAX,
            audited_bad: u32::MAX,
            stored_bytes: u64::MAX,
            throughput: Some(u32::MAX),
            latency_ms: Some(u32::MAX),
            ..ProviderRecord::default()
        };
        let mut record = most;
        record.absorb(&most, Timestamp(0), Timestamp(u64::MAX));
        assert_eq!(
            (record.answered, record.stored_bytes, record.demerits),
            (u32::MAX, u64::MAX, DEMERITS_MAX)
        );
        record.take(Deed::Stored { bytes: u64::MAX, took: Duration::ZERO });
        record.take(Deed::Audited { good: u32::MAX, bad: u32::MAX });
    }
}
