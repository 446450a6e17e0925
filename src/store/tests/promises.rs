//! Claims, the order of changes, lapse, and the clock (invariant I11; DESIGN "Promises").

use super::*;

fn at(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

#[test]
fn stranger_who_copies_a_blob_takes_nothing_from_its_owner() {
    let bench = Bench::new();
    let owned = bench.keep(ALICE, &blob(1), DAY).unwrap();
    bench.keep(BOB, &blob(1), DAY).unwrap();
    bench.store.delete(BOB, &[owned.hash], change(at(1), 9)).unwrap().remove(0).unwrap();
    let outcome = bench.store.delete(BOB, &[owned.hash], change(at(2), 10)).unwrap().remove(0);
    assert!(matches!(outcome, Err(StoreError::NotFound { .. })));
    let bench = bench.reopen();
    assert_eq!(bench.store.claim(&ALICE, &owned.hash), Some(owned));
    assert_eq!(bench.store.get(&owned.hash).unwrap(), blob(1));
    bench.store.delete(ALICE, &[owned.hash], change(at(3), 11)).unwrap().remove(0).unwrap();
    assert!(matches!(bench.store.get(&owned.hash), Err(StoreError::NotFound { .. })));
    assert!(
        !bench.disk.paths().iter().any(|path| path.starts_with("blobs")),
        "the bytes go with the last claim"
    );
}

/// Stores, deletes and stores again, at the given seconds; then repeats the delete.
fn replay_delete(seconds: [u64; 3], restart: impl Fn(Bench) -> Bench) {
    let bench = Bench::new();
    let [store, delete, again] = seconds.map(at);
    let hash = BlobHash::of(&blob(1));
    let expires = at(9999);
    bench.put(ALICE, &blob(1), promise(ALICE, store, 1, expires)).unwrap();
    bench.store.delete(ALICE, &[hash], change(delete, 2)).unwrap().remove(0).unwrap();
    bench.put(ALICE, &blob(1), promise(ALICE, again, 3, expires)).unwrap();
    let bench = restart(bench);
    let outcome = bench.store.delete(ALICE, &[hash], change(delete, 2)).unwrap().remove(0);
    assert!(matches!(outcome, Err(StoreError::Stale { .. })), "{seconds:?}: {outcome:?}");
    assert_eq!(bench.store.get(&hash).unwrap(), blob(1));
}

#[test]
fn replayed_delete_does_nothing_also_after_a_restart() {
    for seconds in [[0, 10, 20], [0, 0, 0], [0, 0, 1], [0, 1, 1]] {
        replay_delete(seconds, |bench| bench);
        replay_delete(seconds, Bench::reopen);
        replay_delete(seconds, |bench| {
            bench.disk.corrupt(log::LOG, |log| log.extend([1; 200]));
            bench.reopen().reopen()
        });
    }
}

#[test]
fn delete_older_than_the_newest_store_or_renew_does_nothing() {
    let bench = Bench::new();
    let claim = bench.put(ALICE, &blob(1), promise(ALICE, at(5), 1, at(100))).unwrap();
    let delete =
        |second, mark| bench.store.delete(ALICE, &[claim.hash], change(at(second), mark)).unwrap().remove(0);
    assert!(matches!(delete(4, 2), Err(StoreError::Stale { .. })));
    bench.store.renew(&[claim.hash], &promise(ALICE, at(8), 3, at(200))).unwrap();
    assert!(matches!(delete(7, 4), Err(StoreError::Stale { .. })));
    delete(8, 5).unwrap();
}

#[test]
fn replayed_store_does_not_bring_back_what_was_deleted() {
    for restart in [|bench| bench, Bench::reopen] {
        let bench = Bench::new();
        let store = promise(ALICE, at(5), 1, at(100));
        let hash = bench.put(ALICE, &blob(1), store).unwrap().hash;
        bench.store.delete(ALICE, &[hash], change(at(5), 2)).unwrap().remove(0).unwrap();
        let bench = restart(bench);
        assert!(matches!(bench.put(ALICE, &blob(1), store), Err(StoreError::Stale { .. })));
        assert_eq!(bench.store.stats().blob_count, 0);
        assert!(!bench.disk.paths().iter().any(|path| path.starts_with("blobs")), "nor its file");
        bench.put(ALICE, &blob(1), promise(ALICE, at(6), 3, at(100))).unwrap();
    }
}

#[test]
fn what_was_dropped_is_forgotten_when_nothing_can_be_replayed_any_more() {
    let bench = Bench::new();
    let claim = bench.keep(ALICE, &blob(1), DAY).unwrap();
    bench.store.delete(ALICE, &[claim.hash], change(START, 2)).unwrap().remove(0).unwrap();
    assert_eq!(bench.store.stats().dropped_count, 1);
    bench.clock.advance(Duration::from_secs(241));
    bench.store.tick().unwrap();
    assert_eq!(bench.store.stats().dropped_count, 0);
}

#[test]
fn changes_of_one_second_are_told_apart_up_to_a_limit() {
    let bench = Bench::new();
    let store = |mark| bench.put(ALICE, &blob(1), promise(ALICE, START, mark, at(100)));
    for mark in 0..16 {
        store(mark).unwrap();
    }
    assert!(matches!(store(16), Err(StoreError::Busy)));
}

#[test]
fn a_claim_is_never_shortened() {
    let bench = Bench::new();
    let claim = bench.put(ALICE, &blob(1), promise(ALICE, at(0), 1, at(500))).unwrap();
    let renewed = bench.store.renew(&[claim.hash], &promise(ALICE, at(1), 2, at(400))).unwrap();
    assert_eq!(*renewed[0].as_ref().unwrap(), claim);
    assert_eq!(bench.reopen().store.claim(&ALICE, &claim.hash), Some(claim));
}

#[test]
fn lapsed_blob_stays_readable_and_renewable_for_sixty_days() {
    let bench = Bench::new();
    let claim = bench.keep(ALICE, &blob(1), DAY).unwrap();
    bench.pass(60 * DAY);
    let bench = bench.reopen();
    assert!(bench.store.entry(&claim.hash).unwrap().is_lapsed);
    assert_eq!(bench.store.get(&claim.hash).unwrap(), blob(1));
    let now = bench.clock_now();
    let until = now.saturating_add(DAY);
    let renewed = bench.store.renew(&[claim.hash], &promise(ALICE, now, 2, until)).unwrap();
    assert_eq!(renewed[0].as_ref().unwrap().expires, until);
    bench.pass(62 * DAY);
    assert_eq!(bench.store.entry(&claim.hash), None);
    assert_eq!(bench.store.stats().used, 0);
}

#[test]
fn expiry_stands_still_while_the_clock_jumps() {
    for forth in [true, false] {
        let bench = Bench::new();
        let hash = bench.keep(ALICE, &blob(1), DAY).unwrap().hash;
        bench.pass(Duration::from_secs(20 * 3600));
        let before = bench.store.claim(&ALICE, &hash).unwrap().expires;
        let now = bench.clock_now();
        bench.clock.set(if forth { now.saturating_add(400 * DAY) } else { now.saturating_sub(3 * DAY) });
        let left = |bench: &Bench| bench.store.claim(&ALICE, &hash).unwrap().expires.0 - bench.clock_now().0;
        assert_eq!(left(&bench), before.0 - now.0, "four hours are left, as before");
        let bench = bench.reopen();
        assert_eq!(left(&bench), before.0 - now.0, "the store was down when the clock jumped");
        bench.clock.set(now);
        assert_eq!(
            bench.store.claim(&ALICE, &hash).unwrap().expires,
            before,
            "a clock that was wrong does no harm"
        );
        assert_eq!(bench.reopen().store.claim(&ALICE, &hash).unwrap().expires, before);
    }
}

#[test]
fn expiry_goes_on_while_the_store_is_down_for_less_than_a_day() {
    let bench = Bench::new();
    let hash = bench.keep(ALICE, &blob(1), Duration::from_secs(3600)).unwrap().hash;
    bench.clock.advance(Duration::from_secs(20 * 3600));
    assert!(bench.reopen().store.entry(&hash).unwrap().is_lapsed);
}

#[test]
fn claims_are_listed_in_pages_and_only_to_their_owner() {
    let bench = Bench::new();
    let mut hashes: Vec<_> =
        (0..5).map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap().hash).collect();
    bench.keep(BOB, &blob(9), DAY).unwrap();
    hashes.sort();
    let list = |after, count| -> Vec<_> {
        bench.store.list(ALICE, after, count).iter().map(|claim| claim.hash).collect()
    };
    assert_eq!(list(None, 3), hashes[..3]);
    assert_eq!(list(Some(hashes[2]), 3), hashes[3..]);
    assert_eq!(list(Some(hashes[4]), 3), []);
}
