//! One relay within this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nostr::filter::MatchEventOptions;
use nostr::{Event, Filter, RelayUrl};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::carrier::MemoryCarrier;
use super::faults::Faults;
use super::storage::Storage;
use crate::transport::outlet::Outlet;
use crate::transport::{Carrier, Incoming};

/// Deliveries that wait at once; beyond it, delayed ones are delivered immediately.
const DELAYED_COUNT_MAX: usize = 100_000;

/// One relay within this process. Clones are the same relay.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What a hub has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Events that were published to it and taken.
    pub published: u64,
    /// Deliveries to subscriptions.
    pub delivered: u64,
    /// Deliveries that a fault swallowed.
    pub dropped: u64,
}

impl Hub {
    /// A relay that works, under the name `ws://<name>.invalid`. Its faults, once set, follow from `seed`.
    ///
    /// # Panics
    /// If `name` is no host name.
    pub fn new(name: &str, seed: u64) -> Self {
        let url = RelayUrl::parse(&format!("ws://{name}.invalid")).expect("the name is a host name");
        let state = State {
            storage: Storage::default(),
            subscriptions: BTreeMap::new(),
            subscription_next: 0,
            delayed: BTreeMap::new(),
            delayed_next: 0,
            faults: Faults::default(),
            rng: StdRng::seed_from_u64(seed),
            is_connected: true,
            counts: HubCounts::default(),
        };
        let shared = Shared {
            url,
            state: Mutex::new(state),
            delayed_changed: Arc::new(Notify::new()),
            pump: Mutex::new(JoinSet::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A carrier whose only relay is this one.
    pub fn carrier(&self) -> Arc<dyn Carrier> {
        Arc::new(MemoryCarrier::new(vec![self.clone()]))
    }

    /// The relay's name.
    pub fn url(&self) -> RelayUrl {
        self.shared.url.clone()
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Takes the relay away: nothing is published, delivered or answered until [`Hub::reconnect`].
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.is_connected = false;
        state.delayed.clear();
    }

    /// Brings the relay back, with what it had stored, and with the subscriptions of its carriers.
    pub fn reconnect(&self) {
        self.lock().is_connected = true;
    }

    /// Makes the relay forget all subscriptions without a word; carriers renew theirs after `renewed_after`.
    pub fn forget_subscriptions(&self, renewed_after: Duration) {
        let until = Instant::now() + renewed_after;
        for listener in self.lock().subscriptions.values_mut() {
            listener.forgotten_until = Some(until);
        }
    }

    /// Makes the relay forget everything that it stores, without a word.
    pub fn forget_stored(&self) {
        self.lock().storage = Storage::default();
    }

    /// Stored events that match, newest first.
    pub fn stored(&self, filter: &Filter) -> Vec<Event> {
        self.lock().storage.query(filter)
    }

    /// What the hub has done so far.
    pub fn counts(&self) -> HubCounts {
        self.lock().counts
    }

    /// How many subscriptions are open.
    pub fn subscription_count(&self) -> usize {
        let mut state = self.lock();
        state.subscriptions.retain(|_, listener| !listener.outlet.is_closed());
        state.subscriptions.len()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_connected
    }

    pub(super) fn is_silent(&self) -> bool {
        self.lock().faults.silent
    }

    /// Takes a published event: verifies, stores, forwards. The answer is the OK message.
    pub(super) fn publish(&self, event: &Event) -> Result<(), String> {
        // The one verification on this path: carriers hand over what comes from here as it is.
        event.verify().map_err(|error| format!("invalid: {error}"))?;
        let is_delayed = self.lock().publish(event, &self.shared.url)?;
        if is_delayed {
            self.ensure_pump();
            self.shared.delayed_changed.notify_one();
        }
        Ok(())
    }

    /// Adds a listener, after what is stored for it was delivered.
    pub(super) fn subscribe(&self, filters: Vec<Filter>, outlet: &Arc<Outlet>) {
        let mut state = self.lock();
        for event in filters
            .iter()
            .filter(|filter| filter.limit != Some(0))
            .flat_map(|filter| state.storage.query(filter))
        {
            outlet.push(Incoming { event, relay: self.url() });
        }
        let key = state.subscription_next;
        state.subscription_next += 1;
        let listener = Listener { filters, outlet: outlet.clone(), forgotten_until: None };
        state.subscriptions.insert(key, listener);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task that delivers what was delayed, once. It ends with the hub.
    fn ensure_pump(&self) {
        let mut pump = self.shared.pump.lock().unwrap_or_else(PoisonError::into_inner);
        if pump.is_empty() {
            pump.spawn(pump_delayed(Arc::downgrade(&self.shared), self.shared.delayed_changed.clone()));
        }
    }
}

struct Shared {
    url: RelayUrl,
    state: Mutex<State>,
    delayed_changed: Arc<Notify>,
    pump: Mutex<JoinSet<()>>,
}

struct Listener {
    filters: Vec<Filter>,
    outlet: Arc<Outlet>,
    forgotten_until: Option<Instant>,
}

struct State {
    storage: Storage,
    subscriptions: BTreeMap<u64, Listener>,
    subscription_next: u64,
    delayed: BTreeMap<(Instant, u64), (Arc<Outlet>, Incoming)>,
    delayed_next: u64,
    faults: Faults,
    rng: StdRng,
    is_connected: bool,
    counts: HubCounts,
}

impl State {
    /// Stores and forwards. Whether a delivery was delayed.
    fn publish(&mut self, event: &Event, url: &RelayUrl) -> Result<bool, String> {
        if let Some(text) = &self.faults.refuse {
            return Err(text.clone());
        }
        self.counts.published += 1;
        if !self.faults.keeps_nothing && !self.storage.insert(event) {
            return Ok(false);
        }
        self.subscriptions.retain(|_, listener| !listener.outlet.is_closed());
        let now = Instant::now();
        let listeners: Vec<Arc<Outlet>> = self
            .subscriptions
            .values()
            .filter(|listener| listener.forgotten_until.is_none_or(|until| until <= now))
            .filter(|listener| {
                listener.filters.iter().any(|f| f.match_event(event, MatchEventOptions::new()))
            })
            .map(|listener| listener.outlet.clone())
            .collect();
        let delayed_before = self.delayed.len();
        for outlet in listeners {
            self.deliver(&outlet, Incoming { event: event.clone(), relay: url.clone() });
        }
        Ok(self.delayed.len() > delayed_before)
    }

    fn deliver(&mut self, outlet: &Arc<Outlet>, incoming: Incoming) {
        let is_unwanted = self.faults.drop_if.as_ref().is_some_and(|unwanted| unwanted(&incoming.event));
        if is_unwanted || self.happens(self.faults.drop_permille) {
            self.counts.dropped += 1;
            return;
        }
        if self.happens(self.faults.repeat_permille) {
            self.counts.delivered += 1;
            outlet.pass(incoming.clone());
        }
        self.counts.delivered += 1;
        if self.happens(self.faults.delay_permille) && self.delayed.len() < DELAYED_COUNT_MAX {
            let range = self.faults.delay.clone();
            let wait = if range.is_empty() { range.start } else { self.rng.random_range(range) };
            self.delayed.insert((Instant::now() + wait, self.delayed_next), (outlet.clone(), incoming));
            self.delayed_next += 1;
        } else {
            outlet.push(incoming);
        }
    }

    fn happens(&mut self, permille: u16) -> bool {
        permille > 0 && self.rng.random_range(0..1_000) < permille
    }

    /// Delivers what is due, and says when the next is.
    fn release_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.delayed.first_entry() {
            let due = entry.key().0;
            if due > now {
                return Some(due);
            }
            let (outlet, incoming) = entry.remove();
            outlet.push(incoming);
        }
        None
    }
}

async fn pump_delayed(hub: Weak<Shared>, changed: Arc<Notify>) {
    while let Some(shared) = hub.upgrade() {
        let next = Hub { shared }.lock().release_due(Instant::now());
        let due = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed.notified() => {}
            () = due => {}
        }
    }
}
