//! A carrier over hubs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nostr::{Event, Filter, RelayUrl};

use super::hub::Hub;
use crate::transport::outlet::Outlet;
use crate::transport::{Carrier, Route, Subscription, TransportError};

/// A carrier whose relays are hubs.
pub struct MemoryCarrier {
    hubs: Vec<Hub>,
}

impl MemoryCarrier {
    /// A carrier over these relays.
    pub fn new(hubs: Vec<Hub>) -> Self {
        Self { hubs }
    }

    fn connected_hubs(&self) -> impl Iterator<Item = &Hub> {
        self.hubs.iter().filter(|hub| hub.is_connected())
    }
}

impl Carrier for MemoryCarrier {
    fn relays(&self) -> Vec<RelayUrl> {
        self.hubs.iter().map(Hub::url).collect()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.connected_hubs().map(Hub::url).collect()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            let mut is_sent = false;
            // None means all.
            let meant = match route {
                Route::First(url) if self.connected().contains(&url) => Some(vec![url]),
                Route::Only(urls) => Some(urls),
                Route::All | Route::First(_) => None,
            };
            for hub in self.connected_hubs() {
                if meant.as_ref().is_some_and(|urls| !urls.contains(&hub.url())) {
                    continue;
                }
                is_sent = true;
                // As on a socket: what the relay thinks of the event is not known here.
                let _ = hub.publish(&event);
            }
            // The readers run before the next event comes, as they would while a socket is written to.
            tokio::task::yield_now().await;
            if is_sent {
                Ok(())
            } else {
                Err(TransportError::NotConnected { configured_count: self.hubs.len() })
            }
        })
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        Box::pin(async move {
            let mut answers = BTreeMap::new();
            let mut is_waiting = false;
            for hub in &self.hubs {
                let answer =
                    if hub.is_connected() { hub.publish(&event) } else { Err("not connected".to_owned()) };
                let is_silent = hub.is_connected() && hub.is_silent();
                is_waiting |= is_silent;
                answers.insert(hub.url(), if is_silent { Err("no answer".to_owned()) } else { answer });
            }
            wait(is_waiting, deadline).await;
            answers
        })
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        Box::pin(async move {
            let answering = self.connected_hubs().filter(|hub| !hub.is_silent());
            let answers: BTreeMap<_, _> = answering.map(|hub| (hub.url(), hub.stored(&filter))).collect();
            wait(self.connected_hubs().any(Hub::is_silent), deadline).await;
            answers
        })
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            let (feed, subscription) = Subscription::channel();
            let outlet = Arc::new(Outlet::new(feed));
            for hub in &self.hubs {
                hub.subscribe(filters.clone(), &outlet);
            }
            Ok(subscription)
        })
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        let hubs = self.hubs.iter().filter(|hub| hub.url() == relay).cloned().collect();
        Box::pin(async move { Ok(Arc::new(Self::new(hubs)) as Arc<dyn Carrier>) })
    }
}

/// An answer that misses a relay is complete only at the deadline.
async fn wait(is_waiting: bool, deadline: Duration) {
    if is_waiting {
        tokio::time::sleep(deadline).await;
    } else {
        tokio::task::yield_now().await;
    }
}
