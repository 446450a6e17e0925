//! A crowd of providers: all are heard, over few subscriptions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, join_all};
use nostr::{Event, Filter, RelayUrl};

use super::*;
use crate::transport::{Carrier, Subscription, TransportError};

/// Counts subscriptions.
struct Counting {
    inner: Arc<dyn Carrier>,
    count: Arc<AtomicUsize>,
}

impl Carrier for Counting {
    fn relays(&self) -> Vec<RelayUrl> {
        self.inner.relays()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.inner.connected()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        self.inner.publish(event, route)
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        self.inner.publish_acknowledged(event, deadline)
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        self.inner.query(filter, deadline)
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            self.count.fetch_add(1, Ordering::Relaxed);
            // As over a network: others ask meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.inner.subscribe(filters).await
        })
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        self.inner.apart(relay)
    }
}

#[tokio::test(start_paused = true)]
async fn crowd_of_providers_is_heard_over_few_subscriptions() {
    let hub = Hub::new("relay", 1);
    let mut crowd = Vec::new();
    for seed in 1..=120 {
        crowd.push(Model::start(seed, false, Manner::Good, hub.carrier()).await);
    }
    let count = Arc::<AtomicUsize>::default();
    let carrier = Arc::new(Counting { inner: hub.carrier(), count: count.clone() });
    let exchange = Exchange::new(carrier, ExchangeOptions::default(), env(1));
    for round in 0..2 {
        let added = (1..).zip(&crowd).map(|(number, provider)| {
            // Newer terms make a link anew.
            let terms = ProviderTerms { announced_at: Timestamp(round), ..provider.terms.clone() };
            let keys = Keys::parse(&hex::encode([[number; 16], [0xaa; 16]].concat())).unwrap();
            exchange.add_provider(terms, keys)
        });
        assert!(join_all(added).await.into_iter().all(|added| added.is_ok()));
        let subscribed = count.swap(0, Ordering::Relaxed);
        assert!(subscribed <= 20, "{subscribed} subscriptions in round {round}");
        let heard = crowd.iter().map(|provider| exchange.probe(provider.id(), Duration::from_secs(2)));
        assert!(join_all(heard).await.into_iter().all(|heard| heard.is_ok()), "round {round}");
        // What is added one by one is heard as well.
        let late = Model::start(200, false, Manner::Good, hub.carrier()).await;
        let terms = ProviderTerms { announced_at: Timestamp(round), ..late.terms.clone() };
        exchange.add_provider(terms, Keys::generate()).await.unwrap();
        assert!(exchange.probe(late.id(), Duration::from_secs(2)).await.is_ok());
        count.store(0, Ordering::Relaxed);
    }
}
