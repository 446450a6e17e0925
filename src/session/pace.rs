//! How long to wait: growing delays with jitter, and the time after which silence is an answer.

use std::time::Duration;

/// The waits of one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Wait before the first retry.
    pub retry_first: Duration,
    /// Longest wait between retries.
    pub retry_max: Duration,
    /// Without progress for so long the conversation has failed.
    pub stall_timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(3),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// Delays that double up to a limit, each moved by up to a quarter in either direction, so that many clients that
/// were interrupted together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    pace: Pace,
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// Delays at this pace; their jitter follows from `seed`.
    pub fn new(pace: Pace, seed: u64) -> Self {
        Self { pace, attempt: 0, state: seed }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt.min(16)).unwrap_or(u32::MAX);
        let delay = self.pace.retry_first.saturating_mul(factor).min(self.pace.retry_max);
        self.attempt = self.attempt.saturating_add(1);
        let permille = 750 + u32::try_from(self.next_random() % 501).expect("a remainder of 501 is small");
        delay.saturating_mul(permille) / 1000
    }

    /// Starts from the first delay again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter.
    fn next_random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit_and_stay_near_it() {
        for seed in 0..100 {
            let pace = Pace::default();
            let mut backoff = Backoff::new(pace, seed);
            for attempt in 0..40 {
                let plain = pace.retry_first.saturating_mul(1 << attempt.min(10)).min(pace.retry_max);
                let delay = backoff.next_delay();
                assert!(delay >= plain * 3 / 4 && delay <= plain * 5 / 4, "seed {seed}: {delay:?}");
            }
            backoff.reset();
            assert!(backoff.next_delay() <= pace.retry_first * 5 / 4);
        }
    }
}
