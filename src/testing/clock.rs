//! A wall clock that follows virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::env::Clock;
use crate::types::Timestamp;

/// The part of a day that passes second by second when whole days pass: long enough for everybody's regular work.
const LIVED: Duration = Duration::from_secs(70);
/// The rest of a day.
const SLEPT: u64 = 86_400 - 70;

/// A wall clock that shows when the simulation began, the time that passed on the runtime since, and the days that were
/// added. Its runtime's time is to be paused.
#[derive(Debug)]
pub struct SimClock {
    began: Timestamp,
    origin: Instant,
    added: AtomicU64,
}

impl SimClock {
    /// A clock that shows `now`. To be made on the runtime that it follows.
    pub fn new(now: Timestamp) -> Self {
        Self { began: now, origin: Instant::now(), added: AtomicU64::new(0) }
    }

    /// Lets whole days pass for everybody who is there. Of each the last minute is lived through, so that nobody takes
    /// it for a jump of the clock.
    pub async fn pass_days(&self, days: u32) {
        for _ in 0..days {
            self.added.fetch_add(SLEPT, Ordering::SeqCst);
            sleep(LIVED).await;
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = self.origin.elapsed() + Duration::from_secs(self.added.load(Ordering::SeqCst));
        self.began.saturating_add(passed)
    }
}

/// A clock that is some seconds off another one.
pub(super) struct SkewedClock {
    pub(super) right: Arc<dyn Clock>,
    pub(super) off_seconds: Arc<AtomicI64>,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let off = self.off_seconds.load(Ordering::SeqCst);
        Timestamp(self.right.now().0.saturating_add_signed(off))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_and_waiting_agree_and_days_pass() {
        let clock = SimClock::new(Timestamp(1_000));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp(1_005));
        clock.pass_days(3).await;
        assert_eq!(clock.now(), Timestamp(1_005 + 3 * 86_400));
    }
}
