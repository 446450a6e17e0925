//! One session and one link, until the session is done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nostr::{Event, EventId, JsonUtil};

use crate::client::exchange::ExchangeError;
use crate::client::exchange::link::Link;
use crate::client::exchange::switch::{Delivery, Line};
use crate::session::fetch::FetchSend;
use crate::session::{AskSession, Failure, FetchSession, Step, StoreSend, StoreSession, Try};
use crate::transport::TransportError;
use crate::types::{Blob, BlobHash};
use crate::wire::{
    AUDIT_KIND, Answer, Attestation, AuditAnswer, BlobInfo, Chunk, Draft, RESPONSE_KIND, Response,
    STATUS_KIND, Status, carries_chunk,
};

/// Wait before the next event when no relay is connected: reconnecting takes longer.
const DISCONNECTED_WAIT: Duration = Duration::from_millis(200);

/// Events that are taken in before the session is asked again.
const INPUTS_PER_STEP: usize = 64;

/// What a conversation takes in.
pub(super) enum Input {
    Answer(Answer, Try),
    /// `None` if the provider signed something that cannot be read.
    Audit(Option<AuditAnswer>),
    Status(Status),
    /// A whole blob.
    Blob(BlobHash, Bytes),
    /// Which of some blobs are there.
    Have(Vec<BlobHash>),
}

/// Which of some blobs are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Have(pub(super) Vec<BlobHash>);

/// A session that can be driven.
pub(super) trait Conversation {
    type Send;
    type Output;
    fn step(&mut self, now: Instant) -> Step<Self::Send, Self::Output>;
    fn take(&mut self, input: Input, now: Instant);

    /// Takes in a chunk that is said to be the provider's. Whether it is new and wanted.
    fn take_chunk(&mut self, _chunk: Chunk, _attestation: Attestation, _now: Instant) -> bool {
        false
    }

    /// A part of an answer came over the connection that this conversation waits on.
    fn moved(&mut self, _at: Instant) {}

    /// The connection that the question went over has ended.
    fn lost(&mut self, _now: Instant) {}
}

/// An event to send, and the try that it is, if it is a request.
pub(super) type Outgoing = (Draft, Option<Try>);

/// How a conversation ended.
pub(super) struct Outcome<T> {
    pub(super) output: T,
    /// The last response that came.
    pub(super) response: Option<EventId>,
}

/// One conversation under way.
pub(super) struct Drive<'a> {
    link: &'a Link,
    line: Line,
    /// The blob it is about, for errors.
    hash: BlobHash,
    response: Option<EventId>,
    /// An answer has come since the last request.
    pub(super) is_heard: bool,
    is_to_all: bool,
    trouble: Option<TransportError>,
    meter: Option<&'a AtomicU64>,
}

impl<'a> Drive<'a> {
    pub(super) fn new(link: &'a Link, line: Line, hash: BlobHash) -> Self {
        Self {
            link,
            line,
            hash,
            response: None,
            is_heard: false,
            is_to_all: false,
            trouble: None,
            meter: None,
        }
    }

    /// Counts the JSON of every event that goes out, and that comes in and is of use, each once, whichever relays carry it.
    pub(super) fn metered(self, meter: Option<&'a AtomicU64>) -> Self {
        Self { meter, ..self }
    }

    /// Runs the conversation; `compose` makes the events that it wants sent.
    pub(super) async fn run<C: Conversation>(
        mut self,
        mut session: C,
        mut compose: impl FnMut(C::Send) -> Outgoing,
    ) -> Result<Outcome<C::Output>, ExchangeError> {
        let started = now();
        loop {
            // Not all that a flood may bring: the session must come to its turn.
            for _ in 0..INPUTS_PER_STEP {
                let Ok(delivery) = self.line.inbox.try_recv() else { break };
                self.take(delivery, &mut session);
            }
            match session.step(now()) {
                Step::Send(message) => self.send(compose(message)).await?,
                Step::Wait(until) => self.wait(until, &mut session).await,
                Step::Done(Ok(output)) => {
                    self.link.learn_latency(now() - started);
                    return Ok(Outcome { output, response: self.response });
                }
                Step::Done(Err(failure)) => return Err(self.error(failure, now() - started)),
            }
        }
    }

    async fn wait<C: Conversation>(&mut self, until: Instant, session: &mut C) {
        tokio::select! {
            biased;
            Some(delivery) = self.line.inbox.recv() => self.take(delivery, session),
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    async fn send(&mut self, (draft, number): Outgoing) -> Result<(), ExchangeError> {
        if number.is_some_and(|number| number.0 > 0) {
            // The way that was taken so far may be the reason for the silence.
            self.is_to_all = !self.is_heard;
            self.is_heard = false;
        }
        let event = self.link.sign(draft);
        self.count(&event);
        if let Some(number) = number {
            self.line.expect(event.id, number);
        }
        match self.link.send(event, self.is_to_all).await {
            Ok(()) => self.trouble = None,
            Err(error) if error.is_retryable() => {
                self.trouble = Some(error);
                tokio::time::sleep(DISCONNECTED_WAIT).await;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) fn take<C: Conversation>(&mut self, delivery: Delivery, session: &mut C) {
        let Delivery { event, to } = delivery;
        if carries_chunk(event.kind) {
            return self.take_chunk(&event, session);
        }
        self.count(&event);
        let input = match (event.kind.as_u16(), to) {
            (RESPONSE_KIND, Some(to)) => Response::parse(&event).map(|response| {
                self.response = Some(event.id);
                Input::Answer(response.answer, to)
            }),
            (AUDIT_KIND, Some(_)) => Ok(Input::Audit(AuditAnswer::parse(&event).ok())),
            (STATUS_KIND, Some(_)) => Status::parse(&event).map(Input::Status),
            _ => return,
        };
        match input {
            Ok(input) => {
                self.is_heard = true;
                self.is_to_all = false;
                session.take(input, now());
            }
            Err(error) => tracing::debug!(provider = %self.link.id.short(), %error, "unreadable event"),
        }
    }

    /// The relay on the way may have forged it: it does not say that the way is a good one, and counts only where it is
    /// wanted.
    fn take_chunk<C: Conversation>(&mut self, event: &Event, session: &mut C) {
        let Ok(chunk) = Chunk::parse(event) else { return };
        if session.take_chunk(chunk, Attestation::of(event), now()) {
            self.count(event);
        }
    }

    fn count(&self, event: &Event) {
        if let Some(meter) = self.meter {
            meter.fetch_add(event.as_json().len() as u64, Ordering::Relaxed);
        }
    }

    fn error(&self, failure: Failure, waited: Duration) -> ExchangeError {
        let provider = self.link.id;
        match failure {
            Failure::Refused { code, text } => ExchangeError::Refused { provider, code, text },
            Failure::Silent => match &self.trouble {
                Some(error) => ExchangeError::Transport(error.clone()),
                None => ExchangeError::Silent { provider, waited },
            },
            Failure::Corrupt => ExchangeError::Corrupt { provider, hash: self.hash },
        }
    }
}

/// The time that sessions are told; tests can pause it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Conversation for AskSession<Answer> {
    type Send = Try;
    type Output = Answer;

    fn step(&mut self, now: Instant) -> Step<Try, Answer> {
        AskSession::step(self, now)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Answer(answer, _) => self.answer(answer),
            Input::Status(status) => self.status(&status, now),
            _ => {}
        }
    }

    fn lost(&mut self, now: Instant) {
        AskSession::lost(self, now);
    }
}

impl Conversation for AskSession<AuditAnswer> {
    type Send = Try;
    type Output = AuditAnswer;

    fn step(&mut self, now: Instant) -> Step<Try, AuditAnswer> {
        AskSession::step(self, now)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Audit(Some(answer)) => self.answer(answer),
            Input::Audit(None) | Input::Answer(..) => self.wrong_answer(),
            Input::Status(status) => self.status(&status, now),
            _ => {}
        }
    }

    fn lost(&mut self, now: Instant) {
        AskSession::lost(self, now);
    }
}

impl Conversation for AskSession<Have> {
    type Send = Try;
    type Output = Have;

    fn step(&mut self, now: Instant) -> Step<Try, Have> {
        AskSession::step(self, now)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Have(hashes) => self.answer(Have(hashes)),
            Input::Status(status) => self.status(&status, now),
            _ => self.wrong_answer(),
        }
    }

    fn lost(&mut self, now: Instant) {
        AskSession::lost(self, now);
    }
}

impl Conversation for StoreSession {
    type Send = StoreSend;
    type Output = BlobInfo;

    fn step(&mut self, now: Instant) -> Step<StoreSend, BlobInfo> {
        StoreSession::step(self, now)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Answer(answer, to) => self.answer(&answer, to, now),
            Input::Status(status) => self.status(&status, now),
            _ => {}
        }
    }
}

impl Conversation for &mut FetchSession<Attestation> {
    type Send = FetchSend;
    type Output = Blob;

    fn step(&mut self, now: Instant) -> Step<FetchSend, Blob> {
        FetchSession::step(self, now)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Answer(answer, to) => self.answer(&answer, to, now),
            Input::Status(status) => self.status(&status, now),
            Input::Blob(hash, blob) => self.whole(hash, blob),
            Input::Audit(_) | Input::Have(_) => {}
        }
    }

    fn take_chunk(&mut self, chunk: Chunk, attestation: Attestation, now: Instant) -> bool {
        self.chunk(chunk, attestation, now)
    }

    fn moved(&mut self, at: Instant) {
        FetchSession::moved(self, at);
    }

    fn lost(&mut self, now: Instant) {
        FetchSession::lost(self, now);
    }
}
