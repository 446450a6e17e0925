//! Listening to providers: each by a subscription of its own while they are few, and beyond that together, because relays
//! allow a connection few subscriptions.
//!
//! Providers that are added at the same time, as a discovery does, share one, which ends when the last of their links is
//! gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nostr::{Filter, Kind, PublicKey};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::exchange::ExchangeError;
use crate::client::exchange::link::Link;
use crate::transport::{Carrier, Subscription};
use crate::types::ProviderId;
use crate::wire::{AUDIT_KIND, CHUNK_KIND, RESPONSE_KIND, STATUS_KIND};

/// So many are listened to each by itself: nobody waits in a queue behind another's chunks.
const ALONE_MAX: usize = 16;
/// Providers in one subscription: relays take filters of so many keys.
const TOGETHER_MAX: usize = 250;
/// How often it is looked whether anybody still wants a quiet subscription.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The subscriptions of an exchange.
pub(super) struct Ears {
    /// Links that nobody listens for yet.
    waiting: Mutex<Vec<Arc<Link>>>,
    /// One subscribes at a time, for all that wait.
    turn: Semaphore,
    /// Cloned for each that is listened to by itself.
    alone: Arc<()>,
    readers: Mutex<JoinSet<()>>,
}

impl Default for Ears {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: Semaphore::new(1),
            alone: Arc::default(),
            readers: Mutex::default(),
        }
    }
}

impl Ears {
    /// Listens for a link; for others that wait, too.
    pub(super) async fn listen_for(
        &self,
        link: &Arc<Link>,
        carrier: &dyn Carrier,
    ) -> Result<(), ExchangeError> {
        if Arc::strong_count(&self.alone) <= ALONE_MAX {
            return link.listen_alone(self.alone.clone()).await;
        }
        lock(&self.waiting).push(link.clone());
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        if link.is_heard() {
            return Ok(());
        }
        let mut together = {
            let mut waiting = lock(&self.waiting);
            waiting.retain(|other| !Arc::ptr_eq(other, link));
            let count = waiting.len().min(TOGETHER_MAX - 1);
            waiting.drain(..count).collect::<Vec<_>>()
        };
        together.push(link.clone());
        let keys = |id: ProviderId| PublicKey::from_byte_array(*id.as_bytes());
        // `limit` is about what a relay has stored; these events are not to be stored, but some relays do.
        let filter = Filter::new()
            .authors(together.iter().map(|link| keys(link.id)))
            .pubkeys(together.iter().map(|link| link.public_key()))
            .kinds([RESPONSE_KIND, STATUS_KIND, CHUNK_KIND, AUDIT_KIND].map(Kind::from_u16))
            .limit(1);
        let subscription = carrier.subscribe(vec![filter]).await?;
        for link in &together {
            link.set_heard();
        }
        let links = together.iter().map(|link| (link.id, Arc::downgrade(link))).collect();
        lock(&self.readers).spawn(read_all(subscription, links));
        Ok(())
    }
}

/// Hands events to the links they are for, until the carrier or all links are gone.
async fn read_all(mut subscription: Subscription, links: BTreeMap<ProviderId, Weak<Link>>) {
    loop {
        match timeout(LOOK_EVERY, subscription.next()).await {
            Ok(Some(incoming)) => {
                let id = ProviderId::new(incoming.event.pubkey.to_bytes());
                if let Some(link) = links.get(&id).and_then(Weak::upgrade) {
                    link.take(incoming);
                }
            }
            Ok(None) => return,
            Err(_quiet) if links.values().all(|link| link.strong_count() == 0) => return,
            Err(_quiet) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
