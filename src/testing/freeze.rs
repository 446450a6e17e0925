//! A carrier that can be stopped without being disconnected: its owner hears nothing and is not heard, as a frozen
//! process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nostr::{Event, Filter, RelayUrl};
use tokio::task::JoinSet;

use crate::transport::{Carrier, Feed, Route, Subscription, TransportError};

/// Says whether carriers are frozen. Clones are the same switch.
#[derive(Clone, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// From now on nothing passes.
    pub fn freeze(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// From now on everything passes; what came meanwhile is lost.
    pub fn thaw(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether nothing passes.
    pub fn is_frozen(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A carrier through which nothing passes while its switch says so.
pub struct Freezing {
    inner: Arc<dyn Carrier>,
    switch: Switch,
    passing: Mutex<JoinSet<()>>,
}

impl Freezing {
    /// A carrier over another.
    pub fn new(inner: Arc<dyn Carrier>, switch: Switch) -> Self {
        Self { inner, switch, passing: Mutex::default() }
    }
}

impl Carrier for Freezing {
    fn relays(&self) -> Vec<RelayUrl> {
        self.inner.relays()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.inner.connected()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        if self.switch.is_frozen() {
            return Box::pin(std::future::ready(Ok(())));
        }
        self.inner.publish(event, route)
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        if self.switch.is_frozen() {
            return Box::pin(async move {
                tokio::time::sleep(deadline).await;
                BTreeMap::new()
            });
        }
        self.inner.publish_acknowledged(event, deadline)
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        if self.switch.is_frozen() {
            return Box::pin(async move {
                tokio::time::sleep(deadline).await;
                BTreeMap::new()
            });
        }
        self.inner.query(filter, deadline)
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            let inner = self.inner.subscribe(filters).await?;
            let (feed, subscription) = Subscription::channel();
            let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.spawn(pass(inner, feed, self.switch.clone()));
            Ok(subscription)
        })
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        self.inner.apart(relay)
    }
}

/// Hands events on until either side ends.
async fn pass(mut from: Subscription, to: Feed, switch: Switch) {
    loop {
        tokio::select! {
            biased;
            () = to.closed() => return,
            incoming = from.next() => match incoming {
                Some(incoming) if !switch.is_frozen() => to.push(incoming),
                Some(_lost) => {}
                None => return,
            },
        }
    }
}
