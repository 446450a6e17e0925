//! Where the outside comes in: the wall clock and randomness. Everything else takes them as arguments, so that a
//! run can be replayed from its seed. Waiting is not here: it uses `tokio::time`, which tests can pause.

mod clock;
mod file_faults;
mod off_thread;
mod page_cache;
mod random;
mod uncached;

pub use clock::{Clock, ManualClock, SystemClock};
pub use file_faults::{FileFault, file_step, file_step_count, set_file_fault};
pub use off_thread::{begin_off_thread, is_single_threaded, off_thread, while_blocked};
pub use page_cache::let_go;
#[cfg(test)]
pub(crate) use page_cache::read_from_storage;
pub use random::EnvRng;
#[cfg(test)]
pub(crate) use uncached::distinct_bytes;
pub use uncached::{Stretch, read_uncached, write_uncached};

use std::sync::Arc;

use crate::types::Timestamp;
use random::Entropy;

/// The clock and the randomness that one part of the program runs on.
#[derive(Clone)]
pub struct Env {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    entropy: Entropy,
}

impl Env {
    /// The machine's clock and the operating system's randomness.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Entropy::system() }
    }

    /// Randomness that follows from `seed` alone, and the given clock. For tests and simulations only.
    pub fn seeded(seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self { clock, entropy: Entropy::seeded(seed) }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A generator of its own, seeded afresh: fit for keys (rand's `StdRng` is ChaCha12).
    ///
    /// # Panics
    /// If the operating system has no randomness to give; nothing safe can be done then.
    pub fn rng(&self) -> EnvRng {
        self.entropy.generator()
    }

    /// `N` random bytes, fit for a key, a salt or a name.
    ///
    /// # Panics
    /// As [`Env::rng`].
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        use rand::RngCore as _;
        let mut bytes = [0; N];
        self.rng().fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seeded_env_replays_its_randomness() {
        let draw = |seed| {
            let env = Env::seeded(seed, Arc::new(ManualClock::new(Timestamp(0))));
            [env.random_bytes::<32>(), env.random_bytes::<32>()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(7)[0], draw(7)[1]);
    }

    #[test]
    fn clones_of_a_seeded_env_never_draw_the_same_bytes() {
        let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(0))));
        assert_ne!(env.clone().random_bytes::<16>(), env.random_bytes::<16>());
    }

    #[test]
    fn system_env_never_draws_the_same_bytes() {
        let env = Env::system();
        assert_ne!(env.random_bytes::<32>(), env.random_bytes::<32>());
    }

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
        let env = Env::seeded(0, clock.clone());
        assert_eq!(env.now(), Timestamp(1_000));
        clock.advance(Duration::from_secs(5));
        assert_eq!(env.now(), Timestamp(1_005));
        clock.set(Timestamp(3));
        assert_eq!(env.now(), Timestamp(3));
    }
}
