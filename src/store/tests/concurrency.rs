//! Many threads at once.

use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::thread;

use bytes::Bytes;

use super::*;

/// A disk whose log syncs can be held up, and are counted.
#[derive(Default)]
struct GatedDisk {
    inner: SimDisk,
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Default)]
struct Gate {
    is_shut: bool,
    log_sync_count: usize,
}

impl GatedDisk {
    fn shut(&self) {
        *self.gate.lock().unwrap() = Gate { is_shut: true, log_sync_count: 0 };
    }

    fn log_sync_count(&self) -> usize {
        self.gate.lock().unwrap().log_sync_count
    }

    fn open(&self) -> usize {
        let mut gate = self.gate.lock().unwrap();
        gate.is_shut = false;
        self.opened.notify_all();
        gate.log_sync_count
    }
}

impl Disk for GatedDisk {
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        if path == Path::new(log::LOG) {
            let mut gate = self.gate.lock().unwrap();
            gate.log_sync_count += 1;
            drop(self.opened.wait_while(gate, |gate| gate.is_shut).unwrap());
        }
        self.inner.sync_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(path, bytes)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.inner.truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.read(path)
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_range(path, offset, len)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
}

#[test]
fn concurrent_puts_share_a_sync_and_none_returns_before_it() {
    let disk = Arc::new(GatedDisk::default());
    let env = Env::seeded(1, Arc::new(ManualClock::new(START)));
    let store = BlobStore::open(disk.clone(), StoreOptions::default(), env).unwrap();
    disk.shut();
    thread::scope(|scope| {
        let put = |number| {
            let (store, blob) = (&store, blob(number));
            scope.spawn(move || {
                store.put(BlobHash::of(&blob), &blob, promise(ALICE, START, number, START), AtRest::Plain)
            })
        };
        let puts: Vec<_> = (0..20).map(put).collect();
        while store.stats().claim_count < 20 || disk.log_sync_count() == 0 {
            thread::yield_now();
        }
        assert!(puts.iter().all(|put| !put.is_finished()), "no receipt before the sync");
        assert_eq!(disk.open(), 1, "one of them writes, the others wait");
        for put in puts {
            put.join().unwrap().unwrap();
        }
    });
    assert_eq!(disk.open(), 2, "those that waited were written together");
}

#[test]
fn puts_and_deletes_of_one_blob_never_leave_a_claim_without_its_file() {
    let bench = Bench::with(StoreOptions { log_slack: 10, ..StoreOptions::default() });
    let clients: Vec<_> = (1..=4).map(|number| ClientId::new([number; 32])).collect();
    let blobs: Vec<_> = (0..3).map(blob).collect();
    thread::scope(|scope| {
        for client in &clients {
            let (bench, blobs) = (&bench, &blobs);
            scope.spawn(move || {
                for round in 0..60 {
                    let at = START.saturating_add(Duration::from_secs(round));
                    let blob = &blobs[usize::try_from(round).unwrap() % blobs.len()];
                    let hash = bench.put(*client, blob, promise(*client, at, 1, at)).unwrap().hash;
                    assert_eq!(bench.store.get(&hash).unwrap(), *blob);
                    bench.store.delete(*client, &[hash], change(at, 2)).unwrap().remove(0).unwrap();
                }
                let late = START.saturating_add(DAY);
                bench.put(*client, &blobs[0], promise(*client, late, 1, late)).unwrap();
            });
        }
    });
    let bench = bench.reopen();
    assert_eq!(bench.store.get(&BlobHash::of(&blobs[0])).unwrap(), blobs[0]);
    assert_eq!((bench.store.stats().blob_count, bench.store.stats().claim_count), (1, 4));
}
