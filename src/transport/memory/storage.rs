//! What a hub remembers: the newest of each replaceable or addressable event, and ordinary events (NIP-01).

use std::collections::BTreeMap;

use nostr::filter::MatchEventOptions;
use nostr::{Event, EventId, Filter, Kind, PublicKey};

/// Events kept; the oldest ordinary ones go first. A bound for tests that run long, not a feature.
const STORED_COUNT_MAX: usize = 20_000;

/// What makes an event replace another: kind, author and `d` tag; for ordinary events their id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Ordinary(EventId),
    Replaceable(Kind, PublicKey, String),
}

#[derive(Default)]
pub(super) struct Storage {
    events: BTreeMap<Slot, Event>,
}

impl Storage {
    /// Keeps the event where its kind asks for that. Whether it is news: not ephemeral ones are, unless an equal or
    /// newer one is there.
    pub(super) fn insert(&mut self, event: &Event) -> bool {
        if event.kind.is_ephemeral() {
            return true;
        }
        let slot = if event.kind.is_addressable() {
            Slot::Replaceable(
                event.kind,
                event.pubkey,
                event.tags.identifier().unwrap_or_default().to_owned(),
            )
        } else if event.kind.is_replaceable() {
            Slot::Replaceable(event.kind, event.pubkey, String::new())
        } else {
            Slot::Ordinary(event.id)
        };
        // `Event` is ordered newest first, then by id, which is how NIP-01 breaks ties.
        if self.events.get(&slot).is_some_and(|stored| stored <= event) {
            return false;
        }
        self.events.insert(slot, event.clone());
        if self.events.len() > STORED_COUNT_MAX {
            self.events.pop_first();
        }
        true
    }

    /// Events that match, newest first, at most as many as the filter's limit.
    pub(super) fn query(&self, filter: &Filter) -> Vec<Event> {
        let matches = |event: &&Event| filter.match_event(event, MatchEventOptions::new());
        let mut found: Vec<Event> = self.events.values().filter(matches).cloned().collect();
        found.sort();
        found.truncate(filter.limit.unwrap_or(usize::MAX));
        found
    }
}
