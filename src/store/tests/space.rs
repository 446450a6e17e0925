//! Room: quota, eviction, damaged files, encryption at rest.

use super::*;
use crate::types::limits::STORE_BLOCK_LEN;

/// A store with room for `count` small blobs of one claim each.
fn small(count: u64) -> Bench {
    Bench::with(StoreOptions { quota: count * (STORE_BLOCK_LEN + 512), ..StoreOptions::default() })
}

#[test]
fn quota_is_kept_and_nothing_promised_is_evicted_for_it() {
    let bench = small(2);
    let kept = [1, 2].map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap());
    assert!(bench.keep(BOB, &blob(3), DAY).unwrap_err().is_full());
    assert!(bench.keep(BOB, &blob(1), DAY).unwrap_err().is_full(), "a claim has its cost too");
    let bench = bench.reopen();
    assert!(bench.keep(BOB, &blob(3), DAY).unwrap_err().is_full());
    for claim in kept {
        bench.store.get(&claim.hash).unwrap();
    }
    bench.store.delete(ALICE, &[kept[0].hash], change(START, 9)).unwrap().remove(0).unwrap();
    bench.keep(BOB, &blob(3), DAY).unwrap();
    assert_eq!(bench.store.stats().used, bench.store.stats().quota);
}

#[test]
fn lapsed_blobs_make_room_oldest_lapsed_first() {
    let bench = small(3);
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let [late, early, promised] = [(1, 4), (2, 2), (3, 90)]
        .map(|(number, time)| bench.keep(ALICE, &blob(number), hours(time)).unwrap().hash);
    bench.pass(hours(5));
    bench.keep(BOB, &blob(4), DAY).unwrap();
    assert_eq!(bench.store.entry(&early), None);
    assert!(bench.store.entry(&late).is_some());
    bench.keep(BOB, &blob(5), DAY).unwrap();
    assert_eq!(bench.store.entry(&late), None);
    assert!(bench.keep(BOB, &blob(6), DAY).unwrap_err().is_full());
    let bench = bench.reopen();
    assert!(bench.store.get(&promised).is_ok());
    assert_eq!(bench.store.stats().blob_count, 3);
}

#[test]
fn nothing_is_evicted_for_a_blob_that_fits_nowhere() {
    let bench = small(2);
    let lapsed = bench.keep(ALICE, &blob(1), Duration::ZERO).unwrap().hash;
    bench.pass(Duration::from_secs(3600));
    assert!(bench.keep(BOB, &vec![0; 100_000], DAY).unwrap_err().is_full());
    assert!(bench.store.entry(&lapsed).is_some());
}

#[test]
fn one_key_cannot_take_more_than_its_share() {
    let bench = Bench::with(StoreOptions { client_quota: 250, ..StoreOptions::default() });
    bench.keep(ALICE, &blob(1), DAY).unwrap();
    let second = bench.keep(ALICE, &blob(2), DAY).unwrap();
    assert!(bench.keep(ALICE, &blob(3), DAY).unwrap_err().is_full());
    bench.keep(BOB, &blob(3), DAY).unwrap();
    bench.store.delete(ALICE, &[second.hash], change(START, 99)).unwrap().remove(0).unwrap();
    bench.keep(ALICE, &blob(3), DAY).unwrap();
}

#[test]
fn claims_are_bounded_in_number() {
    let bench = Bench::with(StoreOptions { claim_count_max: 2, ..StoreOptions::default() });
    for number in 0..2 {
        bench.keep(ALICE, &blob(number), DAY).unwrap();
    }
    assert!(matches!(bench.keep(ALICE, &blob(2), DAY), Err(StoreError::TooManyClaims { count_max: 2 })));
    bench.keep(ALICE, &blob(1), DAY).unwrap();
}

#[test]
fn full_disk_is_said_and_harms_nothing() {
    let bench = Bench::new();
    let kept = bench.keep(ALICE, &blob(1), DAY).unwrap();
    let used: usize = bench.disk.paths().iter().map(|path| bench.disk.read(path).unwrap().len()).sum();
    for room in [0, 50, 120] {
        bench.disk.set_capacity(Some(used + room));
        let error = bench.keep(ALICE, &blob(2), DAY).unwrap_err();
        assert!(error.is_full(), "{error:?}");
    }
    bench.disk.set_capacity(None);
    let late = bench.keep(ALICE, &blob(2), DAY).unwrap();
    let bench = bench.reopen();
    for claim in [kept, late] {
        assert_eq!(bench.store.claim(&ALICE, &claim.hash), Some(claim));
        bench.store.get(&claim.hash).unwrap();
    }
}

#[test]
fn bytes_that_are_not_the_named_blob_are_refused() {
    let bench = Bench::new();
    let outcome =
        bench.store.put(BlobHash::of(b"other"), b"blob", promise(ALICE, START, 1, START), AtRest::Plain);
    assert!(matches!(outcome, Err(StoreError::HashMismatch { .. })));
    assert_eq!(bench.store.stats().blob_count, 0);
}

#[test]
fn damaged_file_is_never_served_and_a_later_store_mends_it() {
    for at_rest in [AtRest::Plain, AtRest::Encrypted] {
        let bench = Bench::new();
        let hash = BlobHash::of(&blob(1));
        let store = |mark| bench.store.put(hash, &blob(1), promise(ALICE, START, mark, START), at_rest);
        store(1).unwrap();
        bench.disk.corrupt(bench.path(&hash), |file| file[40] ^= 4);
        assert!(matches!(bench.store.get(&hash), Err(StoreError::Integrity { .. })));
        assert_eq!(bench.store.entry(&hash), None, "a stat does not promise what cannot be read");
        assert_eq!(bench.store.claim(&ALICE, &hash), None);
        store(2).unwrap();
        assert_eq!(bench.store.get(&hash).unwrap(), blob(1));
        assert!(bench.store.entry(&hash).is_some());
        bench.disk.corrupt(bench.path(&hash), |file| file.truncate(60));
        assert!(matches!(bench.store.get_range(&hash, 0, 100), Err(StoreError::Integrity { .. })));
        store(3).unwrap();
        assert_eq!(bench.reopen().store.get(&hash).unwrap(), blob(1));
    }
}

#[test]
fn blob_whose_file_is_gone_is_there_no_more() {
    let bench = Bench::new();
    let hash = bench.keep(ALICE, &blob(1), DAY).unwrap().hash;
    bench.disk.remove(&bench.path(&hash)).unwrap();
    bench.disk.sync_dir(std::path::Path::new("blobs")).unwrap();
    let bench = bench.reopen();
    assert_eq!(bench.store.claim(&ALICE, &hash), None);
    assert_eq!(bench.store.stats().used, 0);
}

#[test]
fn encrypted_blob_lies_encrypted_and_reads_plain() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..200).collect();
    let hash = BlobHash::of(&bytes);
    let store = |bench: &Bench, client, mark, at_rest| {
        bench.store.put(hash, &bytes, promise(client, START, mark, START), at_rest).unwrap();
    };
    let lies_plain = |bench: &Bench| {
        let holds =
            |path: &std::path::PathBuf| bench.disk.read(path).unwrap().windows(8).any(|w| w == &bytes[..8]);
        bench.disk.paths().iter().any(holds)
    };
    store(&bench, ALICE, 1, AtRest::Plain);
    assert!(lies_plain(&bench));
    store(&bench, BOB, 2, AtRest::Encrypted);
    assert!(!lies_plain(&bench), "once somebody asked for it, it is encrypted");
    store(&bench, ALICE, 3, AtRest::Plain);
    assert!(!lies_plain(&bench));
    let bench = bench.reopen();
    assert_eq!(bench.store.get(&hash).unwrap(), bytes);
    assert_eq!(bench.store.get_range(&hash, 70, 64).unwrap(), bytes[70..134]);
    bench.store.delete(ALICE, &[hash], change(START, 4)).unwrap().remove(0).unwrap();
    bench.store.delete(BOB, &[hash], change(START, 5)).unwrap().remove(0).unwrap();
    assert!(!bench.disk.paths().iter().any(|path| path.starts_with("blobs")));
}

#[test]
fn secrets_are_made_once_and_never_replaced() {
    let bench = Bench::new();
    let secret = bench.store.secret("provider.key").unwrap();
    let bench = bench.reopen();
    assert_eq!(bench.store.secret("provider.key").unwrap(), secret);
    bench.disk.corrupt("provider.key", |text| text.truncate(10));
    assert!(matches!(bench.store.secret("provider.key"), Err(StoreError::Damaged { .. })));
    bench.disk.corrupt("key", |text| text.truncate(10));
    assert!(matches!(open(&bench.disk, &bench.clock, &bench.options), Err(StoreError::Damaged { .. })));
}
