//! How many durable puts a second the provider's store takes from 32 writers on this machine's disk.
//!
//! `cargo bench --bench store [-- DIR]`: a new folder is made in DIR (the system's temporary folder otherwise, which
//! should not be one in memory) and removed at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use blobdvm::env::Env;
use blobdvm::store::{AtRest, BlobStore, Change, EventMark, Promise, RealDisk, StoreOptions};
use blobdvm::types::{BlobHash, ClientId, Timestamp};
use tokio::time::Instant;

const WRITER_COUNT: u64 = 32;
const ROUND_COUNT: usize = 3;

fn main() {
    let parent = std::env::args()
        .nth(1)
        .filter(|arg| !arg.starts_with("--"))
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("a folder to measure in");
    let disk = RealDisk::open(folder.path()).expect("a new store");
    let store = BlobStore::open(Arc::new(disk), StoreOptions::default(), Env::system()).expect("a new store");
    let number = AtomicU64::new(0);
    for (len, count) in [(32 * 1024, 20_000), (512 * 1024, 2_000)] {
        println!("{count} blobs of {} KiB, {WRITER_COUNT} writers", len / 1024);
        for _ in 0..ROUND_COUNT {
            let started = Instant::now();
            thread::scope(|scope| {
                for _ in 0..WRITER_COUNT {
                    scope.spawn(|| (0..count / WRITER_COUNT).for_each(|_| put(&store, len, &number)));
                }
            });
            let seconds = started.elapsed().as_secs_f64();
            let [puts, bytes] = [count, count * len as u64]
                .map(|sum| f64::from(u32::try_from(sum / 1000).expect("small")) / seconds);
            println!("  {:>6.1} thousand durable puts a second, {:>6.0} MB/s", puts, bytes / 1000.0);
        }
    }
}

/// Puts a blob that no other is the same as.
fn put(store: &BlobStore, len: usize, number: &AtomicU64) {
    let number = number.fetch_add(1, Ordering::Relaxed);
    let mut blob = vec![0x5a; len];
    blob[..8].copy_from_slice(&number.to_le_bytes());
    let change = Change { at: Timestamp(1), mark: EventMark(number.to_le_bytes()) };
    let promise = Promise { client: ClientId::new([1; 32]), change, expires: Timestamp(u64::MAX) };
    store.put(BlobHash::of(&blob), &blob, promise, AtRest::Plain).expect("there is room");
}
