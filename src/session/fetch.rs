//! Client: a blob comes from a provider (docs/protocol.md, "Retrieve").
//!
//! Where the provider takes ranges (extension `partial`), at most a window of chunks is asked for at a time, and only
//! what is missing is asked for again. A plain provider sends the whole blob for every try.
//!
//! Nobody has verified the chunks: the blob's hash does that for all of them. Only where something of a chunk is not as it
//! should be, or has to be believed without the blob, it is asked who signed it. A provider answers for what it has signed
//! alone; what others put in its mouth is thrown away.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::session::attests::Held;
use crate::session::{Attests, Failure, Pace, Patience, Step, Try};
use crate::types::limits::BLOB_LEN_MAX;
use crate::types::{Blob, BlobHash, ChunkIndex, ChunkLen, Timestamp};
use crate::wire::{Answer, BlobInfo, Chunk, ChunkSet, Status};

/// After the provider says that it has sent everything, for so long chunks may still be under way.
const STRAGGLER_GRACE: Duration = Duration::from_millis(100);

/// Chunks that are checked in the time after which a conversation without progress ends.
const CHECKS_PER_STALL: u32 = 8;

/// The client's half of a retrieve.
#[derive(Debug)]
pub struct FetchSession<A> {
    hash: BlobHash,
    options: FetchOptions,
    /// One place for each chunk, as soon as their number is known.
    chunks: Option<Vec<Option<Held<A>>>>,
    /// Each chunk is checked when it comes.
    is_strict: bool,
    /// When a chunk was last checked, or the conversation began.
    checked_at: Instant,
    /// Whoever forges must not keep up the hope that the provider sends: so often one is checked in any case, and only such
    /// a one counts as progress.
    check_every: Duration,
    have: ChunkSet,
    /// Bytes of the chunks that are here.
    have_len: u64,
    /// Asked for, not here yet.
    asked: ChunkSet,
    expires: Option<Timestamp>,
    tries: u32,
    patience: Patience,
    outcome: Option<Result<Blob, Failure>>,
}

/// What is known before a fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions {
    /// How many chunks the blob has, if that is known.
    pub chunk_count: Option<u32>,
    /// Chunks are no longer than this.
    pub chunk_len: ChunkLen,
    /// At most so many chunks are asked for at once, where the provider takes ranges.
    pub window: u32,
    /// Whether the provider takes ranges.
    pub takes_ranges: bool,
    /// Whether it matters until when the provider promises to keep the blob.
    pub wants_promise: bool,
}

impl FetchOptions {
    /// For a blob that comes in one piece, as the direct path brings it.
    pub const WHOLE: Self = Self {
        chunk_count: None,
        chunk_len: ChunkLen::BASE,
        window: 1,
        takes_ranges: false,
        wants_promise: false,
    };
}

/// One more try: the chunks that are asked for, or the whole blob.
pub type FetchSend = (Try, Option<ChunkSet>);

impl<A: Attests> FetchSession<A> {
    /// A conversation that begins now; the jitter of its retries follows from `seed`.
    pub fn new(hash: BlobHash, options: FetchOptions, pace: Pace, seed: u64, now: Instant) -> Self {
        let mut session = Self {
            hash,
            options,
            chunks: None,
            is_strict: options.wants_promise,
            checked_at: now,
            check_every: pace.stall_timeout / CHECKS_PER_STALL,
            have: ChunkSet::empty(),
            have_len: 0,
            asked: ChunkSet::empty(),
            expires: None,
            tries: 0,
            patience: Patience::new(pace, seed, now),
            outcome: None,
        };
        if let Some(total) = options.chunk_count.filter(|total| *total > 0) {
            session.learn_total(total);
        }
        session
    }

    /// How many chunks have arrived.
    pub fn have_count(&self) -> u32 {
        self.have.count()
    }

    /// Until when the provider promises to keep the blob, as far as it has said so and that was asked for.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Takes in a chunk that is said to be the provider's. Whether it was new and may be part of the blob.
    pub fn chunk(&mut self, chunk: Chunk, attestation: A, now: Instant) -> bool {
        if self.outcome.is_some() || chunk.hash != self.hash {
            return false;
        }
        let len = chunk.data.len() as u64;
        let is_contradicted = self.held(chunk.index).is_some_and(|held| *held != chunk.data);
        if !self.is_strict && (is_contradicted || self.have_len + len > BLOB_LEN_MAX) {
            // Something of what came before is forged, it may be.
            self.drop_forged(now);
        }
        if self.held(chunk.index).is_some() {
            return false;
        }
        // How many chunks there are, and until when the provider keeps them, the blob's hash does not say.
        let is_check_due = now >= self.checked_at + self.check_every;
        let is_checked = self.is_strict || self.chunks.is_none() || is_check_due;
        if is_checked && !attestation.holds_for(&chunk.data) {
            return false;
        }
        // A directed chunk is tied to this request by its signature, the blob to its hash at the end.
        let is_intact = chunk.direction.is_some() || chunk.is_intact();
        let is_possible = len <= self.options.chunk_len.bytes() && self.have_len + len <= BLOB_LEN_MAX;
        if !is_intact || !is_possible || !self.learn_total(chunk.total) {
            if is_checked || attestation.holds_for(&chunk.data) {
                self.outcome = Some(Err(Failure::Corrupt));
            }
            return false;
        }
        let place = self.chunks.as_mut().and_then(|chunks| chunks.get_mut(chunk.index.0 as usize));
        let Some(place @ None) = place else { return false };
        if is_checked {
            self.expires = self.expires.or(chunk.expiration);
            self.checked_at = now;
            self.patience.progress(now);
        }
        *place = Some((chunk.data, (!is_checked).then_some(attestation)));
        self.have_len += len;
        self.have.insert(chunk.index);
        self.patience.came(now);
        self.finish_if_complete(now);
        true
    }

    /// Takes in the whole blob at once, as the direct path brings it.
    pub fn whole(&mut self, hash: BlobHash, bytes: Bytes) {
        if self.outcome.is_none() {
            let is_asked_for = hash == self.hash;
            self.outcome = Some(if is_asked_for { self.verified(bytes) } else { Err(Failure::Corrupt) });
        }
    }

    /// Bytes of the blob, or of what stands before it, came at that time, as the direct path brings them.
    pub fn moved(&mut self, at: Instant) {
        self.patience.progress(at);
    }

    /// The request was lost on its way: it is due again.
    pub fn lost(&mut self, now: Instant) {
        self.patience.hasten(Duration::ZERO, now);
    }

    /// Takes in an answer to one of the tries.
    pub fn answer(&mut self, answer: &Answer, to: Try, now: Instant) {
        if self.outcome.is_some() {
            return;
        }
        match answer {
            Answer::Available(info) if info.hash == self.hash => self.take_available(info, to, now),
            _ => self.outcome = Some(Err(Failure::Corrupt)),
        }
    }

    /// Takes in a status message.
    pub fn status(&mut self, status: &Status, now: Instant) {
        if let Some(failure) = self.patience.status(status, now) {
            self.outcome.get_or_insert(Err(failure));
        }
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step<FetchSend, Blob> {
        if let Some(outcome) = &self.outcome {
            return Step::Done(outcome.clone());
        }
        if let Some(failure) = self.patience.spent(now) {
            return Step::Done(Err(failure));
        }
        if self.tries == 0 || self.patience.is_due(now) {
            // Whatever was asked for and is not here is asked for again.
            self.asked = ChunkSet::empty();
            return Step::Send(self.request(now));
        }
        if self.is_room_for_more() {
            return Step::Send(self.request(now));
        }
        Step::Wait(self.patience.wake_at())
    }

    fn request(&mut self, now: Instant) -> FetchSend {
        let number = Try(self.tries);
        self.tries += 1;
        self.patience.requested(now);
        if !self.options.takes_ranges {
            return (number, None);
        }
        let wanted = match &self.chunks {
            Some(_) => self.next_chunks(),
            None => ChunkSet::all(self.options.window),
        };
        for index in wanted.iter() {
            self.asked.insert(index);
        }
        (number, Some(wanted))
    }

    /// The first chunks that are neither here nor asked for, as many as the window has room for.
    fn next_chunks(&self) -> ChunkSet {
        let room = self.options.window.saturating_sub(self.under_way()).max(1);
        let missing = self.have.complement(self.total());
        let free = missing.iter().filter(|index| !self.asked.contains(*index));
        free.take(room as usize).collect()
    }

    /// Whether half the window is free and there is more to ask for.
    fn is_room_for_more(&self) -> bool {
        self.options.takes_ranges
            && self.chunks.is_some()
            && self.under_way() <= self.options.window / 2
            && self.under_way() + self.have.count() < self.total()
    }

    fn under_way(&self) -> u32 {
        let count =
            self.asked.iter().filter(|index| !self.have.contains(*index) && index.0 < self.total()).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn take_available(&mut self, info: &BlobInfo, to: Try, now: Instant) {
        self.expires = Some(info.expires);
        if info.chunks == 0 && info.size == 0 {
            self.chunks = Some(Vec::new());
            self.finish_if_complete(now);
            return;
        }
        if !self.learn_total(info.chunks) {
            self.outcome = Some(Err(Failure::Corrupt));
            return;
        }
        if to.0 + 1 == self.tries {
            self.patience.hasten(STRAGGLER_GRACE, now);
        }
    }

    /// Makes places for the chunks. Whether the number is possible and the same as ever.
    fn learn_total(&mut self, total: u32) -> bool {
        let places = || (0..total).map(|_| None).collect();
        let known = self.chunks.get_or_insert_with(places).len();
        total > 0 && known == total as usize
    }

    fn total(&self) -> u32 {
        self.chunks.as_ref().map_or(u32::MAX, |chunks| u32::try_from(chunks.len()).unwrap_or(u32::MAX))
    }

    fn finish_if_complete(&mut self, now: Instant) {
        let Some(chunks) = &self.chunks else { return };
        if self.have.count() as usize != chunks.len() {
            return;
        }
        let outcome = self.verified(join(chunks));
        if outcome.is_err() && self.drop_forged(now) {
            return;
        }
        self.outcome = Some(outcome);
        self.chunks = None;
    }

    fn held(&self, index: ChunkIndex) -> Option<&Bytes> {
        let (data, _) = self.chunks.as_ref()?.get(index.0 as usize)?.as_ref()?;
        Some(data)
    }

    /// Throws away the chunks that are not the provider's; whether there are any. From now on each is checked when it comes,
    /// so that this happens once.
    fn drop_forged(&mut self, now: Instant) -> bool {
        let (mut have, mut have_len) = (ChunkSet::empty(), 0);
        for (index, place) in (0..).map(ChunkIndex).zip(self.chunks.iter_mut().flatten()) {
            let Some((data, attestation)) = place else { continue };
            if attestation.take().is_none_or(|attestation| attestation.holds_for(data)) {
                have.insert(index);
                have_len += data.len() as u64;
            } else {
                *place = None;
            }
        }
        let is_any_forged = have != self.have;
        if is_any_forged {
            self.patience.hasten(Duration::ZERO, now);
        }
        (self.have, self.have_len, self.is_strict) = (have, have_len, true);
        is_any_forged
    }

    /// The only check of a fetched blob's hash there is; whatever it is for compares names.
    fn verified(&self, bytes: Bytes) -> Result<Blob, Failure> {
        let blob = Blob::new(bytes);
        if blob.hash() == self.hash { Ok(blob) } else { Err(Failure::Corrupt) }
    }
}

/// The chunks end to end; one alone is not copied.
fn join<A>(chunks: &[Option<Held<A>>]) -> Bytes {
    if let [Some((only, _))] = chunks {
        return only.clone();
    }
    let chunks = || chunks.iter().flatten().map(|(data, _)| data);
    let mut blob = BytesMut::with_capacity(chunks().map(Bytes::len).sum());
    chunks().for_each(|chunk| blob.extend_from_slice(chunk));
    blob.freeze()
}
