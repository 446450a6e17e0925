//! What is known of a provider's endpoints: one that failed is left alone, and each time for longer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr::RelayUrl;

/// The endpoints of one provider.
pub(super) struct Endpoints {
    known: Mutex<Vec<Endpoint>>,
    /// How long one is left alone that failed for the first time, and how long at most.
    rest: (Duration, Duration),
}

struct Endpoint {
    url: RelayUrl,
    failure_count: u32,
    not_before: Option<Instant>,
}

/// Which of the endpoints one is.
pub(super) type EndpointIndex = usize;

impl Endpoints {
    /// Nothing is known of them but where they are.
    pub(super) fn new(urls: Vec<RelayUrl>, rest: (Duration, Duration)) -> Self {
        let known = urls.into_iter().map(|url| Endpoint { url, failure_count: 0, not_before: None });
        Self { known: Mutex::new(known.collect()), rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Those that may be tried now, in the order in which they were announced.
    pub(super) fn due(&self, now: Instant) -> Vec<(EndpointIndex, RelayUrl)> {
        let known = self.known();
        let due = known.iter().enumerate().filter(|(_, endpoint)| endpoint.is_due(now));
        due.map(|(index, endpoint)| (index, endpoint.url.clone())).collect()
    }

    /// When one of them may be tried.
    pub(super) fn next_due(&self, now: Instant) -> Instant {
        self.known().iter().map(|endpoint| endpoint.not_before.unwrap_or(now)).min().unwrap_or(now)
    }

    /// One could not be reached, or was of no use.
    pub(super) fn failed(&self, index: EndpointIndex, now: Instant) {
        let (first, max) = self.rest;
        if let Some(endpoint) = self.known().get_mut(index) {
            let factor = 1_u32.checked_shl(endpoint.failure_count.min(16)).unwrap_or(u32::MAX);
            endpoint.failure_count = endpoint.failure_count.saturating_add(1);
            endpoint.not_before = Some(now + first.saturating_mul(factor).min(max));
        }
    }

    /// One has proved good.
    pub(super) fn proved(&self, index: EndpointIndex) {
        if let Some(endpoint) = self.known().get_mut(index) {
            (endpoint.failure_count, endpoint.not_before) = (0, None);
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| not_before <= now)
    }
}
