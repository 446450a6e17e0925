//! Who listens to what. Hands every published event to the queues of its readers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use nostr::Filter;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::message;
use super::queue::{Frame, ReaderQueue, SharedRoom};
use crate::types::limits::RELAY_SUBSCRIPTION_COUNT_MAX;
use crate::wire::Verified;

/// How long a publisher waits for a reader whose queue is full, before that reader is disconnected.
const SLOW_READER_WAIT: Duration = Duration::from_secs(2);

/// All readers of a relay.
pub(super) struct Fanout {
    readers: Mutex<BTreeMap<u64, Arc<Reader>>>,
    reader_next: AtomicU64,
    pub(super) room: SharedRoom,
    pub(super) forwarded_count: AtomicU64,
    pub(super) slow_count: AtomicU64,
}

/// A connected client, as a reader.
pub(super) struct Reader {
    pub(super) queue: ReaderQueue,
    subscriptions: Mutex<BTreeMap<String, Vec<Filter>>>,
    ended: Notify,
}

impl Fanout {
    pub(super) fn new() -> Self {
        Self {
            readers: Mutex::default(),
            reader_next: AtomicU64::new(0),
            room: SharedRoom::new(),
            forwarded_count: AtomicU64::new(0),
            slow_count: AtomicU64::new(0),
        }
    }

    /// Adds a reader; it leaves when what is returned is dropped.
    pub(super) fn join(self: &Arc<Self>, queue: ReaderQueue) -> Membership {
        let key = self.reader_next.fetch_add(1, Ordering::Relaxed);
        let reader = Arc::new(Reader { queue, subscriptions: Mutex::default(), ended: Notify::new() });
        self.readers().insert(key, reader.clone());
        Membership { fanout: self.clone(), key, reader }
    }

    /// Hands an event to all who listen for it, waiting for those whose queues are full.
    pub(super) async fn publish(&self, event: &Verified<'_>, text: &Bytes) {
        let mut full = Vec::new();
        for reader in self.readers().values() {
            for name in reader.names_for(event) {
                self.forwarded_count.fetch_add(1, Ordering::Relaxed);
                let frame = Frame::with_event(message::event_head(&name), text.clone());
                if reader.queue.try_send(frame.clone()).is_err() {
                    full.push((reader.clone(), frame));
                }
            }
        }
        if !full.is_empty() {
            join_all(full.into_iter().map(|(reader, frame)| self.send_slowly(reader, frame))).await;
        }
    }

    pub(super) fn reader_count(&self) -> usize {
        self.readers().len()
    }

    /// Waits for room. If there is none in time, the reader that is behind is disconnected: it, or, if all queues
    /// together are full, the one that is behind most.
    async fn send_slowly(&self, reader: Arc<Reader>, frame: Frame) {
        for _ in 0..2 {
            if timeout(SLOW_READER_WAIT, reader.queue.send(frame.clone())).await.is_ok() {
                return;
            }
            if reader.queue.lacks_room(&frame) {
                break;
            }
            let behind = self.readers().values().max_by_key(|reader| reader.queue.len()).cloned();
            if let Some(behind) = behind {
                self.disconnect(&behind);
            }
        }
        self.disconnect(&reader);
    }

    fn disconnect(&self, reader: &Reader) {
        self.slow_count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(queued_len = reader.queue.len(), "a reader does not catch up and is disconnected");
        reader.queue.close();
        reader.ended.notify_one();
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Listens, in the place of an earlier subscription of that name. False if there are too many.
    pub(super) fn subscribe(&self, name: String, filters: Vec<Filter>) -> bool {
        let mut subscriptions = self.subscriptions();
        if subscriptions.len() >= RELAY_SUBSCRIPTION_COUNT_MAX && !subscriptions.contains_key(&name) {
            return false;
        }
        subscriptions.insert(name, filters);
        true
    }

    /// Listens no more under that name.
    pub(super) fn unsubscribe(&self, name: &str) {
        self.subscriptions().remove(name);
    }

    /// Returns when the reader is to be disconnected. For one waiter.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// The subscriptions that want the event.
    fn names_for(&self, event: &Verified<'_>) -> Vec<String> {
        let wants = |filters: &[Filter]| filters.iter().any(|filter| event.matches(filter));
        let subscriptions = self.subscriptions();
        subscriptions.iter().filter(|(_, filters)| wants(filters)).map(|(name, _)| name.clone()).collect()
    }

    fn subscriptions(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Filter>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place among the others, until it is dropped.
pub(super) struct Membership {
    fanout: Arc<Fanout>,
    key: u64,
    pub(super) reader: Arc<Reader>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.fanout.readers().remove(&self.key);
        // Publishers that wait for this reader wait no more.
        self.reader.queue.close();
    }
}
