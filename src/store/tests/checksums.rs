//! What is read is checked by its checksum, and by its name where there is none.

use super::*;
use crate::store::record::{Record, SLOT_LEN};

fn checksum(bench: &Bench, hash: &BlobHash) -> Option<Checksum> {
    bench.store.ledger.read(|index| index.blob(hash).unwrap().checksum)
}

fn set_checksum(bench: &Bench, hash: &BlobHash, checksum: Option<Checksum>) {
    bench.store.ledger.change(|changing| changing.index_mut().blob_mut(hash).unwrap().checksum = checksum);
}

/// All records of the log.
fn records(disk: &SimDisk) -> Vec<Record> {
    log::read_bytes(&disk.peek(log::LOG).unwrap()).unwrap().0
}

/// Makes a log of version 2 of the log that is there.
fn make_old(disk: &SimDisk) {
    let old = |record| match record {
        Record::Version(_) => Record::Version(2),
        Record::Claim { hash, client, len, expires, change, .. } => {
            Record::Claim { hash, client, len, expires, change, checksum: None }
        }
        record => record,
    };
    let log = (0..).zip(records(disk)).flat_map(|(at, record)| old(record).encode(at)).collect();
    disk.corrupt(log::LOG, |file| *file = log);
}

#[test]
fn a_checksum_outlives_restarts_renewals_and_the_claim_it_came_with() {
    let bench = Bench::with(StoreOptions { log_slack: 0, ..StoreOptions::default() });
    let hash = bench.keep(ALICE, &blob(1), DAY).unwrap().hash;
    let expected = Some(Checksum::of(&blob(1)));
    assert_eq!(checksum(&bench, &hash), expected);
    let renewal = promise(BOB, START.saturating_add(DAY / 2), 7, START.saturating_add(2 * DAY));
    bench.store.renew(&[hash], &renewal).unwrap().remove(0).unwrap();
    let later = change(START.saturating_add(DAY), 8);
    bench.store.delete(ALICE, &[hash], later).unwrap().remove(0).unwrap();
    let bench = bench.reopen();
    assert_eq!(checksum(&bench, &hash), expected);
    // The log is written anew several times.
    for number in 2..20 {
        bench.keep(BOB, &blob(number), DAY).unwrap();
    }
    let bench = bench.reopen();
    assert_eq!(checksum(&bench, &hash), expected);
    assert_eq!(bench.store.get(&hash).unwrap(), blob(1));
}

#[test]
fn what_has_its_checksum_is_not_hashed_and_what_has_not_is() {
    let bench = Bench::new();
    let hash = bench.keep(ALICE, &blob(1), DAY).unwrap().hash;
    for unknown in [None, Some(Checksum::of(b"other"))] {
        set_checksum(&bench, &hash, unknown);
        assert_eq!(bench.store.get(&hash).unwrap(), blob(1), "its name is what counts");
    }
    bench.disk.corrupt(bench.path(&hash), |file| file[3] ^= 1);
    let rotten = bench.disk.peek(bench.path(&hash)).unwrap();
    set_checksum(&bench, &hash, Some(Checksum::of(&rotten)));
    assert_eq!(bench.store.get(&hash).unwrap(), rotten);
    for unknown in [None, Some(Checksum::of(&blob(1)))] {
        set_checksum(&bench, &hash, unknown);
        assert!(matches!(bench.store.get(&hash), Err(StoreError::Integrity { .. })));
    }
}

#[test]
fn a_log_without_checksums_is_read_and_written_anew() {
    let bench = Bench::new();
    let hash = bench.keep(ALICE, &blob(1), DAY).unwrap().hash;
    make_old(&bench.disk);
    let bench = bench.reopen();
    assert_eq!((checksum(&bench, &hash), bench.store.get(&hash).unwrap()), (None, blob(1).into()));
    bench.keep(BOB, &blob(1), DAY).unwrap();
    assert_eq!(records(&bench.disk)[0], Record::Version(record::VERSION));
    let bench = bench.reopen();
    assert_eq!(checksum(&bench, &hash), Some(Checksum::of(&blob(1))));
    assert_eq!(bench.disk.peek(log::LOG).unwrap().len() % SLOT_LEN, 0);
}

#[test]
fn whatever_happens_while_an_old_and_damaged_log_is_taken_over_no_blob_goes() {
    let faults = [SimDisk::crash_at, SimDisk::fail_at];
    for (fault, step) in (0..2).flat_map(|fault| (0..60).map(move |step| (fault, step))) {
        let bench = Bench::new();
        let claims: Vec<_> = (0..5).map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap()).collect();
        make_old(&bench.disk);
        bench.disk.corrupt(log::LOG, |log| log[3 * SLOT_LEN] ^= 1);
        let disk = Arc::new(bench.disk.restart(Unsynced::Lost));
        faults[fault](&disk, step);
        if let Ok(store) = open(&disk, &bench.clock, &bench.options) {
            let now = bench.clock_now();
            let wish = promise(BOB, now, mark_of(&blob(9)), now.saturating_add(DAY));
            let _may_fail = store.put(BlobHash::of(&blob(9)), &blob(9), wish, AtRest::Plain);
        }
        let disk = Arc::new(disk.restart(Unsynced::Torn(step)));
        let store = open(&disk, &bench.clock, &bench.options).unwrap();
        for (number, claim) in (0..).zip(&claims) {
            assert_eq!(store.get(&claim.hash).unwrap(), blob(number), "fault {fault} at {step}");
        }
    }
}

#[test]
fn a_full_disk_keeps_nobody_from_an_old_log() {
    let bench = Bench::new();
    let claims: Vec<_> = (0..5).map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap()).collect();
    make_old(&bench.disk);
    let disk = Arc::new(bench.disk.restart(Unsynced::Lost));
    let len = |path: &std::path::PathBuf| disk.peek(path).unwrap().len();
    // Room for a few records, and not for a second log.
    disk.set_capacity(Some(disk.paths().iter().map(len).sum::<usize>() + 3 * SLOT_LEN));
    let store = open(&disk, &bench.clock, &bench.options).unwrap();
    store.delete(ALICE, &[claims[0].hash], change(START.saturating_add(DAY), 1)).unwrap().remove(0).unwrap();
    drop(store);
    assert_eq!(records(&disk)[0], Record::Version(2));
    disk.set_capacity(None);
    let store = open(&disk, &bench.clock, &bench.options).unwrap();
    store.delete(ALICE, &[claims[1].hash], change(START.saturating_add(DAY), 2)).unwrap().remove(0).unwrap();
    assert_eq!(records(&disk)[0], Record::Version(record::VERSION));
    assert_eq!(store.stats().blob_count, 3);
}
