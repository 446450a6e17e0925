//! Store, delete, renew, stat, list: what clients do with their claims.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::debug;

use crate::provider::caller::{Caller, Outcome, Refusal, Way};
use crate::provider::gate::Pass;
use crate::provider::memory::Begin;
use crate::provider::server::{Server, lock, monotonic};
use crate::session::{Assembled, BeginError, Begun, UploadKey};
use crate::store::{self, AtRest, StoreError};
use crate::types::limits::BATCH_COUNT_MAX;
use crate::types::{BlobHash, ChunkLen, ClientId, Timestamp};
use crate::wire::{
    Answer, Attestation, BlobInfo, ChunkSet, Claim, DirectStore, ErrorCode, Hashes, ItemsOf, Promise,
    RequestNumber, Store, StoreBody,
};

/// Inline stores from this length on are told that the provider is at it.
const LARGE_STORE_LEN: usize = 1024 * 1024;

/// What an upload is for.
#[derive(Clone)]
pub(super) struct Wish {
    caller: Caller,
    promise: store::Promise,
    at_rest: AtRest,
    quiet: bool,
}

/// A delete that others of its number wait for. Dropped before its end it may be tried again, as one that failed.
struct BegunDelete<'a> {
    server: &'a Server,
    client: ClientId,
    number: RequestNumber,
    answer: Option<Answer>,
}

impl Drop for BegunDelete<'_> {
    fn drop(&mut self) {
        lock(&self.server.answered).end(self.client, self.number, self.answer.as_ref());
    }
}

impl Server {
    /// Keeps a blob that came inside its request, echoes its chunks unless told not to.
    pub(super) async fn store_inline(
        self: &Arc<Self>,
        store: Store,
        caller: &Caller,
        pass: &Pass,
    ) -> Outcome {
        let StoreBody::Inline(blob) = store.body else {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "chunks belong to a request of their own"));
        };
        self.check_size(blob.len() as u64)?;
        if blob.len() >= LARGE_STORE_LEN
            && let Way::Relay { request, relay } = &caller.way
        {
            self.send(caller.processing(*request), relay).await;
        }
        let promise = self.promise(caller, store.retention);
        let at_rest = at_rest(store.encrypt);
        let kept = blob.clone();
        let claim = self
            .off_thread(move |server| Ok(server.store.put(BlobHash::of(&kept), &kept, promise, at_rest)?))
            .await?;
        if !store.quiet {
            self.echo(&claim, blob, caller, pass).await?;
        }
        Ok(Answer::Stored(info(&claim, caller.chunk_len)))
    }

    /// Keeps a blob that came whole, under its name. It is hashed once, where it is kept.
    pub(super) async fn store_whole(self: &Arc<Self>, store: DirectStore, caller: &Caller) -> Outcome {
        let DirectStore { retention, encrypt, hash, data, .. } = store;
        self.check_size(data.len() as u64)?;
        let promise = self.promise(caller, retention);
        let keep = move |server: &Self| Ok(server.store.put(hash, &data, promise, at_rest(encrypt))?);
        Ok(Answer::Stored(info(&self.off_thread(keep).await?, caller.chunk_len)))
    }

    /// Begins an upload in chunks, or says how far it is. The answer comes when the blob is stored.
    pub(super) fn begin_upload(
        self: &Arc<Self>,
        store: &Store,
        caller: Caller,
        pass: Pass,
        jobs: &mut JoinSet<()>,
    ) {
        let StoreBody::Chunked { hash, size, .. } = store.body else { return };
        let promise = self.promise(&caller, store.retention);
        if let Err(refusal) = self.check_age(&caller).and_then(|()| self.check_size(size)) {
            return self.reply(&caller, Err(refusal));
        }
        if self.store.claim(&caller.client, &hash).is_some() {
            let server = self.clone();
            jobs.spawn(async move {
                let outcome = server.renew_known(hash, promise, caller.chunk_len).await;
                server.answer(&caller, outcome).await;
                drop(pass);
            });
            return;
        }
        if let Err(error) = self.store.would_take(hash, size, &promise) {
            return self.reply(&caller, Err(error.into()));
        }
        let key = UploadKey { client: caller.client, hash };
        let wish = Wish { caller, promise, at_rest: at_rest(store.encrypt), quiet: store.quiet };
        self.go_on(key, size, wish, jobs);
    }

    /// The newest request of an upload is the one that is answered.
    fn go_on(self: &Arc<Self>, key: UploadKey, size: u64, wish: Wish, jobs: &mut JoinSet<()>) {
        let mut uploads = lock(&self.uploads);
        let caller = wish.caller.clone();
        match uploads.begin(key, (size, caller.chunk_len), wish, monotonic()) {
            Ok(Begun::Known(chunks)) => self.reply(&caller, Ok(Answer::Missing { hash: key.hash, chunks })),
            // A blob of no chunks is complete now; otherwise they follow, and the answer comes after the last.
            Ok(Begun::New) => {
                if let Some(assembled) = uploads.take_complete(key) {
                    drop(uploads);
                    self.finish_upload(key, assembled, jobs);
                }
            }
            Ok(Begun::Complete) => self.reply_with(&caller, |request| caller.processing(request)),
            Err(BeginError::Busy) => self.reply(&caller, Err(Refusal::busy())),
            Err(error) => {
                self.reply(&caller, Err(Refusal::new(ErrorCode::InvalidRequest, error.to_string())));
            }
        }
    }

    /// Stores the blob of an upload whose last chunk has arrived; or waits for those again that somebody has forged. Then
    /// nothing is answered: the client will ask what is missing.
    pub(super) fn finish_upload(
        self: &Arc<Self>,
        key: UploadKey,
        assembled: Assembled<Attestation>,
        jobs: &mut JoinSet<()>,
    ) {
        let server = self.clone();
        jobs.spawn(async move {
            let Some(Wish { promise, at_rest, .. }) = lock(&server.uploads).wish(key).cloned() else {
                return;
            };
            let blob = assembled.blob.clone();
            let keep = move |server: &Self| {
                let stored = server.store.put(key.hash, &assembled.blob, promise, at_rest);
                if matches!(stored, Err(StoreError::HashMismatch { .. })) {
                    let forged = assembled.forged();
                    if forged != ChunkSet::empty() {
                        debug!(client = %key.client.short(), chunks = %forged, "chunks were forged on their way");
                        lock(&server.uploads).reopen(key, &assembled, &forged, monotonic());
                        return Ok(None);
                    }
                }
                Ok(Some(stored?))
            };
            let Some(stored) = server.off_thread(keep).await.transpose() else { return };
            // A try that came meanwhile is the one that is answered.
            let finished = lock(&server.uploads).finish(key);
            let Some(Wish { caller, quiet, .. }) = finished else { return };
            let echo = async {
                let claim = stored?;
                // The blob waits in memory until the relay has taken it: where there is no room for that, it is not sent back.
                if !quiet && let Some(pass) = server.gate.enter(caller.client, blob.len()) {
                    server.echo(&claim, blob, &caller, &pass).await?;
                }
                Ok(Answer::Stored(info(&claim, caller.chunk_len)))
            };
            let outcome = echo.await;
            server.answer(&caller, outcome).await;
        });
    }

    /// The sender's own claim is renewed without the bytes being sent again.
    async fn renew_known(
        self: &Arc<Self>,
        hash: BlobHash,
        promise: store::Promise,
        chunk_len: ChunkLen,
    ) -> Outcome {
        let claim =
            self.off_thread(move |server| Ok(server.store.renew(&[hash], &promise)?.remove(0)?)).await?;
        Ok(Answer::Stored(info(&claim, chunk_len)))
    }

    /// Drops the sender's claims. A repeated request gets the first one's answer; none, if that is still to come.
    pub(super) async fn delete(self: &Arc<Self>, hashes: Hashes, caller: &Caller) -> Option<Outcome> {
        let mut begun = match caller.number {
            None => None,
            Some(number) => match lock(&self.answered).begin(caller.client, number) {
                Begin::Answered(answer) => return Some(Ok(answer)),
                Begin::UnderWay => return None,
                Begin::New => Some(BegunDelete { server: self, client: caller.client, number, answer: None }),
            },
        };
        let outcome = self.delete_now(hashes, caller).await;
        if let Some(begun) = &mut begun {
            begun.answer = outcome.as_ref().ok().cloned();
        }
        Some(outcome)
    }

    async fn delete_now(self: &Arc<Self>, hashes: Hashes, caller: &Caller) -> Outcome {
        let (client, change) = (caller.client, caller.change());
        let named = hashes.as_slice().to_vec();
        let dropped = self.off_thread(move |server| Ok(server.store.delete(client, &named, change)?)).await?;
        Ok(match hashes {
            Hashes::One(hash) => single(dropped).map(|_| Answer::Deleted(hash))?,
            Hashes::Many(_) => Answer::Items { of: ItemsOf::Delete, items: items(dropped)? },
        })
    }

    /// Adds or extends the sender's claims.
    pub(super) async fn renew(
        self: &Arc<Self>,
        hashes: Hashes,
        retention: Option<Duration>,
        caller: &Caller,
    ) -> Outcome {
        let promise = self.promise(caller, retention);
        let named = hashes.as_slice().to_vec();
        let renewed = self.off_thread(move |server| Ok(server.store.renew(&named, &promise)?)).await?;
        let items = match hashes {
            // A blob that is not here is an item; what else hinders is an error.
            Hashes::One(_) => match single(renewed) {
                Err(refusal) if refusal.code != ErrorCode::FileNotFound => return Err(refusal),
                claim => vec![claim.ok().map(|claim| item(&claim))],
            },
            Hashes::Many(_) => items(renewed)?,
        };
        Ok(Answer::Items { of: ItemsOf::Renew, items })
    }

    /// What is here, and until when the sender's claims hold.
    pub(super) fn stat(&self, hashes: &Hashes, caller: &Caller) -> Answer {
        let items = hashes.as_slice().iter().map(|hash| {
            let claim = self.store.claim(&caller.client, hash).map(|claim| item(&claim));
            claim.or_else(|| {
                self.store.entry(hash).map(|entry| Promise { size: entry.len, expires: Timestamp(0) })
            })
        });
        Answer::Items { of: ItemsOf::Stat, items: items.collect() }
    }

    /// A page of the sender's claims.
    pub(super) fn list(&self, after: Option<BlobHash>, limit: Option<u32>, caller: &Caller) -> Answer {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(BATCH_COUNT_MAX);
        let limit = limit.clamp(1, BATCH_COUNT_MAX);
        let mut claims = self.store.list(caller.client, after, limit + 1);
        let more = claims.len() > limit;
        claims.truncate(limit);
        let claims =
            claims.iter().map(|claim| Claim { hash: claim.hash, size: claim.len, expires: claim.expires });
        Answer::Listed { claims: claims.collect(), more }
    }

    fn check_size(&self, size: u64) -> Result<(), Refusal> {
        if size <= self.options.max_file_size { Ok(()) } else { Err(self.too_large(size)) }
    }

    pub(super) fn too_large(&self, size: u64) -> Refusal {
        let max = self.options.max_file_size;
        Refusal::new(ErrorCode::FileTooLarge, format!("blob of {size} bytes, at most {max} are taken"))
    }

    /// The promise that is given: the time that was asked for, up to the announced one.
    fn promise(&self, caller: &Caller, asked: Option<Duration>) -> store::Promise {
        let announced = self.options.retention;
        let retention = asked.map_or(announced, |asked| asked.min(announced));
        let expires = self.env.now().saturating_add(retention);
        store::Promise { client: caller.client, change: caller.change(), expires }
    }
}

fn at_rest(encrypt: bool) -> AtRest {
    if encrypt { AtRest::Encrypted } else { AtRest::Plain }
}

/// What a response says of a blob to whoever counts in chunks of this length.
pub(super) fn info(claim: &store::Claim, chunk_len: ChunkLen) -> BlobInfo {
    let store::Claim { hash, len: size, expires } = *claim;
    BlobInfo { hash, size, chunks: chunk_len.count(size).unwrap_or(u32::MAX), expires }
}

fn item(claim: &store::Claim) -> Promise {
    Promise { size: claim.len, expires: claim.expires }
}

/// The outcome for the one blob of a request.
fn single(mut outcomes: Vec<Result<store::Claim, StoreError>>) -> Result<store::Claim, Refusal> {
    Ok(outcomes.pop().ok_or_else(Refusal::internal)??)
}

/// The outcomes as items; an error if the same request may succeed in a moment.
fn items(outcomes: Vec<Result<store::Claim, StoreError>>) -> Result<Vec<Option<Promise>>, Refusal> {
    let item = |outcome: Result<store::Claim, StoreError>| match outcome {
        Ok(claim) => Ok(Some(item(&claim))),
        Err(error) if error.is_retryable() => Err(error.into()),
        Err(_) => Ok(None),
    };
    outcomes.into_iter().map(item).collect()
}
