//! A machine that dies at any step of a put, and a put that fails: the next one goes on where it was, and nothing is left
//! at the providers that nothing names.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use blobdvm::client::{ClientError, PutOptions, Stop};
use blobdvm::erasure::Scheme;
use blobdvm::types::BlobHash;

use crate::support::{files, noise};
use crate::vault_net::{VaultNet, put};

const BEFORE: &[(u64, usize)] = &[(1, 20_000)];
const NEW: &[(u64, usize)] = &[(1, 20_000), (2, 12_000), (3, 9_000)];
/// More steps than a put of so little takes.
const STEPS_MAX: usize = 400;
/// Fewer than it takes.
const STEPS_MIN: usize = 10;

/// Names of the shards of all packs that are recorded.
async fn recorded(world: &VaultNet) -> BTreeSet<BlobHash> {
    let client = world.client("a").await;
    let packs = client.vault.packs_after(None, 1_000).unwrap();
    let entries = packs.iter().map(|pack| client.vault.pack(pack).unwrap().unwrap());
    entries.flat_map(|entry| entry.pack.coding.shards).map(|shard| shard.hash).collect()
}

/// Puts, and stops for good at step `at`. Whether it came to its end.
async fn put_until(world: &VaultNet, at: usize) -> bool {
    let folder = world.folder("new", NEW);
    let (mut client, reached) = world.client_until("a", at).await;
    tokio::select! {
        biased;
        () = reached.notified() => false,
        result = put(&mut client, folder) => {
            result.unwrap();
            true
        }
    }
}

async fn cut_off_puts(before: &[(u64, usize)]) {
    for at in 1..STEPS_MAX {
        let world = VaultNet::start().await;
        if !before.is_empty() {
            world.put("a", "before", before).await;
        }
        let is_finished = put_until(&world, at).await;
        let known = recorded(&world).await;
        world.take_sent();
        world.advance_days(1);
        assert!(put_until(&world, usize::MAX).await);
        let twice: Vec<_> = world.take_sent().intersection(&known).copied().collect();
        assert!(twice.is_empty(), "step {at}: {twice:?} are recorded and were sent again");
        world.restores("a", "new").await;
        if !before.is_empty() {
            world.restores("a", "before").await;
        }
        let pruned = world.prune("a").await;
        assert_eq!((pruned.orphans, pruned.condemned, pruned.unfinished), (0, 0, 0), "step {at}: {pruned:?}");
        assert!(pruned.failures.is_empty(), "step {at}: {:?}", pruned.failures);
        if is_finished {
            return assert!(at > STEPS_MIN, "{at} steps");
        }
    }
    panic!("the put takes more than {STEPS_MAX} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_put_may_be_cut_off_at_any_step() {
    Box::pin(cut_off_puts(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_put_may_be_cut_off_at_any_step() {
    Box::pin(cut_off_puts(BEFORE)).await;
}

/// A stream that fails at its end.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            len => Ok(len),
        }
    }
}

/// Puts a stream that fails after `len` bytes; returns how many packs were recorded all the same.
async fn put_that_fails(world: &VaultNet, len: usize) -> u64 {
    let mut client = world.client("a").await;
    let options = PutOptions::new(Scheme::new(2, 3).unwrap());
    let stream = Failing(io::Cursor::new(noise(len, 7)));
    let failed = client.put_stream("stream", stream, &options).await;
    assert!(matches!(failed, Err(ClientError::File { .. })), "{failed:?}");
    client.vault.packs_after(None, 1_000).unwrap().len() as u64
}

/// A stream that tells the put to stop at its end, when all packs that it has filled are stored.
struct Telling {
    bytes: io::Cursor<Vec<u8>>,
    stop: Stop,
    stores: PathBuf,
}

impl Telling {
    /// Returns when some blobs are stored, and no more have come for a while; shorter than what packs wait for each other
    /// to be recorded together.
    fn wait_for_blobs(&self) {
        let mut count = 0;
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(300));
            let before = std::mem::replace(&mut count, files(&self.stores).len());
            if before == count && count > 0 {
                return;
            }
        }
        panic!("no pack is stored before the stream ends");
    }
}

impl Read for Telling {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.read(buffer)?;
        if len == 0 {
            self.wait_for_blobs();
            self.stop.tell();
        }
        Ok(len)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_put_stored_before_it_was_told_to_stop_is_recorded() {
    let world = VaultNet::start().await;
    let stop = Stop::default();
    let mut client = world.client("a").await.heeding(stop.clone());
    let bytes = io::Cursor::new(noise(6_500_000, 7));
    let stream = Telling { bytes, stop, stores: world.net.store_dir(0).join("blobs") };
    let options = PutOptions::new(Scheme::new(2, 3).unwrap());
    let told = client.put_stream("stream", stream, &options).await;
    assert!(matches!(told, Err(ClientError::Interrupted)), "{told:?}");
    drop(client);
    // Fewer than are recorded without being told to stop, at once.
    let stored = world.blobs().len();
    assert!((3..12).contains(&stored), "{stored} shards");
    assert_eq!(recorded(&world).await.len(), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_put_stored_before_it_failed_waits_three_days_for_the_next() {
    let world = VaultNet::start().await;
    let stored = put_that_fails(&world, 9_000_000).await;
    assert!(stored >= 4, "{stored} packs are recorded");
    let known = recorded(&world).await;
    world.advance_days(10);
    for _ in 0..2 {
        let pruned = world.prune("a").await;
        assert_eq!((pruned.unfinished, pruned.condemned, pruned.deleted_blobs), (stored, 0, 0), "{pruned:?}");
        world.advance_days(1);
    }
    let (mut client, _) = world.client_until("a", usize::MAX).await;
    world.take_sent();
    let options = PutOptions::new(Scheme::new(2, 3).unwrap());
    let stream = io::Cursor::new(noise(9_000_000, 7));
    client.put_stream("stream", stream, &options).await.unwrap();
    drop(client);
    assert!(world.take_sent().is_disjoint(&known), "nothing is sent again");
    let pruned = world.prune("a").await;
    assert_eq!((pruned.condemned, pruned.deleted_blobs), (0, 0), "{pruned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_put_stored_before_it_failed_goes_when_no_put_comes_back_for_it() {
    let world = VaultNet::start().await;
    let stored = put_that_fails(&world, 6_000_000).await;
    assert_eq!(world.prune("a").await.unfinished, stored);
    world.advance_days(3);
    let pruned = world.prune("a").await;
    assert_eq!((pruned.unfinished, pruned.condemned, pruned.deleted_blobs), (0, stored, 0), "{pruned:?}");
    world.advance_days(8);
    let pruned = world.prune("a").await;
    assert_eq!((pruned.due_packs, pruned.deleted_blobs), (stored, 3 * stored), "{pruned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strays_at_a_provider_that_is_away_go_when_it_is_back() {
    for at in 1..STEPS_MAX {
        let mut world = VaultNet::start().await;
        world.put("a", "before", BEFORE).await;
        assert!(!put_until(&world, at).await);
        let sent = world.take_sent();
        // Two of three shards have left, so nothing is recorded.
        if sent.len() < 2 {
            continue;
        }
        let holders = |world: &VaultNet| -> Vec<usize> {
            let has = |index: usize, hash: &BlobHash| {
                let blobs = world.net.blobs(index).unwrap();
                blobs.iter().any(|blob| blob.to_string_lossy().contains(&hash.to_string()))
            };
            (0..3).filter(|index| sent.iter().any(|hash| has(*index, hash))).collect()
        };
        crate::support::eventually("the blobs arrive", || holders(&world).len() == 2);
        let away = holders(&world)[0];
        world.net.kill(away);
        world.advance_days(1);
        assert_eq!(world.prune("a").await.deleted_blobs, 1);
        assert_eq!(holders(&world), [away]);
        world.net.revive(away).await;
        assert_eq!(world.prune("a").await.deleted_blobs, 1);
        assert!(holders(&world).is_empty());
        let last = world.prune("a").await;
        return assert_eq!((last.deleted_blobs, last.orphans), (0, 0));
    }
    panic!("the put sends less than two blobs");
}
