//! What is known about one relay: its session, its subscriptions, and who waits for which answer of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::{ClientMessage, Event, EventId, Filter, RelayMessage, RelayUrl, SubscriptionId};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::room::Room;
use super::session::Session;
use crate::transport::Incoming;
use crate::transport::outlet::Outlet;
use crate::transport::subscription::held_len;
use crate::types::limits::{QUERY_ANSWER_LEN_MAX, QUERY_EVENT_COUNT_MAX};
use crate::wire::{Unverified, Verified, carries_chunk};

/// A relay that has not sent EOSE by then may not have the subscription: it is asked again.
const STORED_END_WAIT: Duration = Duration::from_secs(10);
/// A relay that keeps closing a subscription is asked again ever more rarely, down to this.
const SUBSCRIBE_WAIT_MAX: Duration = Duration::from_secs(120);
/// Subscriptions are asked for again that often, because relays forget them without a word.
const RENEW_INTERVAL: Duration = Duration::from_secs(120);

/// All relays of a carrier.
pub(super) type Links = BTreeMap<RelayUrl, Arc<Link>>;

/// One relay.
pub(super) struct Link {
    pub(super) url: RelayUrl,
    /// Counts changes of the link's state, for whoever waits for one.
    changed: watch::Sender<u64>,
    state: Mutex<State>,
}

struct State {
    /// There while connected.
    session: Option<Session>,
    /// The room of the session that there is, or that is being started.
    room: Arc<Room>,
    /// Why there is no connection, as far as is known.
    trouble: Option<String>,
    subscriptions: BTreeMap<SubscriptionId, Listening>,
    queries: BTreeMap<SubscriptionId, Query>,
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
            session: None,
            room: Arc::new(Room::new()),
            trouble: None,
            subscriptions: BTreeMap::new(),
            queries: BTreeMap::new(),
            acknowledgements: BTreeMap::new(),
        };
        Self { url, changed: watch::Sender::new(0), state: Mutex::new(state) }
    }

    /// The session, while there is one.
    pub(super) fn session(&self) -> Option<Session> {
        self.lock().session.clone()
    }

    /// The room of the session that there is, or that is being started.
    pub(super) fn room(&self) -> Arc<Room> {
        self.lock().room.clone()
    }

    /// Room for a session that is about to be started.
    pub(super) fn fresh_room(&self) -> Arc<Room> {
        let room = Arc::new(Room::new());
        self.lock().room = room.clone();
        room
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
    pub(super) fn connected(&self, session: Session) {
        let mut state = self.lock();
        state.trouble = None;
        for listening in state.subscriptions.values_mut() {
            listening.is_confirmed = false;
            listening.ask_at = Instant::now();
            listening.wait = STORED_END_WAIT;
        }
        state.session = Some(session);
        state.ask_due(Instant::now());
        drop(state);
        self.notify();
    }

    /// The session has ended, or none could be had. Whoever waits for an answer learns that there will be none.
    pub(super) fn disconnected(&self, trouble: String) {
        let mut state = self.lock();
        if let Some(session) = state.session.take() {
            session.close();
        }
        state.trouble = Some(trouble);
        state.queries.clear();
        state.acknowledgements.clear();
        drop(state);
        self.notify();
    }

    /// Listens until the outlet is closed.
    pub(super) fn listen(&self, name: SubscriptionId, filters: Arc<[Filter]>, outlet: Arc<Outlet>) {
        let (ask_at, wait) = (Instant::now(), STORED_END_WAIT);
        let listening = Listening { filters, outlet, is_confirmed: false, ask_at, wait };
        let mut state = self.lock();
        state.subscriptions.insert(name, listening);
        state.ask_due(ask_at);
    }

    /// Whether the relay, while connected, has confirmed the subscription; one without a session is not waited for.
    pub(super) fn is_settled(&self, name: &SubscriptionId) -> bool {
        let state = self.lock();
        state.session.is_none()
            || state.subscriptions.get(name).is_none_or(|listening| listening.is_confirmed)
    }

    /// Asks for stored events; `None` while not connected. The question ends when the answer is dropped.
    pub(super) fn ask(&self, name: SubscriptionId, filter: Filter) -> Option<Answer<'_, Vec<Event>>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if !state.session.as_ref()?.send_control(request(&name, std::slice::from_ref(&filter))) {
            return None;
        }
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
        let State { session, subscriptions, .. } = &mut *state;
        subscriptions.retain(|name, listening| {
            let is_read = !listening.outlet.is_closed();
            if let (false, Some(session)) = (is_read, session.as_ref()) {
                session.send_control(ClientMessage::Close(Cow::Borrowed(name)));
            }
            is_read
        });
        state.ask_due(now);
    }

    /// Takes one message of the relay; events come to [`Self::receive_event`] instead.
    pub(super) fn receive(&self, message: RelayMessage<'_>) {
        match message {
            RelayMessage::Ok { event_id, status: is_taken, message: words } => {
                for sender in self.lock().acknowledgements.remove(&event_id).into_iter().flatten() {
                    // Whoever waited may have left.
                    let _ = sender.send(if is_taken { Ok(()) } else { Err(words.clone().into_owned()) });
                }
            }
            RelayMessage::EndOfStoredEvents(name) => {
                self.lock().end_of_stored(&name);
                self.notify();
            }
            RelayMessage::Closed { subscription_id, message: words } => {
                tracing::warn!(relay = %self.url, words = shortened(&words), "relay closed a subscription");
                self.lock().closed(&subscription_id);
            }
            RelayMessage::Notice(words) => {
                tracing::debug!(relay = %self.url, words = shortened(&words), "notice of a relay");
            }
            // NIP-42 challenges, which a carrier cannot answer because it has no key; counts.
            _ => {}
        }
    }

    /// Takes an event that came under the name of a subscription or query.
    ///
    /// It is verified here, id and signature, after the filters and before anything of it is remembered. Live chunks are
    /// not, and nothing of them is remembered: a forged one must not keep out the true one of its id.
    pub(super) fn receive_event(&self, name: &SubscriptionId, event: Unverified<'_>) {
        let mut state = self.lock();
        if let Some(query) = state.queries.get_mut(name) {
            if !query.take(event) {
                state.queries.remove(name);
                state.close(name);
            }
            return;
        }
        let Some(listening) = state.subscriptions.get(name) else { return };
        let (filters, outlet) = (listening.filters.clone(), listening.outlet.clone());
        drop(state);
        if !filters.iter().any(|filter| event.matches(filter)) {
            return;
        }
        if carries_chunk(event.kind()) {
            outlet.pass(Incoming { event: event.whole(), relay: self.url.clone() });
        } else if outlet.wants(&event.id())
            && let Some(event) = event.verified()
        {
            outlet.push(Incoming { event: event.into_event(), relay: self.url.clone() });
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
    /// Tells the relay that no more is wanted under this name.
    fn close(&self, name: &SubscriptionId) {
        if let Some(session) = &self.session {
            session.send_control(ClientMessage::Close(Cow::Borrowed(name)));
        }
    }

    /// Asks for each subscription whose time has come.
    fn ask_due(&mut self, now: Instant) {
        let Some(session) = &self.session else { return };
        for (name, listening) in &mut self.subscriptions {
            // Under the same name: the relay replaces what it has, if it has it (NIP-01).
            if listening.ask_at <= now && session.send_control(request(name, &listening.filters)) {
                listening.ask_at = now + if listening.is_confirmed { RENEW_INTERVAL } else { listening.wait };
                listening.wait = (listening.wait * 2).min(SUBSCRIBE_WAIT_MAX);
            }
        }
    }

    fn end_of_stored(&mut self, name: &SubscriptionId) {
        if let Some(listening) = self.subscriptions.get_mut(name) {
            listening.is_confirmed = true;
            listening.ask_at = Instant::now() + RENEW_INTERVAL;
            listening.wait = STORED_END_WAIT;
        } else if let Some(mut query) = self.queries.remove(name) {
            self.close(name);
            if let Some(answer) = query.answer.take() {
                // Whoever asked may have left.
                let _ = answer.send(query.events);
            }
        }
    }

    fn closed(&mut self, name: &SubscriptionId) {
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
    Stored(SubscriptionId),
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
                    state.close(name);
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
    fn take(&mut self, event: Unverified<'_>) -> bool {
        if !event.matches(&self.filter) {
            return true;
        }
        let Some(event) = event.verified().map(Verified::into_event) else { return true };
        let Some(room_len) = self.room_len.checked_sub(held_len(&event)) else { return false };
        self.room_len = room_len;
        self.events.push(event);
        self.events.len() < QUERY_EVENT_COUNT_MAX
    }
}

fn request<'a>(name: &'a SubscriptionId, filters: &'a [Filter]) -> ClientMessage<'a> {
    let filters = filters.iter().map(Cow::Borrowed).collect();
    ClientMessage::Req { subscription_id: Cow::Borrowed(name), filters }
}

/// Words of a relay, cut to what a log line takes.
fn shortened(words: &str) -> &str {
    let end = words.char_indices().nth(200).map_or(words.len(), |(index, _)| index);
    &words[..end]
}
