//! Client: a blob goes to a provider in chunks (docs/protocol.md, "Chunked store").
//!
//! The request and the first window of chunks go out at once. Then the request, sent again, is the probe: the
//! provider answers what it lacks, or `stored`. Events of one sender keep their order on their way more often than
//! not, so a chunk that was sent before a probe and is missing in its answer is taken for lost; one that was sent
//! after it is still under way.

use std::time::Instant;

use crate::session::{Failure, Pace, Patience, Step, Try};
use crate::types::{BlobHash, ChunkIndex};
use crate::wire::{Answer, BlobInfo, ChunkSet, Status, StatusKind};

/// How often a provider may begin an upload anew and still be waited for as long as the first time.
const RESTART_COUNT_MAX: u32 = 4;

/// The client's half of a chunked store.
#[derive(Debug)]
pub struct StoreSession {
    hash: BlobHash,
    size: u64,
    chunks: Vec<ChunkState>,
    window: u32,
    in_flight: u32,
    /// Chunks sent since the last request.
    unprobed: u32,
    /// Most chunks that the provider has held since it last began anew.
    held_most: u32,
    /// How often the provider may still begin anew (it was restarted, or dropped the upload for room).
    restarts_left: u32,
    /// The newest try that an answer came to.
    answered: Option<Try>,
    /// Requests sent so far.
    tries: u32,
    /// Whether the answer to a probe is still to come.
    is_probing: bool,
    /// Whether the provider wants nothing before the next request.
    is_held_off: bool,
    /// Chunks that have been sent at least once.
    sent_most: u32,
    patience: Patience,
    outcome: Option<Result<BlobInfo, Failure>>,
}

/// What a store session sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreSend {
    /// The store request, as one more try.
    Request(Try),
    /// One chunk of the blob.
    Chunk(ChunkIndex),
}

/// Where one chunk is, as far as the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    Unsent,
    /// Sent after so many requests.
    Sent(u32),
    Held,
}

impl StoreSession {
    /// A conversation about a blob of `size` bytes in `chunk_count` chunks, at most `window` of them under way.
    pub fn new(blob: (BlobHash, u64, u32), window: u32, pace: Pace, seed: u64, now: Instant) -> Self {
        let (hash, size, chunk_count) = blob;
        Self {
            hash,
            size,
            chunks: vec![ChunkState::Unsent; chunk_count as usize],
            window: window.max(1),
            in_flight: 0,
            unprobed: 0,
            held_most: 0,
            restarts_left: RESTART_COUNT_MAX,
            answered: None,
            tries: 0,
            is_probing: false,
            is_held_off: false,
            sent_most: 0,
            patience: Patience::new(pace, seed, now),
            outcome: None,
        }
    }

    /// How many chunks the provider has said to hold.
    pub fn held_count(&self) -> u32 {
        self.held_most
    }

    /// How many chunks are under way.
    pub fn in_flight_count(&self) -> u32 {
        self.in_flight
    }

    /// Takes in an answer to one of the tries.
    pub fn answer(&mut self, answer: &Answer, to: Try, now: Instant) {
        if self.outcome.is_some() {
            return;
        }
        match answer {
            Answer::Stored(info) if info.hash == self.hash && info.size == self.size => {
                self.outcome = Some(Ok(*info));
            }
            Answer::Missing { hash, chunks } if *hash == self.hash => self.take_missing(chunks, to, now),
            _ => self.outcome = Some(Err(Failure::Corrupt)),
        }
    }

    /// Takes in a status message.
    pub fn status(&mut self, status: &Status, now: Instant) {
        self.is_held_off = matches!(status.kind, StatusKind::Error(_));
        if let Some(failure) = self.patience.status(status, now) {
            self.outcome.get_or_insert(Err(failure));
        }
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step<StoreSend, BlobInfo> {
        if let Some(outcome) = &self.outcome {
            return Step::Done(outcome.clone());
        }
        if let Some(failure) = self.patience.spent(now) {
            return Step::Done(Err(failure));
        }
        if self.tries == 0 || self.is_probe_wanted(now) {
            return Step::Send(self.request(now));
        }
        match self.next_chunk(now) {
            Some(index) => Step::Send(StoreSend::Chunk(index)),
            None => Step::Wait(self.patience.wake_at()),
        }
    }

    fn request(&mut self, now: Instant) -> StoreSend {
        let number = Try(self.tries);
        self.tries += 1;
        self.unprobed = 0;
        self.is_held_off = false;
        self.is_probing = number.0 > 0;
        self.patience.requested(now);
        StoreSend::Request(number)
    }

    /// A probe is wanted when an answer is overdue, and early where the window is what holds the rest back.
    fn is_probe_wanted(&self, now: Instant) -> bool {
        let rest_waits =
            self.unprobed >= self.window.div_ceil(2) && self.in_flight + self.held() < self.total();
        self.patience.is_due(now) || (rest_waits && !self.is_probing)
    }

    fn next_chunk(&mut self, now: Instant) -> Option<ChunkIndex> {
        if self.is_held_off || self.in_flight >= self.window {
            return None;
        }
        let at = self.chunks.iter().position(|state| *state == ChunkState::Unsent)?;
        self.chunks[at] = ChunkState::Sent(self.tries);
        self.in_flight += 1;
        self.unprobed += 1;
        if at >= self.sent_most as usize {
            // Sending for the first time is progress: where the way out is narrow, it is what takes the time.
            self.sent_most += 1;
            self.patience.progress(now);
        }
        self.patience.sent(now);
        u32::try_from(at).ok().map(ChunkIndex)
    }

    fn take_missing(&mut self, missing: &ChunkSet, to: Try, now: Instant) {
        if self.answered >= Some(to) {
            // Overtaken on its way by a newer one.
            return;
        }
        self.answered = Some(to);
        self.is_probing &= to.0 + 1 < self.tries;
        for (index, state) in (0..).map(ChunkIndex).zip(&mut self.chunks) {
            *state = match *state {
                _ if !missing.contains(index) => ChunkState::Held,
                ChunkState::Sent(after) if after > to.0 => ChunkState::Sent(after),
                _ => ChunkState::Unsent,
            };
        }
        self.in_flight = self.count(|state| matches!(state, ChunkState::Sent(_)));
        let held = self.held();
        let is_restart = held < self.held_most && self.restarts_left > 0;
        self.restarts_left -= u32::from(is_restart);
        if held > self.held_most || is_restart {
            self.held_most = held;
            self.patience.progress(now);
        }
    }

    fn count(&self, is_wanted: impl Fn(ChunkState) -> bool) -> u32 {
        let count = self.chunks.iter().filter(|state| is_wanted(**state)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn held(&self) -> u32 {
        self.count(|state| state == ChunkState::Held)
    }

    fn total(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }
}
