//! The providers that were added, and the window over all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::Keys;

use crate::client::ProviderTerms;
use crate::client::exchange::direct::Means;
use crate::client::exchange::ears::Ears;
use crate::client::exchange::link::Link;
use crate::client::exchange::passages::Passages;
use crate::client::exchange::record::Records;
use crate::client::exchange::window::{Pass, Window};
use crate::client::exchange::{Acquaintance, CarrierChoice, DirectStanding, ExchangeError, ExchangeOptions};
use crate::env::Env;
use crate::transport::Carrier;
use crate::transport::direct::Nearness;
use crate::types::ProviderId;
use crate::types::limits::STRANGER_ENDPOINT_COUNT_MAX;

/// Blobs to and from providers. Clones share everything; all methods may be called from many tasks at once.
#[derive(Clone)]
pub struct Exchange {
    inner: Arc<Inner>,
}

struct Inner {
    carrier: Arc<dyn Carrier>,
    env: Env,
    options: ExchangeOptions,
    links: Mutex<BTreeMap<ProviderId, Arc<Link>>>,
    /// Room for bytes under way everywhere.
    window: Arc<Window>,
    means: Means,
    stored_len: AtomicU64,
    fetched_len: AtomicU64,
    records: Records,
    passages: Arc<Passages>,
    ears: Ears,
}

/// Room for an exchange's bytes, at its provider and in all; given back when dropped.
pub(super) struct Admission {
    provider: Pass,
    total: Pass,
}

impl Admission {
    /// Gives the room back; the windows learn from how the exchange went.
    pub(super) fn end<T>(self, outcome: &Result<T, ExchangeError>) {
        match outcome {
            Ok(_) => {
                self.provider.succeeded();
                self.total.succeeded();
            }
            // One provider's silence says nothing about the way to the others.
            Err(ExchangeError::Silent { .. }) => self.provider.unanswered(),
            Err(_) => {}
        }
    }
}

impl Exchange {
    /// An exchange over this carrier, with no providers yet.
    pub fn new(carrier: Arc<dyn Carrier>, options: ExchangeOptions, env: Env) -> Self {
        Self::with_means(carrier, options, env, Means::default())
    }

    /// The same, which makes its connections so.
    pub(super) fn with_means(
        carrier: Arc<dyn Carrier>,
        options: ExchangeOptions,
        env: Env,
        means: Means,
    ) -> Self {
        let window = Window::new(options.total_window_bytes);
        let (links, stored_len, fetched_len, records, passages) = Default::default();
        let ears = Ears::default();
        let inner = Inner {
            carrier,
            env,
            options,
            links,
            window,
            means,
            stored_len,
            fetched_len,
            records,
            passages,
            ears,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes a provider reachable that the user has named: its terms, and the keys that speak to it. Adding it again
    /// changes both.
    ///
    /// # Errors
    /// [`ExchangeError::Transport`] if its answers cannot be subscribed to.
    pub async fn add_provider(&self, terms: ProviderTerms, keys: Keys) -> Result<(), ExchangeError> {
        self.add(terms, keys, Acquaintance::Named).await
    }

    /// The same for any provider. Of one that the user has not named only few endpoints are dialled, and none that lead
    /// nearer than the relays that are used: else an announcement could make the client connect to anything in its own
    /// network. A stranger is asked over relays whether it is there.
    ///
    /// # Errors
    /// As for [`add_provider`](Self::add_provider).
    pub async fn add(
        &self,
        mut terms: ProviderTerms,
        keys: Keys,
        acquaintance: Acquaintance,
    ) -> Result<(), ExchangeError> {
        let id = terms.id;
        let nearest = match acquaintance {
            Acquaintance::Named => Nearness::Machine,
            Acquaintance::Known | Acquaintance::Stranger => {
                terms.endpoints.truncate(STRANGER_ENDPOINT_COUNT_MAX);
                Nearness::of_relays(&self.inner.carrier.connected())
            }
        };
        let knowing = (acquaintance, nearest);
        if self.links().get(&id).is_some_and(|link| link.is_same(&terms, &keys, knowing)) {
            return Ok(());
        }
        let Inner { carrier, env, options, means, passages, ears, .. } = &*self.inner;
        let ways = (carrier.clone(), passages.clone());
        let link = Link::new((terms, knowing), keys, ways, env.clone(), *options, means.clone());
        let link = Arc::new(link);
        ears.listen_for(&link, &**carrier).await?;
        self.links().insert(id, link);
        Ok(())
    }

    /// The terms of a provider that was added.
    pub fn terms(&self, provider: ProviderId) -> Option<ProviderTerms> {
        self.links().get(&provider).map(|link| link.terms.clone())
    }

    /// How the direct path to a provider stands; that of one who was not added is unknown, and so unannounced.
    pub fn direct_standing(&self, provider: ProviderId) -> DirectStanding {
        let link = self.links().get(&provider).cloned();
        link.map_or(DirectStanding::Unannounced, |link| link.direct_way().standing())
    }

    /// Which way exchanges take.
    pub(crate) fn carrier_choice(&self) -> CarrierChoice {
        self.inner.options.carrier
    }

    /// Bytes of blobs that providers have given a receipt for, since this exchange was made.
    pub fn stored_len(&self) -> u64 {
        self.inner.stored_len.load(Ordering::Relaxed)
    }

    /// Bytes of blobs that were fetched and verified, since this exchange was made.
    pub fn fetched_len(&self) -> u64 {
        self.inner.fetched_len.load(Ordering::Relaxed)
    }

    pub(super) fn count_stored(&self, len: u64) {
        self.inner.stored_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn count_fetched(&self, len: u64) {
        self.inner.fetched_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(super) fn passages(&self) -> &Arc<Passages> {
        &self.inner.passages
    }

    pub(super) fn records(&self) -> &Records {
        &self.inner.records
    }

    pub(super) fn link(&self, provider: ProviderId) -> Result<Arc<Link>, ExchangeError> {
        self.links().get(&provider).cloned().ok_or(ExchangeError::Unknown { provider })
    }

    /// Waits for room for `len` bytes. First at the provider: a slow one must not hold what others could use.
    pub(super) async fn admit(&self, len: u64, link: &Link) -> Admission {
        let mut provider = link.window.enter(len).await;
        let total = self.inner.window.enter(len).await;
        // Waiting for the others is not the provider's slowness.
        provider.begin_now();
        Admission { provider, total }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<ProviderId, Arc<Link>>> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
