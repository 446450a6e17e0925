//! The carrier's side of one subscription: fed by several relays, hands every event over once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nostr::EventId;

use crate::transport::seen::Seen;
use crate::transport::{Feed, Incoming};

/// The carrier's side of one subscription.
pub(super) struct Outlet {
    feed: Feed,
    seen: Mutex<Seen>,
}

impl Outlet {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, seen: Mutex::default() }
    }

    /// Whether an event of this id was not handed over yet, as far as is remembered. Asked before the event is
    /// verified, so that repeats cost no verification; nothing is remembered of events that are not what they say.
    pub(super) fn wants(&self, id: &EventId) -> bool {
        !self.seen().contains(id)
    }

    /// Hands a verified event over, unless it was before.
    pub(super) fn push(&self, incoming: Incoming) {
        if self.seen().insert(incoming.event.id) {
            self.feed.push(incoming);
        }
    }

    /// Hands an event over, whether one of its id was before or not.
    pub(super) fn pass(&self, incoming: Incoming) {
        self.feed.push(incoming);
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.feed.is_closed()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
