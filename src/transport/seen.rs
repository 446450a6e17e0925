//! A bounded memory of event ids, so that an event that several relays bring is handed over once.

use std::collections::BTreeSet;

use nostr::EventId;

use crate::types::limits::SEEN_EVENT_COUNT_MAX;

/// Remembers at least the last half of `SEEN_EVENT_COUNT_MAX` ids, and never more than all of it.
#[derive(Default)]
pub(super) struct Seen {
    recent: BTreeSet<EventId>,
    older: BTreeSet<EventId>,
}

impl Seen {
    /// Whether `id` is remembered.
    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.recent.contains(id) || self.older.contains(id)
    }

    /// Remembers `id`; whether it is new, as far as is remembered.
    pub(super) fn insert(&mut self, id: EventId) -> bool {
        if self.older.contains(&id) || !self.recent.insert(id) {
            return false;
        }
        if self.recent.len() >= SEEN_EVENT_COUNT_MAX / 2 {
            self.older = std::mem::take(&mut self.recent);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> EventId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EventId::from_byte_array(bytes)
    }

    #[test]
    fn memory_of_ids_suppresses_repeats_and_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..3 * SEEN_EVENT_COUNT_MAX {
            assert!(seen.insert(id(number)));
            assert!(!seen.insert(id(number)));
            assert!(!seen.insert(id(number.saturating_sub(SEEN_EVENT_COUNT_MAX / 2 - 1))));
            assert!(seen.recent.len() + seen.older.len() <= SEEN_EVENT_COUNT_MAX);
        }
        assert!(seen.insert(id(0)), "what is long ago is forgotten");
    }
}
