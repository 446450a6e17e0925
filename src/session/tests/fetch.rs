//! The fetch session against a provider that behaves, and against some that do not.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::link::{Faults, Link};
use super::{instant, status};
use crate::session::fetch::FetchSend;
use crate::session::{Failure, FetchOptions, FetchSession, Pace, Step, Try};
use crate::types::limits::BLOB_LEN_MAX;
use crate::types::{Blob, BlobHash, ChunkIndex, ChunkLen, ClientId, Timestamp};
use crate::wire::{Answer, BlobInfo, Chunk, Direction, ErrorCode, StatusKind};

#[derive(Clone)]
enum ToClient {
    Chunk(Chunk),
    Available(BlobInfo, Try),
}

/// A blob of `total` chunks, here of seven bytes, the last shorter.
struct Provider {
    blob: Bytes,
    total: u32,
    is_directed: bool,
}

impl Provider {
    fn new(total: u32, is_directed: bool) -> Self {
        let len = (total as usize * 7).saturating_sub(3);
        let blob = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        Self { blob, total, is_directed }
    }

    fn hash(&self) -> BlobHash {
        BlobHash::of(&self.blob)
    }

    fn chunk(&self, index: ChunkIndex) -> Chunk {
        let start = index.0 as usize * 7;
        let data = self.blob.slice(start..(start + 7).min(self.blob.len()));
        let direction = Direction { request: nostr::EventId::all_zeros(), requester: ClientId::new([0; 32]) };
        Chunk {
            hash: self.hash(),
            index,
            total: self.total,
            chunk_hash: Chunk::hash_of(&data),
            expiration: None,
            direction: self.is_directed.then_some(direction),
            data,
        }
    }

    fn answer(&self, (number, ranges): FetchSend) -> Vec<ToClient> {
        let indexes = (0..self.total).map(ChunkIndex);
        let wanted = indexes.filter(|index| ranges.as_ref().is_none_or(|ranges| ranges.contains(*index)));
        let mut replies: Vec<_> = wanted.map(|index| ToClient::Chunk(self.chunk(index))).collect();
        replies.push(ToClient::Available(self.info(), number));
        replies
    }

    fn info(&self) -> BlobInfo {
        let size = self.blob.len() as u64;
        BlobInfo { hash: self.hash(), size, chunks: self.total, expires: Timestamp(1) }
    }
}

struct Run {
    outcome: Result<Bytes, Failure>,
    took: Duration,
    tries: u32,
    chunks_sent: u64,
}

fn run(seed: u64, provider: &Provider, options: FetchOptions, faults: Faults) -> Run {
    let start = instant();
    let mut now = start;
    let mut to_provider = Link::new(faults, seed);
    let mut to_client = Link::new(faults, seed + 1);
    let mut session = FetchSession::new(provider.hash(), options, Pace::default(), seed, now);
    let (mut tries, mut chunks_sent) = (0, 0);
    loop {
        match session.step(now) {
            Step::Send(message) => {
                tries += 1;
                to_provider.send(message, now);
            }
            Step::Done(outcome) => {
                let outcome = outcome.map(Blob::into_bytes);
                return Run { outcome, took: now - start, tries, chunks_sent };
            }
            Step::Wait(until) => {
                let arrivals = [to_provider.next_at(), to_client.next_at()].into_iter().flatten();
                now = arrivals.fold(until, Instant::min).max(now);
                while let Some(message) = to_provider.receive(now) {
                    for reply in provider.answer(message) {
                        chunks_sent += u64::from(matches!(reply, ToClient::Chunk(_)));
                        to_client.send(reply, now);
                    }
                }
                while let Some(message) = to_client.receive(now) {
                    match message {
                        ToClient::Chunk(chunk) => drop(session.chunk(chunk, true, now)),
                        ToClient::Available(info, to) => {
                            session.answer(&Answer::Available(info), to, now);
                        }
                    }
                }
            }
        }
    }
}

const EXTENDED: FetchOptions = FetchOptions {
    chunk_count: None,
    chunk_len: ChunkLen::BASE,
    window: 32,
    takes_ranges: true,
    wants_promise: false,
};
const PLAIN: FetchOptions = FetchOptions { takes_ranges: false, ..EXTENDED };

#[test]
fn fetch_brings_the_right_bytes_over_every_link_that_lets_some_through() {
    for seed in 0..3_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let provider = Provider::new(rng.random_range(0..=60), rng.random());
        let chunk_count = rng.random::<bool>().then_some(provider.total);
        let options = FetchOptions {
            chunk_count,
            window: rng.random_range(1..=32),
            takes_ranges: rng.random(),
            ..EXTENDED
        };
        let run = run(seed, &provider, options, Faults::of_seed(seed));
        assert_eq!(run.outcome, Ok(provider.blob.clone()), "seed {seed} after {:?}", run.took);
        if options.takes_ranges {
            let most = 40 + 4 * u64::from(provider.total);
            assert!(run.chunks_sent <= most, "seed {seed}: {} chunks", run.chunks_sent);
        }
    }
}

#[test]
fn fetch_over_a_link_without_faults_asks_once_and_takes_one_round() {
    for options in [EXTENDED, PLAIN, FetchOptions { chunk_count: Some(16), ..EXTENDED }] {
        let run = run(1, &Provider::new(16, true), options, Faults::default());
        assert!(run.outcome.is_ok());
        assert_eq!((run.tries, run.took), (1, Duration::from_millis(20)));
    }
}

#[test]
fn fetch_of_more_than_the_window_moves_each_chunk_once_where_nothing_is_lost() {
    let run = run(1, &Provider::new(320, true), EXTENDED, Faults::default());
    assert!(run.outcome.is_ok());
    assert_eq!(run.chunks_sent, 320);
    assert!(run.tries <= 24, "{} tries", run.tries);
}

#[test]
fn fetch_from_a_silent_provider_ends_after_the_stall_timeout() {
    let run = run(1, &Provider::new(16, true), EXTENDED, Faults { drop: 1000, ..Faults::default() });
    assert_eq!(run.outcome, Err(Failure::Silent));
    assert_eq!(run.took, Pace::default().stall_timeout);
}

fn session(provider: &Provider, options: FetchOptions) -> (FetchSession<bool>, Instant) {
    let now = instant();
    (FetchSession::new(provider.hash(), options, Pace::default(), 1, now), now)
}

#[test]
fn wrong_bytes_are_corrupt_never_returned() {
    for is_directed in [true, false] {
        let provider = Provider::new(3, is_directed);
        let (mut session, now) = session(&provider, EXTENDED);
        for index in 0..3 {
            let mut chunk = provider.chunk(ChunkIndex(index));
            if index == 1 {
                chunk.data = Bytes::from_static(b"another");
            }
            session.chunk(chunk, true, now);
        }
        assert_eq!(session.step(now), Step::Done(Err(Failure::Corrupt)));
    }
}

#[test]
fn chunk_counts_that_contradict_each_other_are_corrupt() {
    let provider = Provider::new(3, true);
    let (mut session, now) = session(&provider, EXTENDED);
    session.chunk(provider.chunk(ChunkIndex(0)), true, now);
    session.chunk(Chunk { total: 4, ..provider.chunk(ChunkIndex(1)) }, true, now);
    assert_eq!(session.step(now), Step::Done(Err(Failure::Corrupt)));
}

#[test]
fn chunk_of_another_blob_is_ignored() {
    let provider = Provider::new(3, true);
    let (mut session, now) = session(&provider, EXTENDED);
    let foreign = Chunk { hash: BlobHash::new([9; 32]), ..provider.chunk(ChunkIndex(0)) };
    assert!(!session.chunk(foreign, true, now));
    assert_eq!(session.have_count(), 0);
}

#[test]
fn repeated_chunks_are_no_progress() {
    let provider = Provider::new(3, true);
    let (mut session, start) = session(&provider, EXTENDED);
    let mut now = start;
    let failure = loop {
        session.chunk(provider.chunk(ChunkIndex(0)), true, now);
        match session.step(now) {
            Step::Send(_) => {}
            Step::Wait(until) => now = until.min(now + Duration::from_secs(1)),
            Step::Done(outcome) => break outcome.unwrap_err(),
        }
    };
    assert_eq!(failure, Failure::Silent);
    assert_eq!(now - start, Pace::default().stall_timeout);
}

#[test]
fn missing_blob_is_refused_at_once() {
    let provider = Provider::new(3, true);
    let (mut session, now) = session(&provider, EXTENDED);
    session.status(&status(StatusKind::Error(ErrorCode::FileNotFound)), now);
    assert!(matches!(
        session.step(now),
        Step::Done(Err(Failure::Refused { code: ErrorCode::FileNotFound, .. }))
    ));
}

#[test]
fn forged_chunks_are_thrown_away_once_and_the_provider_is_not_blamed() {
    for is_directed in [true, false] {
        let provider = Provider::new(3, is_directed);
        let known = FetchOptions { chunk_count: Some(3), ..EXTENDED };
        let (mut session, now) = session(&provider, known);
        assert!(matches!(session.step(now), Step::Send(_)));
        let forge = |index| {
            let data = Bytes::from(vec![7; provider.chunk(ChunkIndex(index)).data.len()]);
            Chunk { chunk_hash: Chunk::hash_of(&data), data, ..provider.chunk(ChunkIndex(index)) }
        };
        for (index, is_genuine) in [(0, true), (1, false), (2, false)] {
            let chunk = if is_genuine { provider.chunk(ChunkIndex(index)) } else { forge(index) };
            session.chunk(chunk, is_genuine, now);
        }
        let Step::Send((_, Some(wanted))) = session.step(now) else { panic!("asked for again at once") };
        assert_eq!(wanted.to_string(), "1-2");
        for index in [1, 2] {
            assert!(!session.chunk(forge(index), false, now), "now it is seen when it comes");
            assert!(session.chunk(provider.chunk(ChunkIndex(index)), true, now));
        }
        assert_eq!(session.step(now), Step::Done(Ok(Blob::new(provider.blob.clone()))));
    }
}

#[test]
fn provider_that_is_wrong_is_blamed_whatever_was_forged_beside() {
    let provider = Provider::new(3, true);
    let (mut session, now) = session(&provider, FetchOptions { chunk_count: Some(3), ..EXTENDED });
    let wrong = |index| Chunk { data: Bytes::from_static(b"wrong"), ..provider.chunk(ChunkIndex(index)) };
    for (index, is_genuine) in [(0, true), (1, false), (2, true)] {
        session.chunk(wrong(index), is_genuine, now);
    }
    assert!(!matches!(session.step(now), Step::Done(_)));
    session.chunk(provider.chunk(ChunkIndex(1)), true, now);
    assert_eq!(session.step(now), Step::Done(Err(Failure::Corrupt)));
}

#[test]
fn nothing_that_the_hash_does_not_prove_is_believed_of_a_forged_chunk() {
    let provider = Provider::new(3, true);
    let odd = [
        Chunk { total: 4, ..provider.chunk(ChunkIndex(0)) },
        Chunk { data: vec![0; 40_000].into(), ..provider.chunk(ChunkIndex(0)) },
        Chunk { direction: None, chunk_hash: [0; 32], ..provider.chunk(ChunkIndex(0)) },
    ];
    for chunk_count in [None, Some(3)] {
        let (mut session, now) = session(&provider, FetchOptions { chunk_count, ..EXTENDED });
        for chunk in odd.clone() {
            assert!(!session.chunk(chunk, false, now));
        }
        for index in 0..3 {
            session.chunk(provider.chunk(ChunkIndex(index)), true, now);
        }
        assert!(matches!(session.step(now), Step::Done(Ok(_))), "{chunk_count:?}");
    }
    for wants_promise in [true, false] {
        let options = FetchOptions { wants_promise, chunk_count: Some(3), ..EXTENDED };
        let (mut session, now) = session(&provider, options);
        let promising =
            |expires| Chunk { expiration: Some(Timestamp(expires)), ..provider.chunk(ChunkIndex(0)) };
        session.chunk(promising(9), false, now);
        session.chunk(promising(5), true, now);
        assert_eq!(session.expires(), wants_promise.then_some(Timestamp(5)));
    }
}

/// A fetch of 60 chunks of which one comes every two seconds, and before them as many forged ones, all at once; how long it
/// lasts, and how it ends.
fn drip(is_genuine: bool, forged_count: u32) -> (Duration, Result<Blob, Failure>) {
    let provider = Provider::new(60, true);
    let (mut session, start) = session(&provider, FetchOptions { chunk_count: Some(60), ..EXTENDED });
    for index in (0..forged_count).map(ChunkIndex) {
        session.chunk(Chunk { data: Bytes::from_static(b"forged"), ..provider.chunk(index) }, false, start);
    }
    let (mut now, mut index) = (start, 0);
    loop {
        let next = start + Duration::from_secs(2) * (index + 1);
        match session.step(now) {
            Step::Send(_) => {}
            Step::Wait(until) if until < next => now = until,
            Step::Wait(_) => {
                now = next;
                session.chunk(provider.chunk(ChunkIndex(index)), is_genuine, now);
                index += 1;
            }
            Step::Done(outcome) => return (now - start, outcome),
        }
    }
}

#[test]
fn chunks_that_are_forged_slowly_do_not_keep_a_fetch_from_its_end() {
    let (took, outcome) = drip(false, 0);
    assert_eq!((took, outcome), (Pace::default().stall_timeout, Err(Failure::Silent)));
}

#[test]
fn chunks_that_are_forged_beforehand_do_not_make_those_that_come_count_for_nothing() {
    for forged_count in [0, 1, 59] {
        let (took, outcome) = drip(true, forged_count);
        assert!(outcome.is_ok() && took == Duration::from_secs(120), "{forged_count}: {took:?}");
    }
}

#[test]
fn provider_is_not_blamed_where_forged_bytes_make_a_blob_too_long() {
    // A length that the largest blob is no multiple of.
    let chunk_len = ChunkLen::at_most(384 * 1024);
    let [long, last] = [chunk_len.bytes(), 1].map(|len| Bytes::from(vec![0; usize::try_from(len).unwrap()]));
    let total = u32::try_from(BLOB_LEN_MAX.div_ceil(chunk_len.bytes())).unwrap();
    let blob: Bytes = [vec![long.clone(); total as usize - 1].concat(), last.to_vec()].concat().into();
    let options = FetchOptions { chunk_count: Some(total), chunk_len, ..EXTENDED };
    let now = instant();
    let mut session = FetchSession::new(BlobHash::of(&blob), options, Pace::default(), 1, now);
    let like = Chunk { hash: BlobHash::of(&blob), total, ..Provider::new(1, true).chunk(ChunkIndex(0)) };
    let chunk = |index, data: &Bytes| Chunk { index: ChunkIndex(index), data: data.clone(), ..like.clone() };
    session.chunk(chunk(total - 1, &long), false, now);
    for index in 0..total - 1 {
        session.chunk(chunk(index, &long), true, now);
    }
    session.chunk(chunk(total - 1, &last), true, now);
    assert_eq!(session.step(now), Step::Done(Ok(Blob::new(blob))));
}
