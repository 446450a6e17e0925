//! A carrier that stops for good at one of its steps, as if its process were gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nostr::{Event, Filter, RelayUrl};
use tokio::sync::Notify;

use crate::transport::{Carrier, Route, Subscription, TransportError};

/// A carrier that takes so many steps, and then none: events sent and questions asked are steps.
pub struct Stopping {
    inner: Arc<dyn Carrier>,
    left: AtomicUsize,
    reached: Arc<Notify>,
}

impl Stopping {
    /// A carrier over another, that stops at its step number `at`; and who is told when it is there.
    pub fn new(inner: Arc<dyn Carrier>, at: usize) -> (Self, Arc<Notify>) {
        let reached = Arc::new(Notify::new());
        (Self { inner, left: AtomicUsize::new(at), reached: reached.clone() }, reached)
    }

    async fn step(&self) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Carrier for Stopping {
    fn relays(&self) -> Vec<RelayUrl> {
        self.inner.relays()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.inner.connected()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            self.step().await;
            self.inner.publish(event, route).await
        })
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        Box::pin(async move {
            self.step().await;
            self.inner.publish_acknowledged(event, deadline).await
        })
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        Box::pin(async move {
            self.step().await;
            self.inner.query(filter, deadline).await
        })
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        self.inner.subscribe(filters)
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        self.inner.apart(relay)
    }
}
