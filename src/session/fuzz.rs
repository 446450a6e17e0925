//! What fuzzing calls (`fuzz/`): the bytes are what the other side does, and when.

pub mod pair;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::{
    Attests, Failure, FetchOptions, FetchSession, Pace, Reassembly, ReassemblyLimits, Step, StoreSend,
    StoreSession, Try, UploadKey,
};
use crate::types::{Blob, BlobHash, ChunkIndex, ChunkLen, ClientId, ProviderId, Timestamp};
use crate::wire::{Answer, BlobInfo, Chunk, ChunkSet, ErrorCode, Status, StatusKind, Upload};

/// The body of a target. Sessions need a time to begin at; which one makes no difference.
pub type Target = fn(&[u8], Instant);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 4] = [
    ("session_store", store),
    ("session_fetch", fetch),
    ("session_reassembly", reassembly),
    ("session_pair", pair::pair),
];

const HASH: BlobHash = BlobHash::new([7; 32]);
const WINDOW: u32 = 5;
/// More steps than a conversation of a few chunks can take.
const STEP_COUNT_MAX: u32 = 20_000;

/// Stands for the signature of a chunk, by whether it is good.
impl Attests for bool {
    fn holds_for(&self, _data: &[u8]) -> bool {
        *self
    }
}

/// A store, whatever the provider answers: it ends, and keeps its window.
pub fn store(script: &[u8], start: Instant) {
    let total = u32::from(script.first().copied().unwrap_or(0) % 20);
    let mut session = StoreSession::new((HASH, u64::from(total), total), WINDOW, Pace::default(), 1, start);
    let mut script = script.chunks_exact(3);
    let (mut now, mut tries) = (start, 0);
    for _ in 0..STEP_COUNT_MAX {
        match session.step(now) {
            Step::Send(StoreSend::Request(number)) => tries = number.0 + 1,
            Step::Send(StoreSend::Chunk(index)) => assert!(index.0 < total),
            Step::Done(_) => return,
            Step::Wait(until) => {
                assert!(until > now, "a wait that is over is no wait");
                let Some(&[what, mask, when]) = script.next() else {
                    now = until;
                    continue;
                };
                now += Duration::from_millis(u64::from(when) * 16);
                let to = Try(u32::from(what >> 3) % tries.max(1));
                match what % 8 {
                    0 => session.answer(&Answer::Stored(info(total)), to, now),
                    1..=5 => {
                        session.answer(
                            &Answer::Missing { hash: HASH, chunks: missing(mask, total) },
                            to,
                            now,
                        );
                    }
                    6 => session.status(&status(StatusKind::Error(ErrorCode::Busy)), now),
                    _ => session.status(&status(StatusKind::Processing), now),
                }
            }
        }
        assert!(session.in_flight_count() <= WINDOW);
    }
    panic!("the conversation does not end");
}

/// A fetch, whatever the provider sends, or others in its name: it ends, what it brings has the right hash, and the
/// provider is found to be wrong only if it was.
pub fn fetch(script: &[u8], start: Instant) {
    let [total, mode] = [0, 1].map(|at| script.get(at).copied().unwrap_or(0));
    let total = u32::from(total % 20);
    let blob: Bytes = (0..total * 2).map(|byte| byte.to_le_bytes()[0]).collect();
    let hash = BlobHash::of(&blob);
    let chunk_count = (mode & 2 == 0).then_some(total);
    let options = FetchOptions {
        chunk_count,
        chunk_len: ChunkLen::BASE,
        window: WINDOW,
        takes_ranges: mode & 1 == 0,
        wants_promise: mode & 4 == 0,
    };
    let mut session = FetchSession::new(hash, options, Pace::default(), 1, start);
    let mut script = script.chunks_exact(3);
    let (mut now, mut tries, mut is_wrong) = (start, 0, false);
    for _ in 0..STEP_COUNT_MAX {
        match session.step(now) {
            Step::Send((number, _)) => tries = number.0 + 1,
            Step::Done(outcome) => {
                assert!(is_wrong || outcome != Err(Failure::Corrupt), "only who was wrong is called so");
                return assert!(outcome.is_err() || outcome.map(Blob::into_bytes) == Ok(blob));
            }
            Step::Wait(until) => {
                assert!(until > now, "a wait that is over is no wait");
                let Some(&[what, index, when]) = script.next() else {
                    now = until;
                    continue;
                };
                now += Duration::from_millis(u64::from(when) * 16);
                let to = Try(u32::from(what >> 3) % tries.max(1));
                match what % 8 {
                    0 => session.answer(&Answer::Available(BlobInfo { hash, ..info(total) }), to, now),
                    1 => session.status(&status(StatusKind::Error(ErrorCode::Busy)), now),
                    kind => {
                        let is_genuine = index & 0x80 == 0;
                        is_wrong |= is_genuine && (kind > 5 || total == 0);
                        session.chunk(chunk(&blob, hash, index & 0x7f, total, kind), is_genuine, now);
                    }
                }
            }
        }
    }
    panic!("the conversation does not end");
}

/// Uploads, whatever clients send, or others in their names: limits are kept, and what was forged is missing again, once.
pub fn reassembly(script: &[u8], start: Instant) {
    let limits = ReassemblyLimits {
        count_max: 4,
        len_max: 200_000,
        client_count_max: 2,
        client_len_max: 150_000,
        rest_max: Duration::from_secs(10),
        age_max: Duration::from_secs(100),
    };
    let longer = ChunkLen::at_most(65_536);
    let mut uploads = Reassembly::new(limits);
    let mut now = start;
    for step in script.chunks_exact(4) {
        let [what, who, size, when] = *step else { continue };
        now += Duration::from_millis(u64::from(when) * 16);
        let client = ClientId::new([who % 4; 32]);
        let key = UploadKey { client, hash: BlobHash::new([who / 4 % 3; 32]) };
        // So that chunks of whole sizes make blobs of whole sizes.
        let size = u64::from(size) * 1_024;
        let chunk_len = if what & 8 == 0 { ChunkLen::BASE } else { longer };
        match what % 8 {
            0 | 1 => drop(uploads.begin(key, (size, chunk_len), what, now)),
            2 => drop(uploads.finish(key)),
            3 => uploads.sweep(now),
            _ => {
                let data = vec![what; usize::try_from(size.min(chunk_len.bytes())).unwrap_or(0)].into();
                let (index, total) = (ChunkIndex(u32::from(what / 8 % 8)), u32::from(what / 64) + 1);
                let chunk = Upload { provider: ProviderId::new([0; 32]), hash: key.hash, index, total, data };
                if let Some(assembled) = uploads.chunk(key, &chunk, who & 0x40 == 0, now) {
                    let count = |chunk_len: ChunkLen| chunk_len.count(assembled.blob.len() as u64);
                    assert!([ChunkLen::BASE, longer].map(count).contains(&Some(total)));
                    let forged = assembled.forged();
                    if forged == ChunkSet::empty() {
                        assert!(uploads.finish(key).is_some());
                        continue;
                    }
                    uploads.reopen(key, &assembled, &forged, now);
                    assert!(uploads.take_complete(key).is_none());
                    let mut indexes = (0..total).map(ChunkIndex);
                    assert!(indexes.all(|index| uploads.wants(key, index, total) == forged.contains(index)));
                }
            }
        }
        assert!(uploads.count() <= limits.count_max && uploads.len() <= limits.len_max);
    }
    uploads.sweep(now + limits.age_max);
    assert_eq!((uploads.count(), uploads.len()), (0, 0), "nothing is left behind");
}

fn info(total: u32) -> BlobInfo {
    BlobInfo { hash: HASH, size: u64::from(total), chunks: total, expires: Timestamp(1) }
}

fn missing(mask: u8, total: u32) -> ChunkSet {
    (0..total + 2).filter(|index| mask.rotate_left(*index) & 1 == 1).map(ChunkIndex).collect()
}

/// A chunk of two bytes: right, of another blob, wrong, or of another count.
fn chunk(blob: &Bytes, hash: BlobHash, index: u8, total: u32, kind: u8) -> Chunk {
    let index = u32::from(index) % total.max(1);
    let at = (index as usize * 2).min(blob.len());
    let data = blob.slice(at..(at + 2).min(blob.len()));
    let hash = if kind == 5 { HASH } else { hash };
    let data = if kind == 6 { Bytes::from_static(b"no") } else { data };
    let total = if kind == 7 { total + 1 } else { total };
    let chunk_hash = Chunk::hash_of(&data);
    Chunk { hash, index: ChunkIndex(index), total, chunk_hash, expiration: None, direction: None, data }
}

fn status(kind: StatusKind) -> Status {
    let (request, requester) = (nostr::EventId::all_zeros(), ClientId::new([0; 32]));
    Status { request, requester, number: None, kind, text: String::new() }
}
