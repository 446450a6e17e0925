//! What is known about one relay: its session, its subscriptions, and who waits for which answer of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::filter::MatchEventOptions;
use nostr::{Event, EventId, Filter, RelayUrl};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::message::{self, RelayMessage};
use super::queue::SendQueue;
use crate::transport::Incoming;
use crate::transport::outlet::Outlet;
use crate::types::limits::{QUERY_ANSWER_LEN_MAX, QUERY_EVENT_COUNT_MAX};
use crate::wire::nip01;

/// A relay that has not sent EOSE by then may not have the subscription: it is asked again.
const STORED_END_WAIT: Duration = Duration::from_secs(10);
/// A relay that keeps closing a subscription is asked again ever more rarely, down to this.
const SUBSCRIBE_WAIT_MAX: Duration = Duration::from_secs(120);
/// Subscriptions are asked for again that often, because relays forget them without a word.
const RENEW_INTERVAL: Duration = Duration::from_secs(120);

/// One relay.
pub(super) struct Link {
    pub(super) url: RelayUrl,
    /// Counts changes of the link's state, for whoever waits for one.
    changed: watch::Sender<u64>,
    state: Mutex<State>,
}

struct State {
    /// There while connected.
    queue: Option<SendQueue>,
    /// Why there is no connection, as far as is known.
    trouble: Option<String>,
    subscriptions: BTreeMap<String, Listening>,
    queries: BTreeMap<String, Query>,
    acknowledgements: BTreeMap<EventId, Vec<oneshot::Sender<Result<(), String>>>>,
}

struct Listening {
    filters: Arc<[Filter]>,
    outlet: Arc<Outlet>,
    /// Whether the relay has confirmed it in this session, by EOSE.
    is_confirmed: bool,
    /// When the relay is to be asked again.
    ask_at: Instant,
    /// How long to wait after the next time.
    wait: Duration,
}

struct Query {
    filter: Filter,
    events: Vec<Event>,
    room_len: usize,
    answer: Option<oneshot::Sender<Vec<Event>>>,
}

impl Link {
    pub(super) fn new(url: RelayUrl) -> Self {
        let state = State {
            queue: None,
            trouble: None,
            subscriptions: BTreeMap::new(),
            queries: BTreeMap::new(),
            acknowledgements: BTreeMap::new(),
        };
        Self { url, changed: watch::Sender::new(0), state: Mutex::new(state) }
    }

    /// The send queue, while there is a session.
    pub(super) fn queue(&self) -> Option<SendQueue> {
        self.lock().queue.clone()
    }

    /// Why there is no session: `None` while there is one, or before the first attempt has ended.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Changes whenever a session starts, ends or fails to start, and when a subscription is confirmed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A session starts: all subscriptions are asked for.
    pub(super) fn connected(&self, queue: SendQueue) {
        let mut state = self.lock();
        state.trouble = None;
        for listening in state.subscriptions.values_mut() {
            listening.is_confirmed = false;
            listening.ask_at = Instant::now();
            listening.wait = STORED_END_WAIT;
        }
        state.queue = Some(queue);
        state.ask_due(Instant::now());
        drop(state);
        self.notify();
    }

    /// The session has ended, or none could be had. Whoever waits for an answer learns that there will be none.
    pub(super) fn disconnected(&self, trouble: String) {
        let mut state = self.lock();
        if let Some(queue) = state.queue.take() {
            queue.close();
        }
        state.trouble = Some(trouble);
        state.queries.clear();
        state.acknowledgements.clear();
        drop(state);
        self.notify();
    }

    /// Listens until the outlet is closed.
    pub(super) fn listen(&self, name: String, filters: Arc<[Filter]>, outlet: Arc<Outlet>) {
        let (ask_at, wait) = (Instant::now(), STORED_END_WAIT);
        let listening = Listening { filters, outlet, is_confirmed: false, ask_at, wait };
        let mut state = self.lock();
        state.subscriptions.insert(name, listening);
        state.ask_due(ask_at);
    }

    /// Whether the relay, while connected, has confirmed the subscription; one without a session is not waited for.
    pub(super) fn is_settled(&self, name: &str) -> bool {
        let state = self.lock();
        state.queue.is_none() || state.subscriptions.get(name).is_none_or(|listening| listening.is_confirmed)
    }

    /// Asks for stored events; `None` while not connected. The question ends when the answer is dropped.
    pub(super) fn ask(&self, name: String, filter: Filter) -> Option<Answer<'_, Vec<Event>>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.queue.as_ref()?.send_control(message::request(&name, std::slice::from_ref(&filter)));
        let query =
            Query { filter, events: Vec::new(), room_len: QUERY_ANSWER_LEN_MAX, answer: Some(sender) };
        state.queries.insert(name.clone(), query);
        Some(Answer { link: self, receiver, question: Question::Stored(name) })
    }

    /// The relay's OK for an event that is about to be sent.
    pub(super) fn acknowledgement(&self, id: EventId) -> Answer<'_, Result<(), String>> {
        let (sender, receiver) = oneshot::channel();
        self.lock().acknowledgements.entry(id).or_default().push(sender);
        Answer { link: self, receiver, question: Question::Taken(id) }
    }

    /// Takes down what nobody reads, and asks again for what the relay may have forgotten.
    pub(super) fn maintain(&self, now: Instant) {
        let mut state = self.lock();
        let State { queue, subscriptions, .. } = &mut *state;
        subscriptions.retain(|name, listening| {
            let is_read = !listening.outlet.is_closed();
            if let (false, Some(queue)) = (is_read, queue.as_ref()) {
                queue.send_control(message::close(name));
            }
            is_read
        });
        state.ask_due(now);
    }

    /// Takes one message of the relay.
    pub(super) fn receive(&self, message: RelayMessage) {
        match message {
            RelayMessage::Event(name, event) => self.receive_event(&name, *event),
            RelayMessage::Ok(id, is_taken, words) => {
                for sender in self.lock().acknowledgements.remove(&id).into_iter().flatten() {
                    // Whoever waited may have left.
                    let _ = sender.send(if is_taken { Ok(()) } else { Err(words.clone()) });
                }
            }
            RelayMessage::EndOfStored(name) => {
                self.lock().end_of_stored(&name);
                self.notify();
            }
            RelayMessage::Closed(name, words) => {
                tracing::warn!(relay = %self.url, words = shortened(&words), "relay closed a subscription");
                self.lock().closed(&name);
            }
            RelayMessage::Notice(words) => {
                tracing::debug!(relay = %self.url, words = shortened(&words), "notice of a relay");
            }
            RelayMessage::Other => {}
        }
    }

    fn receive_event(&self, name: &str, event: Event) {
        let mut state = self.lock();
        if let Some(query) = state.queries.get_mut(name) {
            if !query.take(event) {
                state.queries.remove(name);
                state.send_control(message::close(name));
            }
            return;
        }
        let Some(listening) = state.subscriptions.get(name) else { return };
        let (filters, outlet) = (listening.filters.clone(), listening.outlet.clone());
        drop(state);
        // A relay may send anything under any name. The one verification of live events is here: of id and of
        // signature, before anything is remembered about the event.
        let is_asked_for = filters.iter().any(|filter| filter.match_event(&event, MatchEventOptions::new()));
        if is_asked_for && outlet.wants(&event.id) && nip01::verifies(&event) {
            outlet.push(Incoming { event, relay: self.url.clone() });
        }
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send_control(&self, text: String) {
        if let Some(queue) = &self.queue {
            queue.send_control(text);
        }
    }

    /// Asks for each subscription whose time has come.
    fn ask_due(&mut self, now: Instant) {
        let Some(queue) = &self.queue else { return };
        for (name, listening) in &mut self.subscriptions {
            if listening.ask_at <= now {
                // Under the same name: the relay replaces what it has, if it has it (NIP-01).
                queue.send_control(message::request(name, &listening.filters));
                listening.ask_at = now + if listening.is_confirmed { RENEW_INTERVAL } else { listening.wait };
                listening.wait = (listening.wait * 2).min(SUBSCRIBE_WAIT_MAX);
            }
        }
    }

    fn end_of_stored(&mut self, name: &str) {
        if let Some(listening) = self.subscriptions.get_mut(name) {
            listening.is_confirmed = true;
            listening.ask_at = Instant::now() + RENEW_INTERVAL;
            listening.wait = STORED_END_WAIT;
        } else if let Some(mut query) = self.queries.remove(name) {
            self.send_control(message::close(name));
            if let Some(answer) = query.answer.take() {
                // Whoever asked may have left.
                let _ = answer.send(query.events);
            }
        }
    }

    fn closed(&mut self, name: &str) {
        self.queries.remove(name);
        if let Some(listening) = self.subscriptions.get_mut(name) {
            listening.is_confirmed = false;
            listening.ask_at = Instant::now() + listening.wait;
            listening.wait = (listening.wait * 2).min(SUBSCRIBE_WAIT_MAX);
        }
    }
}

/// What a relay will say, if it does. Nothing is kept for it once it is dropped.
pub(super) struct Answer<'a, T> {
    link: &'a Link,
    receiver: oneshot::Receiver<T>,
    question: Question,
}

enum Question {
    Stored(String),
    Taken(EventId),
}

impl<T> Answer<'_, T> {
    /// Waits for the answer; `None` if there was none by then, or the session has ended.
    pub(super) async fn until(mut self, deadline: Instant) -> Option<T> {
        timeout_at(deadline, &mut self.receiver).await.ok()?.ok()
    }
}

impl<T> Drop for Answer<'_, T> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut state = self.link.lock();
        match &self.question {
            Question::Stored(name) => {
                if state.queries.remove(name).is_some() {
                    state.send_control(message::close(name));
                }
            }
            Question::Taken(id) => {
                if let Some(waiting) = state.acknowledgements.get_mut(id) {
                    waiting.retain(|sender| !sender.is_closed());
                    if waiting.is_empty() {
                        state.acknowledgements.remove(id);
                    }
                }
            }
        }
    }
}

impl Query {
    /// Takes an event of the answer if it was asked for and is what it says. Whether there is room for more.
    fn take(&mut self, event: Event) -> bool {
        // The one verification of stored events.
        if !self.filter.match_event(&event, MatchEventOptions::new()) || !nip01::verifies(&event) {
            return true;
        }
        let Some(room_len) = self.room_len.checked_sub(event.content.len()) else { return false };
        self.room_len = room_len;
        self.events.push(event);
        self.events.len() < QUERY_EVENT_COUNT_MAX
    }
}

/// Words of a relay, cut to what a log line takes.
fn shortened(words: &str) -> &str {
    let end = words.char_indices().nth(200).map_or(words.len(), |(index, _)| index);
    &words[..end]
}
