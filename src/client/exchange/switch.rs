//! Which conversation an incoming event belongs to.
//!
//! One provider's events come in through one subscription and are told apart here, by the request that they name;
//! chunks of a plain provider name none and go to whoever waits for the blob. Everything here is bounded: only
//! requests of our own and blobs that we wait for have an entry, and a conversation that is slow loses events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::{Event, EventId};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::session::Try;
use crate::types::BlobHash;
use crate::wire::{CHUNK_KIND, carries_chunk, tags};

/// The conversations with one provider.
#[derive(Default)]
pub(super) struct Switch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    conversations: BTreeMap<u64, Conversation>,
    by_request: BTreeMap<EventId, (u64, Try)>,
    by_blob: BTreeMap<BlobHash, BTreeSet<u64>>,
}

struct Conversation {
    outlet: Sender<Delivery>,
    takes_chunks: bool,
}

/// Which chunks a conversation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// None: what looks like one is not delivered.
    None,
    /// Those that name one of its requests.
    Named,
    /// Those of a blob that name no request, too.
    Of(BlobHash),
}

/// Events beside chunks that may wait for a conversation. Chunks, which anybody can forge, do not take their room.
pub(super) const ANSWER_QUEUE_MAX: usize = 16;

/// An event for a conversation.
pub(super) struct Delivery {
    pub(super) event: Event,
    /// The try that it answers; `None` for a chunk that names none.
    pub(super) to: Option<Try>,
}

/// One conversation's end; its entries go when it is dropped.
pub(super) struct Line {
    switch: Arc<Switch>,
    id: u64,
    pub(super) inbox: Receiver<Delivery>,
    requests: Vec<EventId>,
    blob: Option<BlobHash>,
}

impl Switch {
    /// Begins a conversation, for which at most so many chunks and [`ANSWER_QUEUE_MAX`] other events wait.
    pub(super) fn line(self: &Arc<Self>, chunks: Chunks, chunk_count_max: usize) -> Line {
        let (outlet, inbox) = mpsc::channel(chunk_count_max + ANSWER_QUEUE_MAX);
        let takes_chunks = chunks != Chunks::None;
        let blob = if let Chunks::Of(hash) = chunks { Some(hash) } else { None };
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.conversations.insert(id, Conversation { outlet, takes_chunks });
        if let Some(hash) = blob {
            state.by_blob.entry(hash).or_default().insert(id);
        }
        Line { switch: self.clone(), id, inbox, requests: Vec::new(), blob }
    }

    /// Hands an event to the conversation it belongs to. Whether there is one.
    pub(super) fn deliver(&self, event: Event) -> bool {
        let request = tags::value(&event, "e").map(EventId::from_hex);
        let state = self.lock();
        match request {
            Some(Ok(request)) => state.deliver_to_request(event, request),
            Some(Err(_)) => false,
            None => state.deliver_to_blob(&event),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deliver_to_request(&self, event: Event, request: EventId) -> bool {
        let Some((id, to)) = self.by_request.get(&request) else { return false };
        let Some(conversation) = self.conversations.get(id) else { return false };
        conversation.deliver(Delivery { event, to: Some(*to) })
    }

    fn deliver_to_blob(&self, event: &Event) -> bool {
        if event.kind.as_u16() != CHUNK_KIND {
            return false;
        }
        let hash = tags::value(event, "file_hash").and_then(|text| BlobHash::parse(text).ok());
        let Some(waiting) = hash.and_then(|hash| self.by_blob.get(&hash)) else { return false };
        for conversation in waiting.iter().filter_map(|id| self.conversations.get(id)) {
            conversation.deliver(Delivery { event: event.clone(), to: None });
        }
        true
    }
}

impl Conversation {
    /// Whether there was room: what does not fit is lost, and asked for again by the session.
    fn deliver(&self, delivery: Delivery) -> bool {
        let is_chunk = carries_chunk(delivery.event.kind);
        let has_room = !is_chunk || (self.takes_chunks && self.outlet.capacity() > ANSWER_QUEUE_MAX);
        has_room && self.outlet.try_send(delivery).is_ok()
    }
}

impl Line {
    /// Answers to this event belong to this conversation.
    pub(super) fn expect(&mut self, request: EventId, number: Try) {
        self.switch.lock().by_request.insert(request, (self.id, number));
        self.requests.push(request);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.switch.lock();
        state.conversations.remove(&self.id);
        for request in &self.requests {
            state.by_request.remove(request);
        }
        let Some(hash) = self.blob else { return };
        if let Some(waiting) = state.by_blob.get_mut(&hash) {
            waiting.remove(&self.id);
            if waiting.is_empty() {
                state.by_blob.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr::Keys;

    use super::*;
    use crate::types::{ChunkIndex, ClientId, Timestamp};
    use crate::wire::{Chunk, Direction, Draft, RESPONSE_KIND};

    fn chunk(blob: BlobHash, request: Option<EventId>) -> Event {
        let data = bytes::Bytes::from_static(b"data");
        let chunk_hash = Chunk::hash_of(&data);
        let direction = request.map(|request| Direction { request, requester: ClientId::new([1; 32]) });
        let chunk = Chunk {
            hash: blob,
            index: ChunkIndex(0),
            total: 1,
            chunk_hash,
            expiration: None,
            direction,
            data,
        };
        chunk.to_draft().sign(&Keys::parse(&"01".repeat(32)).unwrap(), Timestamp(1))
    }

    #[test]
    fn events_reach_only_the_conversation_that_asked() {
        let switch = Arc::new(Switch::default());
        let blob = BlobHash::new([1; 32]);
        let (mut one, mut other) = (switch.line(Chunks::Named, 8), switch.line(Chunks::Of(blob), 8));
        let request = EventId::from_byte_array([1; 32]);
        one.expect(request, Try(3));
        assert!(switch.deliver(chunk(blob, Some(request))));
        assert!(switch.deliver(chunk(blob, None)));
        assert_eq!(one.inbox.try_recv().unwrap().to, Some(Try(3)));
        assert_eq!(other.inbox.try_recv().unwrap().to, None);
        assert!(one.inbox.try_recv().is_err() && other.inbox.try_recv().is_err());
    }

    #[test]
    fn chunk_for_unknown_request_is_ignored() {
        let switch = Arc::new(Switch::default());
        let _line = switch.line(Chunks::Of(BlobHash::new([1; 32])), 8);
        assert!(!switch.deliver(chunk(BlobHash::new([1; 32]), Some(EventId::from_byte_array([9; 32])))));
        assert!(!switch.deliver(chunk(BlobHash::new([2; 32]), None)));
    }

    #[test]
    fn conversation_that_is_over_leaves_nothing_behind() {
        let switch = Arc::new(Switch::default());
        let blob = BlobHash::new([1; 32]);
        let mut line = switch.line(Chunks::Of(blob), 8);
        line.expect(EventId::from_byte_array([1; 32]), Try(0));
        drop(line);
        let state = switch.lock();
        assert!(state.conversations.is_empty() && state.by_request.is_empty() && state.by_blob.is_empty());
    }

    #[test]
    fn flooded_conversation_holds_no_more_than_its_limit() {
        let switch = Arc::new(Switch::default());
        let mut line = switch.line(Chunks::Named, 8);
        let request = EventId::from_byte_array([1; 32]);
        line.expect(request, Try(0));
        let event = chunk(BlobHash::new([1; 32]), Some(request));
        let taken = (0..60).filter(|_| switch.deliver(event.clone())).count();
        assert_eq!(taken, 8);
        let answer = Draft { kind: RESPONSE_KIND, content: String::new(), tags: event.tags.to_vec() };
        let answer = answer.sign(&Keys::parse(&"01".repeat(32)).unwrap(), Timestamp(1));
        let taken = (0..60).filter(|_| switch.deliver(answer.clone())).count();
        assert_eq!(taken, ANSWER_QUEUE_MAX, "answers have room whatever comes beside");
    }

    #[test]
    fn chunks_go_to_no_conversation_that_is_about_none() {
        let switch = Arc::new(Switch::default());
        let mut line = switch.line(Chunks::None, 0);
        let request = EventId::from_byte_array([1; 32]);
        line.expect(request, Try(0));
        assert!(!switch.deliver(chunk(BlobHash::new([1; 32]), Some(request))));
        assert!(line.inbox.try_recv().is_err());
    }
}
