//! The bounded queue between a carrier and one reader. When the reader is slow the oldest events are lost, and
//! counted: what is lost is asked for again end to end, and memory stays bounded (invariants I8 and I9).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::Event;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use crate::transport::Incoming;
use crate::types::limits::{SUBSCRIPTION_EVENT_COUNT_MAX, SUBSCRIPTION_QUEUE_LEN_MAX};

/// The reader's end: live events until it is dropped.
pub struct Subscription {
    shared: Arc<Shared>,
}

impl Subscription {
    /// A queue, as its two ends.
    pub fn channel() -> (Feed, Self) {
        let shared = Arc::new(Shared::default());
        (Feed { shared: shared.clone() }, Self { shared })
    }

    /// The next event; `None` when the carrier was shut down and everything before has been read.
    ///
    /// May be dropped at any point (in a `select!`) without losing an event.
    pub async fn next(&mut self) -> Option<Incoming> {
        // A full queue must not keep its reader from letting others run.
        consume_budget().await;
        loop {
            {
                let mut queue = self.shared.lock();
                if let Some(incoming) = queue.pop() {
                    return Some(incoming);
                }
                if queue.feed_gone {
                    return None;
                }
            }
            self.shared.arrived.notified().await;
        }
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.shared.lock().pop()
    }

    /// How many events this reader has lost because it was slow.
    pub fn lost_count(&self) -> u64 {
        self.shared.lock().lost_count
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.reader_gone = true;
        queue.events.clear();
        queue.len = 0;
        self.shared.reader_left.notify_one();
    }
}

/// The carrier's end. It belongs to one carrier; when it is dropped, the reader comes to its end.
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    /// Adds an event, at the cost of the oldest ones if there is no room. Without effect if the reader is gone.
    pub fn push(&self, incoming: Incoming) {
        self.shared.lock().push(incoming);
        self.shared.arrived.notify_one();
    }

    /// Whether the reader is gone, so that the subscription can be taken down.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().reader_gone
    }

    /// Returns when the reader is gone. For one waiter.
    pub async fn closed(&self) {
        while !self.is_closed() {
            self.shared.reader_left.notified().await;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.lock().feed_gone = true;
        self.shared.arrived.notify_one();
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
    reader_left: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Incoming>,
    /// Bytes that the waiting events hold, about.
    len: usize,
    lost_count: u64,
    reader_gone: bool,
    feed_gone: bool,
}

impl Queue {
    fn pop(&mut self) -> Option<Incoming> {
        let incoming = self.events.pop_front()?;
        self.len -= held_len(&incoming.event);
        Some(incoming)
    }

    fn push(&mut self, incoming: Incoming) {
        if self.reader_gone {
            return;
        }
        self.len += held_len(&incoming.event);
        self.events.push_back(incoming);
        // One event always has room, however large.
        while self.events.len() > SUBSCRIPTION_EVENT_COUNT_MAX
            || (self.len > SUBSCRIPTION_QUEUE_LEN_MAX && self.events.len() > 1)
        {
            self.pop();
            self.lost_count += 1;
        }
    }
}

/// Bytes that an event holds in memory, about: its texts, and what each of them costs beside.
pub(super) fn held_len(event: &Event) -> usize {
    const EVENT_COST: usize = 512;
    const TEXT_COST: usize = 48;
    let tags = event.tags.iter().flat_map(nostr::Tag::as_slice);
    EVENT_COST + event.content.capacity() + tags.map(|text| TEXT_COST + text.capacity()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind, RelayUrl};

    use super::*;

    fn incoming(content: String) -> Incoming {
        let event = EventBuilder::new(Kind::from(24_212), content).sign_with_keys(&Keys::generate()).unwrap();
        Incoming { event, relay: RelayUrl::parse("ws://127.0.0.1:1").unwrap() }
    }

    #[tokio::test]
    async fn events_come_in_the_order_they_were_pushed() {
        let (feed, mut subscription) = Subscription::channel();
        for text in ["a", "b"] {
            feed.push(incoming(text.into()));
        }
        drop(feed);
        assert_eq!(subscription.next().await.unwrap().event.content, "a");
        assert_eq!(subscription.next().await.unwrap().event.content, "b");
        assert_eq!(subscription.next().await, None);
        assert_eq!(subscription.lost_count(), 0);
    }

    #[test]
    fn slow_reader_loses_the_oldest_and_can_see_how_many() {
        let (feed, mut subscription) = Subscription::channel();
        let large = incoming("x".repeat(SUBSCRIPTION_QUEUE_LEN_MAX / 3));
        feed.push(incoming("first".into()));
        for _ in 0..4 {
            feed.push(large.clone());
        }
        assert_eq!(subscription.lost_count(), 3);
        assert_eq!(subscription.try_next(), Some(large.clone()));
        assert_eq!(subscription.try_next(), Some(large));
        assert_eq!(subscription.try_next(), None);
        assert_eq!(subscription.shared.lock().len, 0);
    }

    #[test]
    fn many_small_events_are_bounded_by_count() {
        let (feed, subscription) = Subscription::channel();
        let small = incoming("x".into());
        for _ in 0..SUBSCRIPTION_EVENT_COUNT_MAX + 10 {
            feed.push(small.clone());
        }
        assert_eq!(subscription.lost_count(), 10);
    }

    #[tokio::test]
    async fn feed_learns_that_its_reader_is_gone() {
        let (feed, subscription) = Subscription::channel();
        assert!(!feed.is_closed());
        drop(subscription);
        feed.closed().await;
        feed.push(incoming("late".into()));
        assert_eq!(feed.shared.lock().events.len(), 0);
    }
}
