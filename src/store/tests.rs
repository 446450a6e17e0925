//! Laws of the store.

mod checksums;
mod concurrency;
mod crash;
mod memory;
mod promises;
mod sim_disk;
mod space;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::env::{Env, ManualClock};
use crate::types::{BlobHash, ClientId, Timestamp};

const START: Timestamp = Timestamp(1_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ALICE: ClientId = ClientId::new([0xa1; 32]);
const BOB: ClientId = ClientId::new([0xb0; 32]);

/// A store on a simulated disk, and the clock it runs on.
struct Bench {
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    store: BlobStore,
    options: StoreOptions,
}

impl Bench {
    fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    fn with(options: StoreOptions) -> Self {
        let (disk, clock) = (Arc::new(SimDisk::new()), Arc::new(ManualClock::new(START)));
        let store = open(&disk, &clock, &options).unwrap();
        Self { disk, clock, store, options }
    }

    /// The same store after the process ended without a word.
    fn reopen(self) -> Self {
        let Self { disk, clock, store, options } = self;
        drop(store);
        let disk = Arc::new(disk.restart(Unsynced::Lost));
        let store = open(&disk, &clock, &options).unwrap();
        Self { disk, clock, store, options }
    }

    /// Lets time go by, with a tick every hour.
    fn pass(&self, time: Duration) {
        for _ in 0..time.as_secs() / 3600 {
            self.clock.advance(Duration::from_secs(3600));
            self.store.tick().unwrap();
        }
    }

    fn put(&self, client: ClientId, blob: &[u8], promise: Promise) -> Result<Claim, StoreError> {
        assert_eq!(client, promise.client);
        self.store.put(BlobHash::of(blob), blob, promise, AtRest::Plain)
    }

    /// A put by `client` that is wanted for `time` from now.
    fn keep(&self, client: ClientId, blob: &[u8], time: Duration) -> Result<Claim, StoreError> {
        let now = self.clock_now();
        self.put(client, blob, promise(client, now, mark_of(blob), now.saturating_add(time)))
    }

    fn clock_now(&self) -> Timestamp {
        use crate::env::Clock;
        self.clock.now()
    }

    /// Where the file of a blob lies.
    fn path(&self, hash: &BlobHash) -> std::path::PathBuf {
        let text = hash.to_string();
        let is_it = |path: &std::path::PathBuf| path.to_string_lossy().contains(&text);
        self.disk.paths().into_iter().find(is_it).expect("the blob has a file")
    }
}

fn open(
    disk: &Arc<SimDisk>,
    clock: &Arc<ManualClock>,
    options: &StoreOptions,
) -> Result<BlobStore, StoreError> {
    BlobStore::open(disk.clone(), options.clone(), Env::seeded(1, clock.clone()))
}

fn blob(number: u8) -> Vec<u8> {
    vec![number; 100]
}

fn mark_of(blob: &[u8]) -> u8 {
    BlobHash::of(blob).as_bytes()[0]
}

fn change(at: Timestamp, mark: u8) -> Change {
    Change { at, mark: EventMark([mark; 8]) }
}

fn promise(client: ClientId, at: Timestamp, mark: u8, expires: Timestamp) -> Promise {
    Promise { client, change: change(at, mark), expires }
}
