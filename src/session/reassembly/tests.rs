//! Limits, order, and chunks that do not belong.

use std::cell::Cell;

use super::*;
use crate::session::chunking;
use crate::types::{ChunkIndex, ProviderId};

const BASE: ChunkLen = ChunkLen::BASE;

const LIMITS: ReassemblyLimits = ReassemblyLimits {
    count_max: 6,
    len_max: 500_000,
    client_count_max: 3,
    client_len_max: 250_000,
    rest_max: Duration::from_secs(10),
    age_max: Duration::from_secs(60),
};

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin: only differences matter")]
fn start() -> Instant {
    Instant::now()
}

/// Nothing is under way; chunks are attested by whether they are their client's.
fn nothing() -> Reassembly<(), bool> {
    Reassembly::new(LIMITS)
}

fn key(client: u8, blob: &[u8]) -> UploadKey {
    UploadKey { client: ClientId::new([client; 32]), hash: BlobHash::of(blob) }
}

fn chunk(blob: &[u8], index: u32) -> Upload {
    chunk_of(BASE, blob, index)
}

fn chunk_of(chunk_len: ChunkLen, blob: &[u8], index: u32) -> Upload {
    let total = chunk_len.count(blob.len() as u64).unwrap();
    let data = chunking::chunk(&Bytes::copy_from_slice(blob), ChunkIndex(index), chunk_len);
    let (provider, hash) = (ProviderId::new([0; 32]), BlobHash::of(blob));
    Upload { provider, hash, index: ChunkIndex(index), total, data }
}

/// Takes in a chunk that is its client's.
fn add(reassembly: &mut Reassembly<(), bool>, key: UploadKey, chunk: &Upload, now: Instant) -> Option<Bytes> {
    reassembly.chunk(key, chunk, true, now).map(|assembled| assembled.blob)
}

fn blob(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn chunks_in_any_order_and_twice_are_the_blob_once() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(100_000));
    let key = key(1, &blob);
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::New));
    for index in [3, 1, 3, 0] {
        assert_eq!(add(&mut reassembly, key, &chunk(&blob, index), now), None);
    }
    let missing = ChunkSet::parse("2").unwrap();
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::Known(missing)));
    assert_eq!(add(&mut reassembly, key, &chunk(&blob, 2), now), Some(blob.clone().into()));
    assert_eq!(add(&mut reassembly, key, &chunk(&blob, 2), now), None);
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::Complete));
    reassembly.finish(key);
    assert_eq!((reassembly.count(), reassembly.len, reassembly.clients.len()), (0, 0, 0));
}

#[test]
fn a_blob_of_one_chunk_is_that_chunk() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(1_000));
    let (key, chunk) = (key(1, &blob), chunk(&blob, 0));
    assert_eq!(reassembly.begin(key, (1_000, BASE), (), now), Ok(Begun::New));
    let whole = add(&mut reassembly, key, &chunk, now).unwrap();
    assert_eq!((&whole[..], whole.as_ptr()), (&blob[..], chunk.data.as_ptr()), "and not a copy of it");
    assert_eq!(reassembly.take_complete(key).map(|assembled| assembled.blob), None);
}

#[test]
fn upload_that_is_begun_with_chunks_of_another_length_begins_anew() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(100_000));
    let (key, longer) = (key(1, &blob), ChunkLen::at_most(65_536));
    assert_eq!(reassembly.begin(key, (100_000, longer), (), now), Ok(Begun::New));
    assert_eq!(add(&mut reassembly, key, &chunk_of(longer, &blob, 0), now), None);
    let missing = ChunkSet::parse("1").unwrap();
    assert_eq!(reassembly.begin(key, (100_000, longer), (), now), Ok(Begun::Known(missing)));
    assert_eq!(
        add(&mut reassembly, key, &chunk(&blob, 1), now),
        None,
        "a short one in the place of a long one"
    );
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::New));
    assert_eq!(add(&mut reassembly, key, &chunk_of(longer, &blob, 1), now), None, "a long one that was late");
    for index in [0, 1, 2] {
        assert_eq!(add(&mut reassembly, key, &chunk(&blob, index), now), None);
    }
    assert_eq!(reassembly.len(), 100_000, "it counts once");
    assert_eq!(add(&mut reassembly, key, &chunk(&blob, 3), now), Some(blob.into()));
    assert_eq!(reassembly.begin(key, (100_000, longer), (), now), Ok(Begun::Complete));
}

#[test]
fn empty_blob_is_complete_from_the_beginning() {
    let (mut reassembly, key) = (nothing(), key(1, b""));
    assert_eq!(reassembly.begin(key, (0, BASE), (), start()), Ok(Begun::New));
    assert_eq!(reassembly.take_complete(key).map(|assembled| assembled.blob), Some(Bytes::new()));
    assert_eq!(reassembly.take_complete(key).map(|assembled| assembled.blob), None);
}

#[test]
fn chunk_that_does_not_belong_is_ignored() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(40_000));
    let own = key(1, &blob);
    assert_eq!(add(&mut reassembly, own, &chunk(&blob, 0), now), None, "of an unknown upload");
    reassembly.begin(own, (40_000, BASE), (), now).unwrap();
    assert_eq!(add(&mut reassembly, key(2, &blob), &chunk(&blob, 0), now), None, "of another client");
    let good = chunk(&blob, 1);
    let bad = [
        Upload { total: 3, ..good.clone() },
        Upload { index: ChunkIndex(2), ..good.clone() },
        Upload { index: ChunkIndex(u32::MAX), ..good.clone() },
        Upload { index: ChunkIndex(0), ..good.clone() },
        Upload { data: good.data.slice(1..), ..good },
    ];
    for bad in bad {
        assert_eq!(add(&mut reassembly, own, &bad, now), None);
    }
    assert_eq!(reassembly.begin(own, (40_000, BASE), (), now), Ok(Begun::Known(ChunkSet::all(2))));
    let conflict = BeginError::Conflict { known: 40_000, size: 40_001 };
    assert_eq!(reassembly.begin(own, (40_001, BASE), (), now), Err(conflict));
}

#[test]
fn uploads_are_bounded_in_number_and_bytes_for_each_client_and_for_all() {
    let (mut reassembly, now) = (nothing(), start());
    let mut begin = |client, name: u8, size| reassembly.begin(key(client, &[name]), (size, BASE), (), now);
    for name in 0..3 {
        begin(1, name, 10).unwrap();
    }
    assert_eq!(begin(1, 3, 10), Err(BeginError::Busy), "uploads of one client");
    assert_eq!(begin(2, 0, 250_001), Err(BeginError::Busy), "bytes of one client");
    begin(2, 0, 250_000).unwrap();
    assert_eq!(begin(3, 0, 249_971), Err(BeginError::Busy), "bytes of all");
    begin(3, 0, 10).unwrap();
    begin(4, 0, 10).unwrap();
    assert_eq!(begin(5, 0, 10), Err(BeginError::Busy), "uploads of all");
    assert_eq!(begin(5, 0, u64::MAX), Err(BeginError::Busy));
    assert_eq!((reassembly.count(), reassembly.len()), (6, 250_050));
}

#[test]
fn what_rests_or_takes_too_long_makes_room() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(250_000));
    let (slow, resting, new) = (key(1, &blob), key(2, &blob), key(3, &blob));
    reassembly.begin(slow, (250_000, BASE), (), now).unwrap();
    reassembly.begin(resting, (250_000, BASE), (), now).unwrap();
    let later = now + Duration::from_secs(9);
    add(&mut reassembly, slow, &chunk(&blob, 0), later);
    assert_eq!(reassembly.begin(new, (250_000, BASE), (), later), Err(BeginError::Busy));
    assert_eq!(reassembly.begin(new, (250_000, BASE), (), now + Duration::from_secs(10)), Ok(Begun::New));
    assert_eq!(reassembly.begin(resting, (250_000, BASE), (), later), Err(BeginError::Busy), "it is gone");
    for (seconds, index) in [(18, 1), (27, 2), (36, 3), (45, 4), (54, 5)] {
        add(&mut reassembly, slow, &chunk(&blob, index), now + Duration::from_secs(seconds));
    }
    reassembly.sweep(now + Duration::from_secs(60));
    assert_eq!(reassembly.count(), 0, "however slowly it goes on");
}

#[test]
fn forged_chunks_are_missing_again_and_seen_from_then_on_when_they_come() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(100_000));
    let key = key(1, &blob);
    let forge = |index| {
        let good = chunk(&blob, index);
        Upload { data: vec![7; good.data.len()].into(), ..good }
    };
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::New));
    for (index, is_genuine) in [(0, true), (1, false), (1, true), (2, true)] {
        let chunk = if is_genuine { chunk(&blob, index) } else { forge(index) };
        assert!(reassembly.chunk(key, &chunk, is_genuine, now).is_none());
    }
    let assembled = reassembly.chunk(key, &forge(3), false, now).unwrap();
    let forged = assembled.forged();
    assert_eq!(forged.to_string(), "1,3");
    reassembly.reopen(key, &assembled, &forged, now);
    reassembly.reopen(key, &assembled, &ChunkSet::all(4), now);
    assert_eq!(reassembly.begin(key, (100_000, BASE), (), now), Ok(Begun::Known(forged)), "once");
    for index in [1, 3] {
        assert!(reassembly.chunk(key, &forge(index), false, now).is_none());
    }
    assert_eq!(add(&mut reassembly, key, &chunk(&blob, 3), now), None);
    let assembled = reassembly.chunk(key, &chunk(&blob, 1), true, now).unwrap();
    assert_eq!((&assembled.blob[..], assembled.forged()), (&blob[..], ChunkSet::empty()));
    assert_eq!(reassembly.len(), 100_000, "it counts once");
    reassembly.finish(key);
    reassembly.reopen(key, &assembled, &ChunkSet::all(4), now);
    assert_eq!((reassembly.count(), reassembly.len()), (0, 0), "what is over does not come back");
}

#[test]
fn client_that_sent_a_wrong_blob_itself_forged_nothing() {
    let (mut reassembly, now, blob) = (nothing(), start(), blob(1_000));
    let (key, chunk) = (key(1, &blob), chunk(&blob, 0));
    reassembly.begin(key, (1_000, BASE), (), now).unwrap();
    let wrong = Upload { data: vec![7; 1_000].into(), ..chunk };
    assert_eq!(reassembly.chunk(key, &wrong, true, now).unwrap().forged(), ChunkSet::empty());
}

#[test]
fn flood_of_forged_chunks_is_left_aside_until_the_client_asks_again() {
    struct Counted<'a>(bool, &'a Cell<u32>);
    impl Attests for Counted<'_> {
        fn holds_for(&self, _data: &[u8]) -> bool {
            self.1.set(self.1.get() + 1);
            self.0
        }
    }
    let (mut reassembly, now, blob) = (Reassembly::new(LIMITS), start(), blob(40_000));
    let (key, checks) = (key(1, &blob), Cell::new(0));
    let attest = |is_genuine| Counted(is_genuine, &checks);
    reassembly.begin(key, (40_000, BASE), (), now).unwrap();
    assert!(reassembly.chunk(key, &chunk(&blob, 0), attest(true), now).is_none());
    let assembled = reassembly.chunk(key, &chunk(&blob, 1), attest(false), now).unwrap();
    reassembly.reopen(key, &assembled, &assembled.forged(), now);
    checks.set(0);
    for _ in 0..1_000 {
        assert!(reassembly.chunk(key, &chunk(&blob, 1), attest(false), now).is_none());
    }
    assert!(checks.get() < 10, "{} checks", checks.get());
    assert!(reassembly.chunk(key, &chunk(&blob, 1), attest(true), now).is_none(), "left aside");
    let missing = ChunkSet::parse("1").unwrap();
    assert_eq!(reassembly.begin(key, (40_000, BASE), (), now), Ok(Begun::Known(missing)));
    assert!(reassembly.chunk(key, &chunk(&blob, 1), attest(true), now).is_some());
}
