//! A store and what it has promised: the bytes are a history of stores, renewals, deletes, replays, bit rot, disk errors,
//! crashes and passing time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::env::{Clock, Env, ManualClock};
use crate::store::{
    AtRest, BlobStore, Change, Claim, EventMark, Promise, SimDisk, StoreError, StoreOptions, Unsynced,
};
use crate::types::{BlobHash, ClientId, Timestamp};

const START: Timestamp = Timestamp(1_000_000);
/// Lengths of the blobs that there are, on both sides of a block.
const LENGTHS: [usize; 6] = [0, 100, 4_096, 4_097, 4_500, 8_193];
/// Room for some of them, not for all.
const QUOTA: u64 = 7 * 4_096;
/// Steps of a history that are taken: what the rest could show, a shorter one can.
const STEP_COUNT_MAX: usize = 200;
/// Replays of events of this age are the store's to see; older ones are refused by their time.
const REPLAY_AGE_MAX: Duration = Duration::from_secs(100);
/// Deletes and stores that a replay can choose from.
const REMEMBERED_COUNT: usize = 8;

/// A client's claim on a blob, both by their number.
type Key = (u8, u8);

/// Any history: what was acknowledged holds, whatever else happens, and nothing wrong is ever given out.
pub fn model(script: &[u8]) {
    let mut bench = Bench::start();
    for step in script.as_chunks::<4>().0.iter().take(STEP_COUNT_MAX) {
        let [what, key, amount, fault] = *step;
        bench.clock.advance(Duration::from_secs(1));
        bench.arm(fault);
        let outcome = bench.take(what, (key % 2, key / 2 % 6), amount);
        bench.disk.fail_at(u64::MAX);
        if outcome.is_err() || fault >= CRASHES {
            bench.restart(amount);
        }
        bench.check();
    }
}

/// From this fault on the machine stops in the middle of the step, or right after it.
const CRASHES: u8 = 200;

struct Bench {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    store: Option<BlobStore>,
    changes: u64,
    /// What was acknowledged: until when a claim holds, `None` if it was dropped. What is not here is uncertain.
    sure: BTreeMap<Key, Option<Timestamp>>,
    deleted: Vec<(Key, Change)>,
    stored: Vec<(Key, Change)>,
}

impl Bench {
    fn start() -> Self {
        let (disk, clock) = (Arc::new(SimDisk::new()), Arc::new(ManualClock::new(START)));
        let (changes, sure, deleted, stored) = Default::default();
        let mut bench = Self { disk, clock, store: None, changes, sure, deleted, stored };
        bench.open();
        bench
    }

    fn open(&mut self) {
        let options = StoreOptions {
            quota: QUOTA,
            lapse_keep: Duration::from_secs(3 * 24 * 3600),
            log_slack: 4,
            ..StoreOptions::default()
        };
        let env = Env::seeded(1, self.clock.clone());
        let opened = BlobStore::open(self.disk.clone(), options, env);
        let store = opened.expect("what a store has left opens again");
        let files = self.disk.paths().iter().filter(|path| path.starts_with("blobs")).count();
        assert_eq!(store.stats().blob_count, files, "files and blobs are the same");
        self.store = Some(store);
    }

    fn restart(&mut self, how: u8) {
        self.store = None;
        let unsynced = if how == 0 { Unsynced::Lost } else { Unsynced::Torn(how.into()) };
        self.disk = Arc::new(self.disk.restart(unsynced));
        self.open();
    }

    /// Something fails within the next disk operations, or nothing.
    fn arm(&self, fault: u8) {
        let at = self.disk.op_count() + u64::from(fault % 16);
        match fault {
            0..100 => {}
            100..CRASHES => self.disk.fail_at(at),
            CRASHES.. => self.disk.crash_at(at),
        }
    }

    fn store(&self) -> &BlobStore {
        self.store.as_ref().expect("a store is open between steps")
    }

    fn change(&mut self) -> Change {
        self.changes += 1;
        Change { at: self.clock.now(), mark: EventMark(self.changes.to_le_bytes()) }
    }

    /// One step; an error is the disk's.
    fn take(&mut self, what: u8, key: Key, amount: u8) -> Result<(), StoreError> {
        match what % 10 {
            0..=3 => self.put(key, amount, what >= 128),
            4 => self.renew(key, amount),
            5 | 6 => self.delete(key),
            7 => self.replay(amount),
            8 => {
                self.rot(key.1, amount);
                Ok(())
            }
            _ => self.pass(amount),
        }
    }

    fn put(&mut self, key: Key, amount: u8, is_encrypted: bool) -> Result<(), StoreError> {
        let change = self.change();
        let at_rest = if is_encrypted { AtRest::Encrypted } else { AtRest::Plain };
        let promise = self.promise(key, change, amount);
        let blob = blob(key.1);
        let put = self.store().put(hash(key.1), &blob, promise, at_rest);
        let is_stored = put.is_ok();
        self.promised(key, &promise, put)?;
        if is_stored {
            remember(&mut self.stored, (key, change));
        }
        Ok(())
    }

    fn renew(&mut self, key: Key, amount: u8) -> Result<(), StoreError> {
        let change = self.change();
        let promise = self.promise(key, change, amount);
        let renewed = match self.store().renew(&[hash(key.1)], &promise) {
            Ok(mut each) => each.remove(0),
            Err(error) => Err(error),
        };
        self.promised(key, &promise, renewed)
    }

    fn promise(&self, key: Key, change: Change, amount: u8) -> Promise {
        let time = Duration::from_secs(3600 * u64::from(amount % 128));
        Promise { client: client(key.0), change, expires: self.clock.now().saturating_add(time) }
    }

    fn promised(
        &mut self,
        key: Key,
        promise: &Promise,
        outcome: Result<Claim, StoreError>,
    ) -> Result<(), StoreError> {
        match outcome {
            Ok(claim) => {
                assert!(claim.expires >= promise.expires, "a claim is as long as was asked");
                if let Some(Some(before)) = self.sure.insert(key, Some(claim.expires)) {
                    assert!(claim.expires >= before, "a claim is never shortened");
                }
                Ok(())
            }
            Err(error @ StoreError::Disk { .. }) => {
                self.sure.remove(&key);
                Err(error)
            }
            Err(StoreError::Full { .. } | StoreError::NotFound { .. } | StoreError::Busy) => Ok(()),
            Err(error) => panic!("a new event is no old one: {error}"),
        }
    }

    fn delete(&mut self, key: Key) -> Result<(), StoreError> {
        let change = self.change();
        let dropped = self.store().delete(client(key.0), &[hash(key.1)], change);
        if dropped.is_err() {
            self.sure.remove(&key);
        }
        match dropped?.remove(0) {
            Ok(_) => remember(&mut self.deleted, (key, change)),
            Err(StoreError::NotFound { .. }) => self.assert_gone(key),
            Err(error) => panic!("a new event is no old one: {error}"),
        }
        self.sure.insert(key, None);
        Ok(())
    }

    fn assert_gone(&self, key: Key) {
        let held = self.sure.get(&key).copied().flatten();
        assert!(held.is_none_or(|expires| expires <= self.clock.now()), "a claim that was promised is gone");
    }

    /// An event that was acknowledged comes again.
    fn replay(&mut self, amount: u8) -> Result<(), StoreError> {
        let choose = |of: &[(Key, Change)]| of.get(usize::from(amount) % REMEMBERED_COUNT).copied();
        if amount >= 128 {
            let Some((key, change)) = choose(&self.deleted) else { return Ok(()) };
            let again = self.store().delete(client(key.0), &[hash(key.1)], change)?;
            assert!(again[0].is_err(), "a delete counts once");
            return Ok(());
        }
        let Some((key, change)) = choose(&self.stored) else { return Ok(()) };
        let dropped_at =
            self.deleted.iter().filter(|(other, _)| *other == key).map(|(_, drop)| drop.at).max();
        let is_new = |at: Timestamp| self.clock.now().since(at) < REPLAY_AGE_MAX;
        if self.sure.get(&key) != Some(&None) || !dropped_at.is_some_and(|at| at > change.at && is_new(at)) {
            return Ok(());
        }
        let promise = self.promise(key, change, amount);
        match self.store().put(hash(key.1), &blob(key.1), promise, AtRest::Plain) {
            Ok(_) => panic!("a store from before the delete brings nothing back"),
            Err(error @ StoreError::Disk { .. }) => Err(error),
            Err(_) => Ok(()),
        }
    }

    fn rot(&mut self, number: u8, amount: u8) {
        let name = hash(number).to_string();
        let found = self.disk.paths().into_iter().find(|path| path.to_string_lossy().contains(&name));
        let Some(path) = found else { return };
        self.disk.corrupt(path, |file| match file.len() {
            0 => file.push(amount),
            len => file[usize::from(amount) % len] ^= 1 << (amount % 8),
        });
        // Nothing is sure of it until it is stored again.
        self.sure.retain(|key, _| key.1 != number);
    }

    fn pass(&self, amount: u8) -> Result<(), StoreError> {
        for _ in 0..amount % 16 {
            self.clock.advance(Duration::from_secs(3600));
            self.store().tick()?;
        }
        Ok(())
    }

    fn check(&self) {
        let (store, now) = (self.store(), self.clock.now());
        assert!(store.stats().used <= QUOTA, "the quota is kept");
        let mut found = [false; LENGTHS.len()];
        for (number, is_found) in (0..).zip(&mut found) {
            if let Ok(bytes) = store.get(&hash(number)) {
                assert!(bytes == blob(number), "wrong bytes");
                *is_found = true;
            }
        }
        for ((who, number), expires) in &self.sure {
            let claim = store.claim(&client(*who), &hash(*number));
            match expires {
                Some(expires) if *expires > now => {
                    assert_eq!(
                        claim.map(|claim| claim.expires),
                        Some(*expires),
                        "a claim holds as it was promised"
                    );
                    assert!(found[usize::from(*number)], "a blob that is promised is there");
                }
                // What has lapsed may be gone.
                Some(_) => {}
                None => assert_eq!(claim, None, "what was deleted stays deleted"),
            }
        }
    }
}

fn remember(of: &mut Vec<(Key, Change)>, event: (Key, Change)) {
    if of.len() == REMEMBERED_COUNT {
        of.remove(0);
    }
    of.push(event);
}

/// Nobody's key is all zeros: blobs that are adopted belong to that one.
fn client(number: u8) -> ClientId {
    ClientId::new([number + 1; 32])
}

fn blob(number: u8) -> Vec<u8> {
    vec![number; LENGTHS[usize::from(number)]]
}

fn hash(number: u8) -> BlobHash {
    BlobHash::of(&blob(number))
}
