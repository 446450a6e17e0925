//! A provider that lies: its carrier changes what it sends, and signs it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use nostr::{Event, Filter, Keys, RelayUrl};

use crate::transport::{Carrier, Route, Subscription, TransportError};
use crate::types::Timestamp;
use crate::wire::Chunk;

/// Says whether a provider lies. Clones are the same.
#[derive(Clone, Default)]
pub struct Liar(Arc<AtomicBool>);

impl Liar {
    /// From now on every chunk that it sends has a wrong bit, under the hash of what is sent.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// From now on it sends what it has.
    pub fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The carrier of a provider that may lie.
pub(super) struct Tampering {
    pub(super) inner: Arc<dyn Carrier>,
    pub(super) liar: Liar,
    pub(super) keys: Keys,
}

impl Tampering {
    fn changed(&self, event: Event) -> Event {
        if !self.liar.0.load(Ordering::SeqCst) {
            return event;
        }
        let Ok(chunk) = Chunk::parse(&event) else { return event };
        let mut data = chunk.data.to_vec();
        let middle = data.len() / 2;
        data[middle] ^= 1;
        let chunk_hash = Chunk::hash_of(&data);
        let chunk = Chunk { data: Bytes::from(data), chunk_hash, ..chunk };
        chunk.to_draft().sign(&self.keys, Timestamp(event.created_at.as_secs()))
    }
}

impl Carrier for Tampering {
    fn relays(&self) -> Vec<RelayUrl> {
        self.inner.relays()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.inner.connected()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        self.inner.publish(self.changed(event), route)
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
        self.inner.subscribe(filters)
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        self.inner.apart(relay)
    }
}
