//! A store, and then a fetch of the same blob, between sessions and a provider's reassembly: the bytes say which
//! message comes next, and which is lost, comes twice, or comes when the provider has forgotten what it was about.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::{
    Begun, Failure, FetchOptions, FetchSession, Pace, Reassembly, ReassemblyLimits, Step, StoreSend,
    StoreSession, Try, UploadKey, chunking,
};
use crate::types::{Blob, BlobHash, ChunkIndex, ChunkLen, ClientId, ProviderId, Timestamp};
use crate::wire::{Answer, BlobInfo, Chunk, ChunkSet, ErrorCode, StatusKind, Upload};

use super::{STEP_COUNT_MAX, status};

const CHUNK_LEN: usize = 32_768;
const WINDOW: u32 = 3;
/// A conversation that is older than this when the faults stop may have too little patience left.
const YOUNG: Duration = Duration::from_secs(10);
/// More restarts of a provider in the middle of an upload than these may end it.
const RESTART_COUNT_MAX: u32 = 3;

/// A store and a fetch whose messages meet with what `script` says: both end, nothing wrong is ever stored or brought,
/// and what is left when the faults stop comes to a good end.
pub fn pair(script: &[u8], start: Instant) {
    let [shape, manner] = [0, 1].map(|at| script.get(at).copied().unwrap_or(0));
    let script = script.get(2..).unwrap_or_default();
    let mut faults = Faults { script, now: start, started: start, stopped_after: None };
    let mut provider = Provider::new(shape);
    let blob = provider.blob.clone();
    let stored = store(&mut provider, &mut faults);
    if let Ok(info) = &stored {
        assert_eq!((info.hash, info.size), (provider.hash, blob.len() as u64));
        assert!(provider.is_stored, "a receipt is of what is stored");
    }
    let hopeless = provider.restarts > RESTART_COUNT_MAX;
    assert!(stored.is_ok() || hopeless || !faults.ended_early(), "{stored:?}");
    if !provider.is_stored {
        return;
    }
    provider.is_damaged = manner & 1 == 1;
    let fetched = fetch(&provider, manner, &mut faults);
    match fetched {
        Ok(bytes) => assert!(bytes == blob, "wrong bytes"),
        Err(failure) if provider.is_damaged => assert!(
            failure == Failure::Corrupt || !faults.ended_early(),
            "damage is called damage: {failure:?}"
        ),
        Err(failure) => assert!(!faults.ended_early(), "{failure:?}"),
    }
}

/// What happens to the messages, until the script is at its end.
struct Faults<'a> {
    script: &'a [u8],
    now: Instant,
    started: Instant,
    /// How long after its start the conversation was left in peace.
    stopped_after: Option<Duration>,
}

impl Faults<'_> {
    /// The next mishap; time goes on by as much as it says.
    fn next(&mut self) -> Option<(u8, u8)> {
        let Some(([what, which, when], rest)) = self.script.split_first_chunk() else {
            self.stopped_after.get_or_insert(self.now - self.started);
            return None;
        };
        self.script = rest;
        self.now += Duration::from_millis(u64::from(*when) * 8);
        Some((*what, *which))
    }

    fn begin(&mut self) {
        (self.started, self.stopped_after) = (self.now, None);
    }

    /// Whether there was time enough left when the faults stopped.
    fn ended_early(&self) -> bool {
        self.stopped_after.is_some_and(|after| after <= YOUNG)
    }
}

/// Messages on their way in one direction.
struct Queue<M>(Vec<M>);

impl<M: Clone> Queue<M> {
    /// What becomes of one of them: a quarter are lost, a quarter come and will come again.
    fn mishap(&mut self, which: u8) -> Option<M> {
        let at = usize::from(which >> 2).checked_rem(self.0.len())?;
        if which & 3 == 1 {
            return Some(self.0[at].clone());
        }
        let message = self.0.remove(at);
        (which & 3 > 0).then_some(message)
    }

    fn next(&mut self) -> Option<M> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

#[derive(Clone)]
enum ToClient {
    Answer(Answer, Try),
    Status(StatusKind),
    Chunk(Chunk),
}

/// A provider's side, with the reassembly that real ones use.
struct Provider {
    blob: Bytes,
    hash: BlobHash,
    uploads: Reassembly<Try, bool>,
    is_stored: bool,
    is_damaged: bool,
    restarts: u32,
}

impl Provider {
    fn new(shape: u8) -> Self {
        let last = 1 + usize::from(shape >> 2) * 520;
        let len = usize::from(shape & 3) * CHUNK_LEN + last.min(CHUNK_LEN);
        let blob: Bytes = (0..=u8::MAX).cycle().map(|byte| byte.wrapping_mul(shape | 1)).take(len).collect();
        let (count_max, len_max, rest_max, age_max) = (4, 1 << 20, YOUNG * 6, YOUNG * 60);
        let uploads = Reassembly::new(ReassemblyLimits {
            count_max,
            len_max,
            client_count_max: count_max,
            client_len_max: len_max,
            rest_max,
            age_max,
        });
        let hash = BlobHash::of(&blob);
        Self { blob, hash, uploads, is_stored: false, is_damaged: false, restarts: 0 }
    }

    fn key(&self) -> UploadKey {
        UploadKey { client: ClientId::new([1; 32]), hash: self.hash }
    }

    fn info(&self) -> BlobInfo {
        let size = self.blob.len() as u64;
        BlobInfo { hash: self.hash, size, chunks: self.total(), expires: Timestamp(1) }
    }

    fn total(&self) -> u32 {
        ChunkLen::BASE.count(self.blob.len() as u64).expect("a blob of a few chunks")
    }

    /// What happens to providers.
    fn misfortune(&mut self, which: u8, now: Instant) {
        if which & 1 == 0 {
            self.uploads.sweep(now);
        } else if self.uploads.finish(self.key()).is_some() {
            self.restarts += 1;
        }
    }

    fn take(&mut self, message: StoreSend, now: Instant) -> Option<ToClient> {
        let key = self.key();
        match message {
            StoreSend::Request(number) if self.is_stored => {
                Some(ToClient::Answer(Answer::Stored(self.info()), number))
            }
            StoreSend::Request(number) => {
                match self.uploads.begin(key, (self.blob.len() as u64, ChunkLen::BASE), number, now) {
                    Ok(Begun::Known(chunks)) => {
                        Some(ToClient::Answer(Answer::Missing { hash: self.hash, chunks }, number))
                    }
                    Ok(_) => None,
                    Err(_) => Some(ToClient::Status(StatusKind::Error(ErrorCode::Busy))),
                }
            }
            StoreSend::Chunk(index) => {
                let (hash, total, data) =
                    (self.hash, self.total(), chunking::chunk(&self.blob, index, ChunkLen::BASE));
                let chunk = Upload { provider: ProviderId::new([2; 32]), hash, index, total, data };
                let whole = self.uploads.chunk(key, &chunk, true, now)?;
                assert!(whole.blob == self.blob, "what came together is what was sent");
                self.is_stored = true;
                let newest = self.uploads.finish(key).expect("it was under way");
                Some(ToClient::Answer(Answer::Stored(self.info()), newest))
            }
        }
    }

    fn send(&self, number: Try, wanted: Option<&ChunkSet>) -> Vec<ToClient> {
        let total = self.total();
        let wanted = (0..total).map(ChunkIndex).filter(|index| wanted.is_none_or(|set| set.contains(*index)));
        let mut messages: Vec<ToClient> = wanted.map(|index| ToClient::Chunk(self.chunk(index))).collect();
        messages.push(ToClient::Answer(Answer::Available(self.info()), number));
        messages
    }

    fn chunk(&self, index: ChunkIndex) -> Chunk {
        let mut data = chunking::chunk(&self.blob, index, ChunkLen::BASE);
        if self.is_damaged && index.0 + 1 == self.total() {
            data = data.iter().map(|byte| byte ^ 1).collect();
        }
        let (hash, total, chunk_hash) = (self.hash, self.total(), Chunk::hash_of(&data));
        Chunk { hash, index, total, chunk_hash, expiration: None, direction: None, data }
    }
}

fn store(provider: &mut Provider, faults: &mut Faults<'_>) -> Result<BlobInfo, Failure> {
    let blob = (provider.hash, provider.blob.len() as u64, provider.total());
    let mut session = StoreSession::new(blob, WINDOW, Pace::default(), 1, faults.now);
    let (mut to_provider, mut to_client) = (Queue(Vec::new()), Queue(Vec::new()));
    let take = |session: &mut StoreSession, message, now| match message {
        ToClient::Answer(answer, to) => session.answer(&answer, to, now),
        ToClient::Status(kind) => session.status(&status(kind), now),
        ToClient::Chunk(_) => {}
    };
    for _ in 0..STEP_COUNT_MAX {
        let until = match session.step(faults.now) {
            Step::Send(message) => {
                to_provider.0.push(message);
                continue;
            }
            Step::Done(outcome) => return outcome,
            Step::Wait(until) => until,
        };
        match faults.next() {
            Some((0..=119, which)) => {
                let arrived = to_provider.mishap(which);
                to_client.0.extend(arrived.and_then(|message| provider.take(message, faults.now)));
            }
            Some((120..=239, which)) => {
                if let Some(message) = to_client.mishap(which) {
                    take(&mut session, message, faults.now);
                }
            }
            Some((_, which)) => provider.misfortune(which, faults.now),
            None => {
                if let Some(message) = to_provider.next() {
                    to_client.0.extend(provider.take(message, faults.now));
                } else if let Some(message) = to_client.next() {
                    take(&mut session, message, faults.now);
                } else {
                    faults.now = until;
                }
            }
        }
    }
    panic!("the store does not end");
}

fn fetch(provider: &Provider, manner: u8, faults: &mut Faults<'_>) -> Result<Bytes, Failure> {
    faults.begin();
    let chunk_count = (manner & 2 == 0).then(|| provider.total());
    let options = FetchOptions {
        chunk_count,
        chunk_len: ChunkLen::BASE,
        window: WINDOW,
        takes_ranges: manner & 4 == 0,
        wants_promise: manner & 1 == 0,
    };
    let mut session = FetchSession::new(provider.hash, options, Pace::default(), 1, faults.now);
    let (mut to_provider, mut to_client) = (Queue(Vec::new()), Queue(Vec::new()));
    let take = |session: &mut FetchSession<bool>, message, now| match message {
        ToClient::Answer(answer, to) => session.answer(&answer, to, now),
        ToClient::Status(kind) => session.status(&status(kind), now),
        ToClient::Chunk(chunk) => drop(session.chunk(chunk, true, now)),
    };
    for _ in 0..STEP_COUNT_MAX {
        let until = match session.step(faults.now) {
            Step::Send(message) => {
                to_provider.0.push(message);
                continue;
            }
            Step::Done(outcome) => return outcome.map(Blob::into_bytes),
            Step::Wait(until) => until,
        };
        match faults.next() {
            Some((0..=99, which)) => {
                if let Some((number, wanted)) = to_provider.mishap(which) {
                    to_client.0.extend(provider.send(number, wanted.as_ref()));
                }
            }
            Some((_, which)) => {
                if let Some(message) = to_client.mishap(which) {
                    take(&mut session, message, faults.now);
                }
            }
            None => {
                if let Some((number, wanted)) = to_provider.next() {
                    to_client.0.extend(provider.send(number, wanted.as_ref()));
                } else if let Some(message) = to_client.next() {
                    take(&mut session, message, faults.now);
                } else {
                    faults.now = until;
                }
            }
        }
    }
    panic!("the fetch does not end");
}
