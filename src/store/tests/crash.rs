//! What was acknowledged outlives a crash at any moment; and every sync is needed for that.

use std::collections::BTreeMap;

use super::*;

/// What the store has acknowledged so far.
#[derive(Default, Clone)]
struct Model {
    blobs: BTreeMap<BlobHash, Vec<u8>>,
    /// `None`: the claim was dropped.
    claims: BTreeMap<(ClientId, BlobHash), Option<Timestamp>>,
    /// What the step under way may have changed already.
    unsure: Option<(ClientId, BlobHash)>,
}

#[derive(Clone, Copy)]
enum Step {
    Put(ClientId, u8, AtRest),
    Renew(ClientId, u8),
    Delete(ClientId, u8),
    Damage(u8),
}

const STEPS: [Step; 14] = [
    Step::Put(ALICE, 1, AtRest::Plain),
    Step::Put(ALICE, 2, AtRest::Encrypted),
    Step::Put(BOB, 1, AtRest::Plain),
    Step::Renew(ALICE, 1),
    Step::Put(ALICE, 3, AtRest::Plain),
    Step::Delete(ALICE, 3),
    Step::Put(BOB, 4, AtRest::Plain),
    Step::Damage(4),
    Step::Put(BOB, 4, AtRest::Plain),
    Step::Put(ALICE, 4, AtRest::Encrypted),
    Step::Delete(ALICE, 1),
    Step::Renew(BOB, 2),
    Step::Put(ALICE, 5, AtRest::Plain),
    Step::Delete(BOB, 1),
];

fn options() -> StoreOptions {
    // The log is written anew several times in so short a run.
    StoreOptions { log_slack: 4, ..StoreOptions::default() }
}

/// Runs the steps until one fails, telling `after` of each that was acknowledged.
fn run(disk: &Arc<SimDisk>, mut after: impl FnMut(&Model)) -> Model {
    let clock = Arc::new(ManualClock::new(START));
    let mut model = Model::default();
    let Ok(store) = open(disk, &clock, &options()) else { return model };
    after(&model);
    for (number, step) in (1..).zip(STEPS) {
        clock.advance(Duration::from_secs(1));
        if take(step, number, &store, disk, &mut model).is_err() {
            return model;
        }
        model.unsure = None;
        after(&model);
    }
    model
}

fn take(
    step: Step,
    number: u8,
    store: &BlobStore,
    disk: &SimDisk,
    model: &mut Model,
) -> Result<(), StoreError> {
    let now = START.saturating_add(Duration::from_secs(number.into()));
    let expires = now.saturating_add(u32::from(number) * DAY);
    match step {
        Step::Put(client, bytes, at_rest) => {
            let (hash, blob) = (BlobHash::of(&blob(bytes)), blob(bytes));
            model.unsure = Some((client, hash));
            let claim = store.put(hash, &blob, promise(client, now, number, expires), at_rest)?;
            model.claims.insert((client, hash), Some(claim.expires));
            model.blobs.insert(hash, blob);
        }
        Step::Renew(client, bytes) => {
            let hash = BlobHash::of(&blob(bytes));
            model.unsure = Some((client, hash));
            let renewed = store.renew(&[hash], &promise(client, now, number, expires))?.remove(0)?;
            model.claims.insert((client, hash), Some(renewed.expires));
        }
        Step::Delete(client, bytes) => {
            let hash = BlobHash::of(&blob(bytes));
            model.unsure = Some((client, hash));
            for dropped in store.delete(client, &[hash], change(now, number))? {
                dropped?;
            }
            model.claims.insert((client, hash), None);
        }
        Step::Damage(bytes) => {
            let hash = BlobHash::of(&blob(bytes)).to_string();
            let rots = |path: &std::path::PathBuf| path.to_string_lossy().contains(&hash);
            if let Some(path) = disk.paths().into_iter().find(rots) {
                disk.corrupt(path, |file| file[5] ^= 1);
            }
            model.unsure = Some((BOB, BlobHash::of(&blob(bytes))));
            // Until it is stored again, nothing can be said about it.
            model.blobs.remove(&BlobHash::of(&blob(bytes)));
        }
    }
    Ok(())
}

/// The law: a store opened on what the crash left has every blob and claim that was acknowledged, as it was.
fn check(disk: &SimDisk, unsynced: Unsynced, model: &Model) -> Result<(), String> {
    let disk = Arc::new(disk.restart(unsynced));
    let clock = Arc::new(ManualClock::new(START.saturating_add(Duration::from_secs(60))));
    let store = open(&disk, &clock, &options()).map_err(|error| format!("does not open: {error}"))?;
    for ((client, hash), expires) in &model.claims {
        if model.unsure == Some((*client, *hash)) {
            continue;
        }
        let found = store.claim(client, hash).map(|claim| claim.expires);
        if found != *expires {
            return Err(format!("claim on {} is {found:?} instead of {expires:?}", hash.short()));
        }
        if let (Some(_), Some(blob)) = (expires, model.blobs.get(hash)) {
            let found = store.get(hash).map_err(|error| error.to_string())?;
            if found != *blob {
                return Err(format!("blob {} has other bytes", hash.short()));
            }
        }
    }
    let claimed: usize = store.stats().blob_count;
    let files = disk.paths().iter().filter(|path| path.starts_with("blobs")).count();
    if claimed != files {
        return Err(format!("{files} files for {claimed} blobs"));
    }
    Ok(())
}

fn outcomes() -> impl Iterator<Item = Unsynced> {
    [Unsynced::Lost].into_iter().chain((0..8).map(Unsynced::Torn))
}

#[test]
fn acknowledged_blobs_and_claims_outlive_a_crash_at_every_operation() {
    let whole = Arc::new(SimDisk::new());
    assert!(run(&whole, |_| ()).unsure.is_none(), "all steps work on a good disk");
    for index in 0..whole.op_count() {
        let disk = Arc::new(SimDisk::new());
        disk.crash_at(index);
        let model = run(&disk, |_| ());
        for unsynced in outcomes() {
            check(&disk, unsynced, &model)
                .unwrap_or_else(|why| panic!("crash at {index}, {unsynced:?}: {why}"));
        }
    }
}

#[test]
fn acknowledged_blobs_and_claims_outlive_an_error_at_every_operation() {
    let whole = Arc::new(SimDisk::new());
    run(&whole, |_| ());
    for index in 0..whole.op_count() {
        let disk = Arc::new(SimDisk::new());
        disk.fail_at(index);
        let model = run(&disk, |_| ());
        check(&disk, Unsynced::Lost, &model).unwrap_or_else(|why| panic!("error at {index}: {why}"));
    }
}

#[test]
fn without_any_one_sync_something_acknowledged_is_lost() {
    let whole = Arc::new(SimDisk::new());
    run(&whole, |_| ());
    for index in 0..whole.sync_count() {
        let disk = Arc::new(SimDisk::new());
        disk.ignore_sync(index);
        let mut is_kept = true;
        run(&disk, |model| is_kept &= outcomes().all(|unsynced| check(&disk, unsynced, model).is_ok()));
        assert!(!is_kept, "sync {index} is not needed");
    }
}

#[test]
fn a_put_that_failed_can_be_repeated() {
    let whole = Bench::new();
    let opened = whole.disk.op_count();
    whole.keep(ALICE, &blob(1), DAY).unwrap();
    for index in opened..whole.disk.op_count() {
        let bench = Bench::new();
        bench.disk.fail_at(index);
        let first = bench.keep(ALICE, &blob(1), DAY);
        let claim =
            bench.keep(ALICE, &blob(1), DAY).unwrap_or_else(|error| panic!("after {first:?}: {error}"));
        let bench = bench.reopen();
        assert_eq!(bench.store.claim(&ALICE, &claim.hash), Some(claim), "error at {index}: {first:?}");
        assert_eq!(bench.store.get(&claim.hash).unwrap(), blob(1));
    }
}

#[test]
fn blobs_whose_claims_cannot_be_read_are_kept_as_lapsed() {
    let bench = Bench::new();
    let claims: Vec<_> = (0..5).map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap()).collect();
    bench.disk.corrupt(log::LOG, |log| log[3 * record::SLOT_LEN] ^= 1);
    let bench = bench.reopen();
    let found = bench.store.list(ALICE, None, 10);
    assert_eq!(found.len(), 4, "damage costs the claim that it hit");
    for (number, claim) in (0..).zip(&claims) {
        assert_eq!(bench.store.get(&claim.hash).unwrap(), blob(number));
    }
    let bench = bench.reopen();
    assert_eq!(bench.store.stats().blob_count, 5);
    bench.disk.corrupt(log::LOG, Vec::clear);
    assert_eq!(bench.reopen().store.stats().blob_count, 5);
}

/// Ways in which records get lost without a trace in what is left of the log.
const LOSSES: [fn(&SimDisk); 3] = [
    |disk| disk.remove(log::LOG.as_ref()).unwrap(),
    |disk| disk.corrupt(log::LOG, Vec::clear),
    // All that comes behind the third record.
    |disk| disk.corrupt(log::LOG, |log| log[3 * record::SLOT_LEN..].fill(0)),
];

#[test]
fn whatever_happens_while_a_log_that_lost_records_is_taken_over_no_blob_goes() {
    for (loss, step) in LOSSES.iter().flat_map(|loss| (0..40).map(move |step| (loss, step))) {
        for fault in [SimDisk::crash_at, SimDisk::fail_at] {
            let bench = Bench::new();
            let claims: Vec<_> =
                (0..5).map(|number| bench.keep(ALICE, &blob(number), DAY).unwrap()).collect();
            loss(&bench.disk);
            let disk = Arc::new(bench.disk.restart(Unsynced::Lost));
            fault(&disk, step);
            let _may_fail = open(&disk, &bench.clock, &bench.options);
            let disk = Arc::new(disk.restart(Unsynced::Torn(step)));
            let store = open(&disk, &bench.clock, &bench.options).unwrap();
            for (number, claim) in (0..).zip(&claims) {
                assert_eq!(store.get(&claim.hash).unwrap(), blob(number), "fault at {step}");
            }
        }
    }
}
