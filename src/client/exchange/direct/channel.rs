//! The conversations over one connection: each question has a number, and its answer comes once.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nostr::EventId;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::client::exchange::drive::{Conversation, Input, now};
use crate::session::{Failure, Step, Try};
use crate::transport::direct::{
    DirectConnection, DirectError, Inbox, Intake, Judge, Outbox, Received, Unfit, Verdict,
};
use crate::types::limits::{DIRECT_LEFT_COUNT_MAX, DIRECT_ROOM_WAIT_MAX};
use crate::types::{BlobHash, ClientId};
use crate::wire::direct::Beginning;
use crate::wire::{DirectId, DirectMessage, ErrorCode, Status, StatusKind, WireError};

/// A connection over which nothing is said stays as long as the provider likes it.
const IDLE: Duration = Duration::from_secs(3_600);

/// One connection to a provider. It ends when this is dropped.
pub(in crate::client::exchange) struct Channel {
    outbox: Outbox,
    asked: Arc<Asked>,
    _reader: JoinSet<()>,
}

/// Why a conversation over a connection failed.
pub(super) enum Trouble {
    /// The conversation came to a bad end.
    Failed(Failure),
    /// The connection did.
    Ended(DirectError),
}

/// The questions that wait for their answers.
struct Asked(Mutex<State>);

struct State {
    next: u32,
    /// Nobody asks more than the windows let them, and each waits for one answer.
    waiting: BTreeMap<DirectId, Waiting>,
    /// Blobs that were asked for, and that nobody waits for any more: they may still come.
    left: BTreeSet<DirectId>,
    heard_at: Instant,
    /// When a part of a blob that was asked for came last.
    moved_at: Instant,
    is_over: bool,
}

struct Waiting {
    answer: oneshot::Sender<Arrival>,
    to: Try,
    blob: Option<Expected>,
}

/// A blob that is waited for.
#[derive(Clone, Copy)]
struct Expected {
    hash: BlobHash,
    len_max: u64,
}

/// What came, and how many bytes it moved.
struct Arrival {
    input: Input,
    len: u64,
}

/// A question that waits for its answer, and is forgotten when this is dropped.
struct Question<'a> {
    asked: &'a Asked,
    id: DirectId,
    answer: oneshot::Receiver<Arrival>,
    /// The question is not sent once this is dropped.
    wanted: Arc<()>,
}

/// A question that waits for its place among what is sent.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), DirectError>> + Send + 'a>>;

impl Channel {
    /// Begins to read; blobs take their room from `room`, which is counted in KiB.
    pub(super) fn begin(
        connection: DirectConnection,
        client: ClientId,
        heard: Arc<dyn Fn() + Send + Sync>,
        room: Arc<Semaphore>,
    ) -> Arc<Self> {
        let DirectConnection { outbox, mut inbox } = connection;
        let (waiting, left, heard_at) = (BTreeMap::new(), BTreeSet::new(), now());
        let state = State { next: 0, waiting, left, heard_at, moved_at: heard_at, is_over: false };
        let asked = Arc::new(Asked(Mutex::new(state)));
        inbox.set_intake(Intake { judge: asked.clone(), rooms: vec![room], wait: DIRECT_ROOM_WAIT_MAX });
        let mut reader = JoinSet::new();
        reader.spawn(read(inbox, asked.clone(), client, heard));
        Arc::new(Self { outbox, asked, _reader: reader })
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed() || self.asked.state().is_over
    }

    /// Whether anything was heard since.
    pub(super) fn is_heard_since(&self, since: Instant) -> bool {
        self.asked.state().heard_at > since
    }

    /// Runs a conversation; `compose` makes its question, whichever try it is. `meter` counts what moves. A blob that is
    /// asked for has at most `len_max` bytes.
    pub(super) async fn run<C: Conversation>(
        &self,
        session: &mut C,
        compose: impl Fn(DirectId) -> DirectMessage,
        meter: Option<&AtomicU64>,
        len_max: u64,
    ) -> Result<C::Output, Trouble> {
        let count = |len: u64| {
            if let Some(meter) = meter {
                meter.fetch_add(len, Ordering::Relaxed);
            }
        };
        let mut question: Option<(Question<'_>, Option<Sending<'_>>)> = None;
        let (mut tries, mut moved_at) = (0, now());
        loop {
            let moved = self.asked.state().moved_at;
            if question.is_some() && moved > moved_at {
                moved_at = moved;
                session.moved(moved);
            }
            match session.step(now()) {
                // Nothing is lost on the way: a question that has no answer yet needs no second try.
                Step::Send(_) if question.is_some() => {}
                Step::Send(_) => {
                    let asking = self.asked.ask(Try(tries)).ok_or(Trouble::Ended(DirectError::Broken))?;
                    tries += 1;
                    let message = compose(asking.id);
                    if let DirectMessage::Request { hash, .. } = &message {
                        asking.expect(Expected { hash: *hash, len_max });
                    }
                    count(message.data_len());
                    let sending = self.outbox.send_while(message, Arc::downgrade(&asking.wanted));
                    question = Some((asking, Some(Box::pin(sending))));
                }
                Step::Wait(until) => {
                    let Some((Question { answer, .. }, sending)) = &mut question else {
                        sleep_until(until.into()).await;
                        continue;
                    };
                    tokio::select! {
                        biased;
                        arrival = answer => {
                            let arrival = arrival.map_err(|_| Trouble::Ended(DirectError::Broken))?;
                            count(arrival.len);
                            question = None;
                            session.take(arrival.input, now());
                        }
                        sent = sent(sending) => {
                            sent.map_err(Trouble::Ended)?;
                            *sending = None;
                        }
                        () = sleep_until(until.into()) => {}
                    }
                }
                Step::Done(Ok(output)) => return Ok(output),
                Step::Done(Err(failure)) => return Err(Trouble::Failed(failure)),
            }
        }
    }
}

impl Asked {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new question; none when the connection has ended.
    fn ask(&self, to: Try) -> Option<Question<'_>> {
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        let id = DirectId(state.next);
        // Of four billion questions before, none waits any more.
        state.next = state.next.wrapping_add(1);
        let (outlet, answer) = oneshot::channel();
        state.waiting.insert(id, Waiting { answer: outlet, to, blob: None });
        Some(Question { asked: self, id, answer, wanted: Arc::default() })
    }

    /// Hands an answer to whoever asked, if anybody still waits for it.
    fn deliver(&self, message: DirectMessage, client: ClientId) -> Result<(), WireError> {
        let (id, len) = (message.id(), message.data_len());
        let mut state = self.state();
        state.heard_at = now();
        state.left.remove(&id);
        let Some(Waiting { answer, to, .. }) = state.waiting.remove(&id) else { return Ok(()) };
        drop(state);
        let input = input(message, to, client)?;
        // Whoever asked may have stopped waiting just now.
        let _ = answer.send(Arrival { input, len });
        Ok(())
    }

    /// A blob was not taken in.
    fn pass_over(&self, id: DirectId, why: Unfit) {
        let mut state = self.state();
        state.heard_at = now();
        let Some(Waiting { answer, .. }) = state.waiting.remove(&id) else { return };
        drop(state);
        if let Unfit::TooLarge { len } = why {
            // Not the blob that was asked for, whatever it is.
            let input = Input::Blob(BlobHash::new([0; 32]), Bytes::new());
            let _ = answer.send(Arrival { input, len });
        }
    }

    /// The connection has ended: nobody waits any longer.
    fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.waiting.clear();
    }
}

impl Judge for Asked {
    /// Takes blobs that were asked for, and no longer than they may be.
    fn judge(&self, beginning: &Beginning) -> Verdict {
        let Beginning::Response { id, hash, len } = *beginning else { return Verdict::End };
        let mut state = self.state();
        if state.left.remove(&id) {
            return Verdict::PassOver(Unfit::Unwanted);
        }
        match state.waiting.get(&id).and_then(|waiting| waiting.blob) {
            Some(blob) if blob.hash == hash && len <= blob.len_max => Verdict::TakeIn,
            Some(blob) if blob.hash == hash => Verdict::PassOver(Unfit::TooLarge { len }),
            _ => Verdict::End,
        }
    }

    /// Only what was asked for is worth waiting for: each blob comes once, and not too slowly, so every wait ends. Texts may
    /// come for ever.
    fn moved(&self, beginning: Option<&Beginning>) {
        if beginning.is_some() {
            self.state().moved_at = now();
        }
    }
}

impl Question<'_> {
    /// The answer is a blob.
    fn expect(&self, blob: Expected) {
        if let Some(waiting) = self.asked.state().waiting.get_mut(&self.id) {
            waiting.blob = Some(blob);
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut state = self.asked.state();
        let is_left = state.waiting.remove(&self.id).is_some_and(|waiting| waiting.blob.is_some());
        if is_left {
            state.left.insert(self.id);
        }
        if state.left.len() > DIRECT_LEFT_COUNT_MAX {
            state.left.pop_first();
        }
    }
}

/// Ends when what is to be sent has its place.
async fn sent(sending: &mut Option<Sending<'_>>) -> Result<(), DirectError> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// Hands answers to their conversations until the connection ends.
async fn read(mut inbox: Inbox, asked: Arc<Asked>, client: ClientId, heard: Arc<dyn Fn() + Send + Sync>) {
    loop {
        let delivered = match inbox.next(IDLE).await {
            Ok(Received::Message { message, .. }) => {
                heard();
                asked.deliver(message, client).map_err(DirectError::from)
            }
            Ok(Received::PassedOver { id, why }) => {
                heard();
                asked.pass_over(id, why);
                Ok(())
            }
            Err(DirectError::Silent) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = delivered {
            tracing::debug!(%error, "direct connection ends");
            return asked.end();
        }
    }
}

/// What an answer says to a session.
fn input(message: DirectMessage, to: Try, client: ClientId) -> Result<Input, WireError> {
    Ok(match message {
        DirectMessage::Response { hash, data, .. } => Input::Blob(hash, data),
        DirectMessage::Have { hashes, .. } => Input::Have(hashes),
        DirectMessage::Answer { content, .. } => Input::Answer(DirectMessage::read_answer(&content)?, to),
        DirectMessage::Proofs { content, .. } => {
            Input::Audit(DirectMessage::read_proofs(&content, client).ok())
        }
        DirectMessage::NotFound { hash, .. } => {
            Input::Status(refusal(ErrorCode::FileNotFound, format!("blob {hash} is not here"), client))
        }
        DirectMessage::Error { code, text, .. } => Input::Status(refusal(code, text, client)),
        _ => return Err(WireError::Direct { what: "a provider asks" }),
    })
}

/// A refusal as sessions know it; no event stands behind it.
fn refusal(code: ErrorCode, text: String, requester: ClientId) -> Status {
    let (request, kind) = (EventId::all_zeros(), StatusKind::Error(code));
    Status { request, requester, number: None, kind, text }
}
