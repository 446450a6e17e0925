//! The store session against a provider that behaves.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::link::{Faults, Link};
use super::{instant, status};
use crate::session::{Failure, Pace, Step, StoreSend, StoreSession, Try};
use crate::types::{BlobHash, ChunkIndex, Timestamp};
use crate::wire::{Answer, BlobInfo, ChunkSet, ErrorCode, StatusKind};

const HASH: BlobHash = BlobHash::new([7; 32]);

#[derive(Clone)]
enum ToClient {
    Answer(Answer, Try),
    Busy,
}

/// A provider's side of one upload, as docs/protocol.md has it.
struct Provider {
    total: u32,
    upload: Option<ChunkSet>,
    newest: Try,
    is_stored: bool,
    /// How often it restarts and forgets a half-received upload.
    forgets: u32,
    is_busy_once: bool,
    rng: StdRng,
}

impl Provider {
    fn info(&self) -> BlobInfo {
        BlobInfo { hash: HASH, size: u64::from(self.total), chunks: self.total, expires: Timestamp(1) }
    }

    fn receive(&mut self, message: StoreSend) -> Option<ToClient> {
        if self.forgets > 0 && self.rng.random_ratio(1, 40) {
            self.forgets -= 1;
            self.upload = None;
        }
        match message {
            StoreSend::Request(number) => {
                self.newest = self.newest.max(number);
                if std::mem::take(&mut self.is_busy_once) {
                    return Some(ToClient::Busy);
                }
                let is_new = self.upload.is_none();
                let held = self.upload.get_or_insert_default();
                let missing = held.complement(self.total);
                if self.is_stored || missing.is_empty() {
                    self.is_stored = true;
                    return Some(ToClient::Answer(Answer::Stored(self.info()), number));
                }
                let answer = Answer::Missing { hash: HASH, chunks: missing };
                (!is_new || number.0 > 0).then_some(ToClient::Answer(answer, number))
            }
            StoreSend::Chunk(index) => {
                let held = self.upload.as_mut()?;
                held.insert(index);
                if held.count() < self.total || self.is_stored {
                    return None;
                }
                self.is_stored = true;
                Some(ToClient::Answer(Answer::Stored(self.info()), self.newest))
            }
        }
    }
}

struct Run {
    outcome: Result<BlobInfo, Failure>,
    took: Duration,
    chunks_sent: u64,
    in_flight_most: u32,
}

fn run(seed: u64, total: u32, window: u32, faults: Faults, forgets: u32) -> Run {
    let start = instant();
    let mut now = start;
    let mut to_provider = Link::new(faults, seed);
    let mut to_client = Link::new(faults, seed + 1);
    let (newest, rng) = (Try(0), StdRng::seed_from_u64(seed));
    let is_busy_once = seed.is_multiple_of(5);
    let mut provider = Provider { total, upload: None, newest, is_stored: false, forgets, is_busy_once, rng };
    let blob = (HASH, u64::from(total), total);
    let mut session = StoreSession::new(blob, window, Pace::default(), seed, now);
    let (mut chunks_sent, mut in_flight_most) = (0, 0);
    loop {
        match session.step(now) {
            Step::Send(message) => {
                chunks_sent += u64::from(matches!(message, StoreSend::Chunk(_)));
                in_flight_most = in_flight_most.max(session.in_flight_count());
                to_provider.send(message, now);
            }
            Step::Done(outcome) => return Run { outcome, took: now - start, chunks_sent, in_flight_most },
            Step::Wait(until) => {
                let arrivals = [to_provider.next_at(), to_client.next_at()].into_iter().flatten();
                now = arrivals.fold(until, Instant::min).max(now);
                while let Some(message) = to_provider.receive(now) {
                    if let Some(reply) = provider.receive(message) {
                        to_client.send(reply, now);
                    }
                }
                while let Some(message) = to_client.receive(now) {
                    match message {
                        ToClient::Answer(answer, to) => session.answer(&answer, to, now),
                        ToClient::Busy => session.status(&status(StatusKind::Error(ErrorCode::Busy)), now),
                    }
                }
            }
        }
    }
}

#[test]
fn store_succeeds_over_every_link_that_lets_some_through() {
    for seed in 0..3_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (total, window) = (rng.random_range(0..=60), rng.random_range(1..=32));
        let run = run(seed, total, window, Faults::of_seed(seed), rng.random_range(0..3));
        assert!(run.outcome.is_ok(), "seed {seed}: {:?} after {:?}", run.outcome, run.took);
        assert!(run.in_flight_most <= window, "seed {seed}: {} under way", run.in_flight_most);
        assert!(run.chunks_sent <= 40 + 8 * u64::from(total), "seed {seed}: {} chunks", run.chunks_sent);
    }
}

#[test]
fn store_over_a_link_without_faults_sends_each_chunk_once_and_waits_for_one_round() {
    let run = run(1, 16, 32, Faults::default(), 0);
    assert_eq!(run.chunks_sent, 16);
    assert_eq!(run.took, Duration::from_millis(20));
}

#[test]
fn store_of_more_than_the_window_sends_each_chunk_once_where_nothing_is_lost() {
    let run = run(1, 320, 64, Faults::default(), 0);
    assert_eq!(run.chunks_sent, 320);
    assert!(run.took <= Duration::from_millis(20 * 12), "{:?}", run.took);
}

#[test]
fn store_at_a_silent_provider_ends_after_the_stall_timeout() {
    let run = run(1, 16, 32, Faults { drop: 1000, ..Faults::default() }, 0);
    assert_eq!(run.outcome, Err(Failure::Silent));
    assert_eq!(run.took, Pace::default().stall_timeout);
}

#[test]
fn store_at_a_provider_that_never_gets_enough_ends() {
    let start = instant();
    let mut now = start;
    let mut session = StoreSession::new((HASH, 16, 16), 32, Pace::default(), 1, now);
    let mut sent = 0;
    let failure = loop {
        match session.step(now) {
            Step::Send(StoreSend::Request(number)) => {
                let chunks = ChunkSet::all(16);
                session.answer(&Answer::Missing { hash: HASH, chunks }, number, now);
            }
            Step::Send(StoreSend::Chunk(_)) => sent += 1,
            Step::Wait(until) => now = until,
            Step::Done(outcome) => break outcome.unwrap_err(),
        }
    };
    assert_eq!(failure, Failure::Silent);
    assert_eq!(now - start, Pace::default().stall_timeout);
    assert!(sent <= 16 * 20, "{sent}");
}

#[test]
fn a_receipt_for_another_blob_or_another_size_is_none() {
    for (hash, size) in [(HASH, 15), (BlobHash::new([8; 32]), 16)] {
        let now = instant();
        let mut session = StoreSession::new((HASH, 16, 16), 32, Pace::default(), 1, now);
        let info = BlobInfo { hash, size, chunks: 16, expires: Timestamp(1) };
        session.answer(&Answer::Stored(info), Try(0), now);
        assert_eq!(session.step(now), Step::Done(Err(Failure::Corrupt)));
    }
}

#[test]
fn a_refused_store_ends_at_once() {
    let now = instant();
    let mut session = StoreSession::new((HASH, 16, 16), 32, Pace::default(), 1, now);
    assert_eq!(session.step(now), Step::Send(StoreSend::Request(Try(0))));
    assert_eq!(session.step(now), Step::Send(StoreSend::Chunk(ChunkIndex(0))));
    session.status(&status(StatusKind::Error(ErrorCode::StorageFull)), now);
    assert!(matches!(
        session.step(now),
        Step::Done(Err(Failure::Refused { code: ErrorCode::StorageFull, .. }))
    ));
}
