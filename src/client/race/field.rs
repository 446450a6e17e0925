//! What the races of one operation share, and one transfer in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::tempo::Tempo;
use crate::client::exchange::Exchange;
use crate::types::ProviderId;

/// Whoever was late is given another trial after so long; twice as long each time.
const TRIAL_AFTER: Duration = Duration::from_secs(5);
/// At the latest after so long.
const TRIAL_AFTER_MAX: Duration = Duration::from_secs(120);

/// Whoever waits for a place behind something that is late is late after so long.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// What the races of one operation share. Clones share it.
#[derive(Clone)]
pub(crate) struct Races {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    tempo: Tempo,
    /// Bytes of transfers that have begun.
    under_way: u64,
    /// Transfers under way that are late and raced.
    raced: usize,
    suspects: BTreeMap<ProviderId, Suspicion>,
}

/// A provider that was late.
struct Suspicion {
    trial_at: Instant,
    trial_after: Duration,
}

/// One transfer. It ends when it is dropped.
pub(crate) struct Runner {
    races: Races,
    provider: ProviderId,
    len: u64,
    started: Instant,
    clock: Mutex<Clock>,
}

#[derive(Clone, Copy, Default)]
struct Clock {
    /// When the provider's time began.
    begun: Option<Instant>,
    is_raced: bool,
}

impl Races {
    pub(crate) fn new(exchange: Exchange) -> Self {
        let inner = Inner { exchange, state: Mutex::default(), changed: watch::Sender::new(()) };
        Self { inner: Arc::new(inner) }
    }

    /// A transfer of `len` bytes that is about to be started.
    pub(crate) fn runner(&self, provider: ProviderId, len: u64) -> Arc<Runner> {
        let (races, started, clock) = (self.clone(), Instant::now(), Mutex::default());
        Arc::new(Runner { races, provider, len, started, clock })
    }

    /// Whether something that is late may be raced. While there is nothing to compare with, one race at a time must do:
    /// perhaps it is the line that is slow.
    pub(crate) fn may_race(&self) -> bool {
        let state = self.state();
        state.tempo.is_known() || state.raced == 0
    }

    fn suspect(&self, provider: ProviderId, since: Instant) {
        self.inner.exchange.late(provider, since.into_std());
        let mut state = self.state();
        state.raced += 1;
        let (now, first) = (Instant::now(), TRIAL_AFTER);
        let suspicion =
            state.suspects.entry(provider).or_insert(Suspicion { trial_at: now + first, trial_after: first });
        suspicion.trial_at = suspicion.trial_at.max(now + suspicion.trial_after);
        drop(state);
        self.tell();
    }

    /// Whether the provider was late and has done nothing since to be trusted with more.
    pub(crate) fn is_suspect(&self, provider: &ProviderId) -> bool {
        self.state().suspects.contains_key(provider)
    }

    /// Providers that the next pack is to keep away from. One that was late is left out now and then: it gets that pack
    /// on trial.
    pub(crate) fn suspects(&self) -> BTreeSet<ProviderId> {
        let (mut state, now) = (self.state(), Instant::now());
        let mut avoided = BTreeSet::new();
        for (provider, suspicion) in &mut state.suspects {
            if suspicion.trial_at > now {
                avoided.insert(*provider);
            } else {
                suspicion.trial_after = (suspicion.trial_after * 2).min(TRIAL_AFTER_MAX);
                suspicion.trial_at = now + suspicion.trial_after;
            }
        }
        avoided
    }

    /// Everybody who was late and has done nothing since to be trusted with more.
    pub(crate) fn all_suspects(&self) -> BTreeSet<ProviderId> {
        self.state().suspects.keys().copied().collect()
    }

    /// Hears when something changes that may make a transfer late.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    fn tell(&self) {
        self.inner.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner {
    /// From here on the provider's time counts: what came before was waiting for a place in the window.
    pub(crate) fn begin(&self) {
        let before = self.clock().begun.replace(Instant::now());
        if before.is_none() {
            self.races.state().under_way += self.len;
        }
        self.races.tell();
    }

    /// Since when the provider has had time.
    pub(crate) fn since(&self) -> Instant {
        self.clock().begun.unwrap_or(self.started)
    }

    /// Whether anything went out.
    pub(crate) fn has_begun(&self) -> bool {
        self.clock().begun.is_some()
    }

    /// When the transfer is late; `None` while it waits for a place and nothing speaks against the provider.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        let begun = self.clock().begun;
        match begun {
            Some(begun) => {
                let answer = self.races.inner.exchange.usual_latency(self.provider);
                let state = self.races.state();
                Some(begun + state.tempo.late_after(self.len, state.under_way, answer))
            }
            // It waits behind what the provider is late with.
            None => self.races.is_suspect(&self.provider).then_some(self.started + WAIT_MAX),
        }
    }

    /// The transfer is late, and somebody else is asked too: the provider is not relied on before it has done better.
    pub(crate) fn race(&self) {
        let was_raced = std::mem::replace(&mut self.clock().is_raced, true);
        if !was_raced {
            self.races.suspect(self.provider, self.since());
        }
    }

    /// The transfer is done.
    pub(crate) fn succeed(&self) {
        let took = self.since().elapsed();
        let mut state = self.races.state();
        state.tempo.took(self.len, took);
        state.suspects.remove(&self.provider);
        drop(state);
        self.races.tell();
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let Clock { begun, is_raced } = *self.clock();
        let has_begun = begun.is_some();
        let mut state = self.races.state();
        state.under_way -= if has_begun { self.len } else { 0 };
        state.raced -= usize::from(is_raced);
        drop(state);
        self.races.tell();
    }
}
