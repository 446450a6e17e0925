//! What stays in the system's memory of the blobs' files.

use super::*;
use crate::env::read_from_storage;

#[test]
fn long_blobs_do_not_stay_in_memory_and_short_ones_do() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let env = Env::seeded(1, Arc::new(ManualClock::new(START)));
    let store = BlobStore::open(disk, StoreOptions::default(), env).unwrap();
    let put = |blob: &[u8]| {
        let promise = promise(ALICE, START, mark_of(blob), START.saturating_add(DAY));
        store.put(BlobHash::of(blob), blob, promise, AtRest::Plain).unwrap().hash
    };
    let (long, short) = (put(&vec![1; 1 << 20]), put(&[2; 10_000]));
    let Some(start) = read_from_storage(dir.path()) else { return };
    let read = |hash, len| {
        assert_eq!(store.get(hash).unwrap().len(), len);
        read_from_storage(dir.path()).unwrap() - start
    };
    let after_one = read(&long, 1 << 20);
    assert!(after_one >= 1 << 20, "it was let go when it was stored");
    let after_two = read(&long, 1 << 20);
    assert!(after_two >= after_one + (1 << 20), "it was let go when it was read");
    assert_eq!(read(&short, 10_000), after_two);
}
