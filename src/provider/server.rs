//! What all requests share, and the way of one request: admission, action, answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr::{Event, EventId, Keys, RelayUrl};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, trace, warn};

use crate::env::{Env, off_thread};
use crate::provider::ProviderOptions;
use crate::provider::caller::{Caller, Outcome, Refusal, Way};
use crate::provider::direct;
use crate::provider::gate::{Gate, Pass};
use crate::provider::keep::Wish;
use crate::provider::memory::{Answered, SeenRequests};
use crate::session::{Reassembly, UploadKey};
use crate::store::BlobStore;
use crate::transport::{Carrier, Incoming, Route};
use crate::types::ProviderId;
use crate::types::limits::{CHANGE_AGE_MAX, EVENT_LEN_MAX};
use crate::wire::{
    Action, Attestation, Draft, ErrorCode, REQUEST_KIND, Request, Store, StoreBody, UPLOAD_KIND, UploadPlace,
    author_as_client, tags,
};

/// Requests up to this length are read at once; larger ones carry a blob, and are read off the async threads.
const SMALL_REQUEST_LEN: usize = 64 * 1024;

/// How long a relay may take nothing.
const SEND_MAX: Duration = Duration::from_secs(10);

/// What all requests share.
pub(super) struct Server {
    pub(super) id: ProviderId,
    pub(super) keys: Keys,
    pub(super) options: ProviderOptions,
    pub(super) store: Arc<BlobStore>,
    pub(super) carrier: Arc<dyn Carrier>,
    /// Where it can be reached without relays, as it announces it.
    pub(super) endpoints: Vec<RelayUrl>,
    pub(super) env: Env,
    pub(super) gate: Arc<Gate>,
    /// Bounds how many threads wait for the disk, or hash and sign.
    pub(super) threads: Arc<Semaphore>,
    /// Bounds the bytes of blobs that are held to be sent, in KiB; serves in the order of arrival.
    pub(super) held: Arc<Semaphore>,
    /// The same for what is sent over connections.
    pub(super) held_directly: Arc<Semaphore>,
    /// Bounds how many requests are sent chunks at once; serves in the order of arrival.
    pub(super) turns: Arc<Semaphore>,
    /// Replies of the loop, which waits for no relay.
    pub(super) replies: mpsc::Sender<(RelayUrl, Draft)>,
    pub(super) uploads: Mutex<Reassembly<Wish, Attestation>>,
    pub(super) seen: Mutex<SeenRequests>,
    pub(super) answered: Mutex<Answered>,
}

impl Server {
    /// Takes in one event, without waiting: what takes time becomes one of the `jobs`.
    pub(super) fn take(self: &Arc<Self>, incoming: Incoming, jobs: &mut JoinSet<()>) {
        match incoming.event.kind.as_u16() {
            UPLOAD_KIND => self.take_chunk(&incoming.event, jobs),
            REQUEST_KIND if self.is_for_me(&incoming.event) => self.take_request(incoming, jobs),
            kind => trace!(kind, "event is not for this provider"),
        }
    }

    fn is_for_me(&self, event: &Event) -> bool {
        tags::value(event, "a") == Some(&tags::address(self.id))
    }

    fn take_request(self: &Arc<Self>, incoming: Incoming, jobs: &mut JoinSet<()>) {
        if !lock(&self.seen).insert(incoming.event.id) {
            return;
        }
        let mut caller = Caller::of(&incoming);
        let Some(pass) = self.gate.enter(caller.client, incoming.event.content.len()) else {
            return self.reply(&caller, Err(Refusal::busy()));
        };
        let server = self.clone();
        if incoming.event.content.len() > SMALL_REQUEST_LEN {
            jobs.spawn(async move {
                let read =
                    server.off_thread(move |_| Request::parse(&incoming.event).map_err(Refusal::from)).await;
                match read {
                    Ok(request) => match server.admit(&mut caller, &request) {
                        Ok(()) => server.work(request.action, &caller, pass).await,
                        Err(refusal) => server.answer(&caller, Err(refusal)).await,
                    },
                    Err(refusal) => server.answer(&caller, Err(refusal)).await,
                }
            });
            return;
        }
        let request = match Request::parse(&incoming.event) {
            Ok(request) => request,
            Err(error) => return self.reply(&caller, Err(error.into())),
        };
        if let Err(refusal) = self.admit(&mut caller, &request) {
            return self.reply(&caller, Err(refusal));
        }
        // An upload begins at once: its chunks are next in the queue.
        if let Action::Store(store @ Store { body: StoreBody::Chunked { .. }, .. }) = request.action {
            return self.begin_upload(&store, caller, pass, jobs);
        }
        jobs.spawn(async move { server.work(request.action, &caller, pass).await });
    }

    /// Takes over how the caller wants to be answered. Refuses chunks that are longer than was announced.
    fn admit(&self, caller: &mut Caller, request: &Request) -> Result<(), Refusal> {
        (caller.number, caller.chunk_len) = (request.number, request.chunk_len);
        let (asked, max) = (request.chunk_len, self.options.chunk_len_max);
        if asked <= max {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::InvalidRequest, format!("chunks of {asked}, at most {max} are taken")))
    }

    /// Carries out one request and answers it.
    pub(super) async fn work(self: &Arc<Self>, action: Action, caller: &Caller, pass: Pass) {
        if action.is_change()
            && let Err(refusal) = self.check_age(caller)
        {
            return self.answer(caller, Err(refusal)).await;
        }
        debug!(client = %caller.client.short(), action = name(&action), "request");
        let outcome = match action {
            Action::Store(store) => self.store_inline(store, caller, &pass).await,
            Action::Retrieve { hashes, ranges } => {
                self.retrieve(&hashes, ranges.as_ref(), caller, &pass).await
            }
            Action::Delete(hashes) => match self.delete(hashes, caller).await {
                Some(outcome) => outcome,
                None => return,
            },
            Action::Stat(hashes) => Ok(self.stat(&hashes, caller)),
            Action::Renew { hashes, retention } => self.renew(hashes, retention, caller).await,
            Action::List { after, limit } => Ok(self.list(after, limit, caller)),
            Action::Audit { nonce, hashes } => return self.audit(nonce, &hashes, caller, &pass).await,
        };
        self.answer(caller, outcome).await;
    }

    /// A change counts only while it is fresh, so that a recorded one is of no use later (invariant I11).
    pub(super) fn check_age(&self, caller: &Caller) -> Result<(), Refusal> {
        let off = self.env.now().distance(caller.created_at);
        if off <= CHANGE_AGE_MAX {
            return Ok(());
        }
        let text = format!("created_at is {} s from this provider's clock", off.as_secs());
        Err(Refusal::new(ErrorCode::StaleRequest, text))
    }

    /// Takes in a chunk that nobody has verified. One that no upload lacks costs no more than a look at its tags.
    fn take_chunk(self: &Arc<Self>, event: &Event, jobs: &mut JoinSet<()>) {
        let Ok(place) = UploadPlace::parse(event) else { return };
        let key = UploadKey { client: author_as_client(event), hash: place.hash };
        if place.provider != self.id || !lock(&self.uploads).wants(key, place.index, place.total) {
            return;
        }
        let Ok(chunk) = place.upload(event) else { return };
        let attestation = Attestation::of(event);
        let complete = lock(&self.uploads).chunk(key, &chunk, attestation, monotonic());
        if let Some(assembled) = complete {
            self.finish_upload(key, assembled, jobs);
        }
    }

    /// Answers without waiting. Should the relays be too slow to take it, it is not sent: the request comes again.
    pub(super) fn reply(&self, caller: &Caller, outcome: Outcome) {
        if let Err(refusal) = &outcome {
            debug!(client = %caller.client.short(), code = %refusal.code, "refused");
        }
        self.reply_with(caller, |request| caller.draft(request, outcome));
    }

    /// Only events are answered so: whoever reads a connection may wait.
    pub(super) fn reply_with(&self, caller: &Caller, draft: impl FnOnce(EventId) -> Draft) {
        let Way::Relay { request, relay } = &caller.way else { return };
        if self.replies.try_send((relay.clone(), draft(*request))).is_err() {
            debug!(client = %caller.client.short(), "relays are too slow for an answer");
        }
    }

    /// Answers as soon as the relay, or the connection, takes it.
    pub(super) async fn answer(&self, caller: &Caller, outcome: Outcome) {
        if let Err(refusal) = &outcome {
            debug!(client = %caller.client.short(), code = %refusal.code, "refused");
        }
        match &caller.way {
            Way::Relay { request, relay } => self.send(caller.draft(*request, outcome), relay).await,
            Way::Direct { id, .. } => {
                caller.way.send(direct::message(*id, outcome, caller.number), None).await;
            }
        }
    }

    /// Signs an event now and sends it.
    pub(super) async fn send(&self, draft: Draft, relay: &RelayUrl) {
        let event = draft.sign(&self.keys, self.env.now());
        if self.publish(event, relay).await.is_err() {
            debug!(%relay, "relay takes no answer");
        }
    }

    /// Sends an event back the way its request came, or, should that relay be gone, over the others. A relay that takes
    /// nothing for some seconds is not waited for any longer: that would hold up what is kept for others.
    pub(super) async fn publish(&self, event: Event, relay: &RelayUrl) -> Result<(), Refusal> {
        // What this relay takes another need not: one that does not would close the connection.
        let is_for_all = event.content.len() <= EVENT_LEN_MAX;
        let route = if is_for_all { Route::First(relay.clone()) } else { Route::Only(vec![relay.clone()]) };
        match tokio::time::timeout(SEND_MAX, self.carrier.publish(event, route)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::busy()),
        }
    }

    /// Runs what blocks or takes long on a thread of its own; so many at once as the disk likes.
    pub(super) async fn off_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(permit) = self.threads.clone().acquire_owned().await else { return Err(Refusal::internal()) };
        let server = self.clone();
        let work = off_thread(move || {
            let _permit = permit;
            work(&server)
        });
        work.await.unwrap_or_else(|error| {
            warn!(%error, "a request ended in a panic");
            Err(Refusal::internal())
        })
    }
}

/// Time for waits: it never jumps.
pub(super) fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// No code panics while it holds one of these locks, and each state is good after every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Store(_) => "store",
        Action::Retrieve { .. } => "retrieve",
        Action::Delete(_) => "delete",
        Action::Stat(_) => "stat",
        Action::Renew { .. } => "renew",
        Action::List { .. } => "list",
        Action::Audit { .. } => "audit",
    }
}
