//! What is removed goes in the end, and what is left comes back whole, whenever the machine dies.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use blobdvm::client::{ClientError, PruneOptions, PutOptions, RemoveOptions};
use blobdvm::erasure::Scheme;

use crate::decode::decode;
use crate::support::{noise, stderr};
use crate::vault_net::{VaultNet, put, remove};

/// A file that two snapshots share, and one that only one of them has.
const SHARED: (u64, usize) = (1, 400_000);
const ALONE: (u64, usize) = (2, 500_000);
/// More steps than any operation here takes.
const STEPS_MAX: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_removed_snapshot_needed_is_gone_after_the_grace_and_the_other_restores() {
    let world = VaultNet::start().await;
    let one = world.put("a", "one", &[SHARED]).await;
    let two = world.put("a", "two", &[SHARED, ALONE]).await;
    let before = world.shards_of("a", two, Some(one)).await;
    assert_eq!(before, 3);
    let removed = world.remove("a", two).await.unwrap();
    assert_eq!((removed.packs, removed.deleted_blobs), (1, 0));
    assert_eq!(removed.due.map(|due| due.0), Some(1_800_000_000 + 7 * 86_400));
    let early = world.prune("a").await;
    assert_eq!((early.due_packs, early.waiting, early.deleted_blobs), (0, 1, 0));
    assert_eq!(world.shards_of("a", two, Some(one)).await, 3, "nothing is deleted in haste");
    world.advance_days(8);
    let due = world.prune("a").await;
    assert_eq!((due.due_packs, due.waiting, due.deleted_blobs), (1, 0, 3));
    assert_eq!(world.shards_of("a", two, Some(one)).await, 0);
    assert_eq!(world.shards_of("a", one, None).await, 3);
    world.restores("a", "one").await;
    let again = world.prune("a").await;
    assert_eq!((again.due_packs, again.waiting, again.deleted_blobs), (0, 0, 0));
    world.recover("b", "a").await;
    world.restores("b", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_in_another_language_restores_the_snapshot_that_is_left() {
    let world = VaultNet::start().await;
    world.put("a", "all", &[(1, 25_000), (2, 25_000), (3, 25_000)]).await;
    world.put("a", "few", &[(3, 25_000)]).await;
    world.advance_days(1);
    let last = world.put("a", "last", &[ALONE]).await;
    let all = world.client("a").await.vault.latest_snapshot("all").unwrap().unwrap().id;
    for id in [last, all] {
        world.remove("a", id).await.unwrap();
    }
    assert_eq!(world.prune("a").await.repacked, 1);
    world.advance_days(8);
    assert_eq!(world.prune("a").await.due_packs, 2);
    let secret = hex::encode(world.client("a").await.vault.keys().unwrap().secret().expose());
    let (dest, stores) = (world.net.path().join("decoded"), [0, 2].map(|index| world.net.store_dir(index)));
    let Some(restored) = decode(&secret, &dest, &[&stores[0], &stores[1]]) else {
        println!("skipped: needs Python 3.8");
        return;
    };
    assert!(restored.status.success(), "{}", stderr(&restored));
    let file = fs::read(dest.join("few/3.bin")).unwrap();
    assert!(file == fs::read(world.net.path().join("in/few/3.bin")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_was_away_gets_its_deletes_at_the_next_prune() {
    let mut world = VaultNet::start().await;
    world.put("a", "one", &[SHARED]).await;
    let two = world.put("a", "two", &[ALONE]).await;
    world.remove("a", two).await.unwrap();
    world.advance_days(8);
    world.net.kill(1);
    let first = world.prune("a").await;
    assert_eq!((first.due_packs, first.deleted_blobs), (1, 2));
    assert_eq!(first.failures.len(), 1, "{:?}", first.failures);
    world.net.revive(1).await;
    let second = world.prune("a").await;
    assert_eq!((second.due_packs, second.deleted_blobs), (1, 1));
    assert_eq!(world.shards_of("a", two, None).await, 0);
    assert_eq!(world.prune("a").await.due_packs, 0);
    world.restores("a", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_that_named_a_condemned_pack_keeps_its_data() {
    let world = VaultNet::start().await;
    let one = world.put("a", "one", &[SHARED]).await;
    world.recover("b", "a").await;
    // Neither has heard of what the other one does when it decides.
    let mut remover = world.client("a").await;
    let caught = remover.catch_up().await.unwrap();
    let other = world.put("b", "other", &[SHARED, ALONE]).await;
    let ids = BTreeSet::from([one]);
    let removed = remover.remove(&ids, RemoveOptions::default(), &caught).await.unwrap();
    assert_eq!(removed.packs, 1);
    drop(remover);
    world.advance_days(8);
    let pruned = world.prune("a").await;
    assert_eq!((pruned.due_packs, pruned.deleted_blobs), (0, 0));
    world.restores("b", "other").await;
    world.remove("b", other).await.unwrap();
    // The grace begins anew, from the removal of the last snapshot that needed them.
    let pruned = world.prune("a").await;
    assert_eq!((pruned.due_packs, pruned.waiting), (0, 2));
    world.advance_days(8);
    assert_eq!(world.prune("a").await.deleted_blobs, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_does_not_build_on_a_pack_that_another_device_has_condemned() {
    let world = VaultNet::start().await;
    let one = world.put("a", "one", &[SHARED]).await;
    world.recover("b", "a").await;
    world.remove("a", one).await.unwrap();
    let again = world.put("b", "again", &[SHARED]).await;
    let client = world.client("b").await;
    assert!(client.vault.latest_snapshot("one").unwrap().is_none(), "the removal was heard of");
    let (old, new) = (client.vault.needs(&one).unwrap(), client.vault.needs(&again).unwrap());
    assert!(old.is_disjoint(&new), "{old:?} {new:?}");
    drop(client);
    world.advance_days(8);
    assert_eq!(world.prune("a").await.deleted_blobs, 3);
    world.restores("b", "again").await;
    world.restores("a", "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_now_deletes_at_once_and_only_where_there_is_one_device() {
    let world = VaultNet::start().await;
    let one = world.put("a", "one", &[SHARED]).await;
    let two = world.put("a", "two", &[SHARED, ALONE]).await;
    let now = RemoveOptions { now: true, dry_run: false };
    let dry = RemoveOptions { now: true, dry_run: true };
    let would = remove(&mut world.client("a").await, two, dry).await.unwrap();
    assert_eq!((would.packs, would.deleted_blobs), (1, 0));
    assert_eq!(world.shards_of("a", two, Some(one)).await, 3);
    let removed = remove(&mut world.client("a").await, two, now).await.unwrap();
    assert_eq!((removed.packs, removed.deleted_blobs, removed.due), (1, 3, None));
    assert_eq!(world.shards_of("a", two, Some(one)).await, 0);
    world.restores("a", "one").await;
    world.recover("b", "a").await;
    world.put("b", "three", &[ALONE]).await;
    let refused = remove(&mut world.client("a").await, one, now).await;
    assert!(matches!(refused, Err(ClientError::SeveralDevices { count: 2 })), "{refused:?}");
    world.restores("a", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_of_a_killed_put_are_deleted() {
    let world = VaultNet::start().await;
    world.put("a", "one", &[SHARED]).await;
    let before = world.blobs().len();
    // Killed after its pack went out, and before anything of it was recorded.
    let folder = world.folder("two", &[ALONE]);
    for at in 1..STEPS_MAX {
        let (mut client, reached) = world.client_until("a", at).await;
        let finished = tokio::select! {
            biased;
            () = reached.notified() => false,
            result = put(&mut client, folder.clone()) => result.is_ok(),
        };
        assert!(!finished, "the put is killed before it ends");
        drop(client);
        // As a power failure may: without the journal, what was sent is an orphan.
        let _ = fs::remove_file(world.net.home_dir("a").join("unfinished"));
        if world.blobs().len() >= before + 3 {
            break;
        }
    }
    let left = world.blobs().len() - before;
    let first = world.prune("a").await;
    assert!(first.orphans + 3 * first.unfinished >= left as u64, "{first:?} of {left}");
    assert_eq!(first.deleted_blobs, 0);
    world.advance_days(8);
    let second = world.prune("a").await;
    world.advance_days(8);
    let third = world.prune("a").await;
    assert!(second.deleted_blobs + third.deleted_blobs >= left as u64, "{second:?} {third:?} of {left}");
    world.restores("a", "one").await;
    world.put("a", "two", &[ALONE]).await;
    world.restores("a", "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_heads_and_manifest_packs_go_after_a_month() {
    let world = VaultNet::start().await;
    for day in 0..12 {
        world.put("a", "one", &[(day, 5_000)]).await;
        world.advance_days(1);
    }
    let kept = world.prune("a").await;
    assert_eq!((kept.deleted_blobs, kept.orphans), (0, 0), "a head of this month leads to them");
    world.advance_days(40);
    assert!(world.prune("a").await.orphans > 0);
    world.advance_days(8);
    let before = world.blobs().len();
    let pruned = world.prune("a").await;
    assert!(pruned.deleted_blobs > 20 && world.blobs().len() < before, "{pruned:?}");
    world.restores("a", "one").await;
    world.recover("b", "a").await;
    world.restores("b", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mostly_dead_pack_is_stored_anew_and_its_space_comes_back() {
    let mut world = VaultNet::start().await;
    let all = world.put("a", "all", &[(1, 250_000), (2, 250_000), (3, 250_000), (4, 200_000)]).await;
    let few = world.put("a", "few", &[(4, 200_000)]).await;
    assert_eq!(world.client("a").await.vault.needs(&few).unwrap().len(), 1);
    world.remove("a", all).await.unwrap();
    let dry = PruneOptions { dry_run: true, ..PruneOptions::default() };
    let would = world.client("a").await.prune(&dry).await.unwrap();
    assert_eq!((would.repacked, would.deleted_blobs), (1, 0));
    world.net.kill(1);
    assert_eq!(world.prune("a").await.repacked, 0, "never at less than its spread");
    world.net.revive(1).await;
    let before = world.bytes();
    let pruned = world.prune("a").await;
    assert_eq!((pruned.repacked, pruned.deleted_blobs), (1, 0), "the old pack stays for the grace");
    world.restores("a", "few").await;
    world.advance_days(8);
    let freed = world.prune("a").await;
    assert_eq!((freed.repacked, freed.due_packs, freed.deleted_blobs), (0, 1, 3));
    assert!(world.bytes() < before / 2, "{} of {before}", world.bytes());
    world.restores("a", "few").await;
    world.recover("b", "a").await;
    world.restores("b", "few").await;
}

/// A stream that is at its end only when it is told so.
struct Held {
    bytes: Cursor<Vec<u8>>,
    /// Said once, when everything was read.
    at_end: Option<Sender<()>>,
    go_on: Receiver<()>,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        if count == 0
            && let Some(at_end) = self.at_end.take()
        {
            at_end.send(()).unwrap();
            self.go_on.recv().unwrap();
        }
        Ok(count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_took_long_asks_again_whether_what_it_builds_on_was_let_go() {
    for is_let_go in [false, true] {
        let world = VaultNet::start().await;
        let one = world.put("a", "one", &[SHARED]).await;
        world.recover("b", "a").await;
        let (at_end, has_come) = channel();
        let (release, go_on) = channel();
        let bytes = Cursor::new(noise(SHARED.1, SHARED.0));
        let mut client = world.client("a").await;
        let putting = tokio::spawn(async move {
            let options = PutOptions::new(Scheme::new(2, 3).unwrap());
            let put = client.put_stream("long", Held { bytes, at_end: Some(at_end), go_on }, &options).await;
            (put.map(|outcome| outcome.packs), client)
        });
        tokio::task::spawn_blocking(move || has_come.recv().unwrap()).await.unwrap();
        if is_let_go {
            // The device that puts has not heard of it.
            world.remove("b", one).await.unwrap();
        }
        world.clock.advance(Duration::from_secs(2 * 3_600));
        release.send(()).unwrap();
        let (put, client) = putting.await.unwrap();
        drop(client);
        if is_let_go {
            assert!(matches!(put, Err(ClientError::LetGoMeanwhile)), "{put:?}");
        } else {
            assert_eq!(put.unwrap(), 0, "everything was there");
        }
    }
}
