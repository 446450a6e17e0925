//! A link that loses, repeats, delays and reorders, as its seed says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a link does to messages, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) drop: u32,
    pub(super) repeat: u32,
    /// Messages that take up to half a second instead of ten milliseconds, so that others overtake them.
    pub(super) delay: u32,
}

impl Faults {
    /// Faults of some strength or none, different for every seed.
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut some = |most| if rng.random_bool(0.3) { 0 } else { rng.random_range(0..most) };
        Self { drop: some(150), repeat: some(200), delay: some(300) }
    }
}

/// Messages on their way.
pub(super) struct Link<M> {
    faults: Faults,
    rng: StdRng,
    under_way: BTreeMap<(Instant, u64), M>,
    sent: u64,
}

impl<M: Clone> Link<M> {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, rng: StdRng::seed_from_u64(seed), under_way: BTreeMap::new(), sent: 0 }
    }

    pub(super) fn send(&mut self, message: M, now: Instant) {
        let copies =
            1 + u32::from(self.chance(self.faults.repeat)) - u32::from(self.chance(self.faults.drop));
        for _ in 0..copies {
            let most = if self.chance(self.faults.delay) { 500 } else { 10 };
            let delay = Duration::from_millis(if most == 10 { 10 } else { self.rng.random_range(10..most) });
            self.under_way.insert((now + delay, self.sent), message.clone());
            self.sent += 1;
        }
    }

    /// When the next message arrives.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// The next message that has arrived by now.
    pub(super) fn receive(&mut self, now: Instant) -> Option<M> {
        let key = *self.under_way.keys().next()?;
        if key.0 > now { None } else { self.under_way.remove(&key) }
    }

    fn chance(&mut self, permille: u32) -> bool {
        self.rng.random_range(0..1000) < permille
    }
}
