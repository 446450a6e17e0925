//! Randomness: the operating system's, or one that follows from a seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{OsRng, StdRng};
use rand::{CryptoRng, RngCore, SeedableRng, TryRngCore};

/// Where generators get their seeds.
#[derive(Clone)]
pub(super) enum Entropy {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Entropy {
    pub(super) fn system() -> Self {
        Self::System
    }

    pub(super) fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub(super) fn generator(&self) -> EnvRng {
        let mut seed = [0; 32];
        match self {
            Self::System => OsRng.try_fill_bytes(&mut seed).expect("the operating system gives randomness"),
            Self::Seeded(root) => root.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed),
        }
        EnvRng(StdRng::from_seed(seed))
    }
}

/// A cryptographic generator with a seed of its own.
pub struct EnvRng(StdRng);

impl RngCore for EnvRng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

impl CryptoRng for EnvRng {}
