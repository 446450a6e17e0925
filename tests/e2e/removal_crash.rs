//! A machine that dies at any step of a removal, a prune or a repacking: whatever is left restores in full, and the next
//! run comes to the end.

use std::future::Future;
use std::sync::Arc;

use blobdvm::client::{Client, PruneOptions, RemoveOptions};
use blobdvm::types::SnapshotId;
use tokio::sync::Notify;

use crate::vault_net::{VaultNet, remove};

const SHARED: (u64, usize) = (1, 60_000);
const ALONE: (u64, usize) = (2, 50_000);
/// More steps than any operation here takes.
const STEPS_MAX: usize = 400;
/// Fewer steps than any takes: questions to three providers, a manifest pack, a head and its copies.
const STEPS_MIN: usize = 10;

/// Two snapshots that share data, one of them to be removed.
struct Stage {
    world: VaultNet,
    left: SnapshotId,
    gone: SnapshotId,
}

impl Stage {
    async fn set() -> Self {
        let world = VaultNet::start().await;
        let left = world.put("a", "left", &[SHARED]).await;
        let gone = world.put("a", "gone", &[SHARED, ALONE]).await;
        Self { world, left, gone }
    }

    /// What was cut off is run again; then nothing is left of the removed snapshot, and the other one restores.
    async fn ends_well(&self, at: usize) {
        let world = &self.world;
        world.restores("a", "left").await;
        if !world.client("a").await.vault.is_removed(&self.gone).unwrap() {
            world.remove("a", self.gone).await.unwrap();
        }
        world.prune("a").await;
        world.restores("a", "left").await;
        world.advance_days(8);
        world.prune("a").await;
        assert_eq!(world.shards_of("a", self.gone, Some(self.left)).await, 0, "step {at}");
        let last = world.prune("a").await;
        assert_eq!((last.due_packs, last.waiting, last.condemned), (0, 0, 0), "step {at}");
        world.restores("a", "left").await;
        world.recover("b", "a").await;
        world.restores("b", "left").await;
    }
}

/// True if `operation` came to its end before its client was stopped.
async fn finished<T, E: std::fmt::Debug>(
    operation: impl Future<Output = Result<T, E>>,
    reached: Arc<Notify>,
) -> bool {
    tokio::select! {
        biased;
        () = reached.notified() => false,
        result = operation => {
            result.unwrap();
            true
        }
    }
}

async fn prune_all(mut client: Client, reached: Arc<Notify>) -> bool {
    let options = PruneOptions::default();
    finished(Box::pin(client.prune(&options)), reached).await
}

/// Cuts a removal off at each of its steps in turn.
async fn cut_off_removals(options: RemoveOptions) {
    for at in 1..STEPS_MAX {
        let stage = Stage::set().await;
        let (mut client, reached) = stage.world.client_until("a", at).await;
        let removal = remove(&mut client, stage.gone, options);
        let is_finished = finished(removal, reached).await;
        drop(client);
        stage.ends_well(at).await;
        if is_finished {
            return assert!(at > STEPS_MIN, "{at} steps");
        }
    }
    panic!("the removal takes more than {STEPS_MAX} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_may_be_cut_off_at_any_step() {
    Box::pin(cut_off_removals(RemoveOptions::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_counts_from_when_others_could_hear_of_it() {
    let stage = Stage::set().await;
    let world = &stage.world;
    for at in 1..STEPS_MAX {
        let (mut client, reached) = world.client_until("a", at).await;
        let removal = remove(&mut client, stage.gone, RemoveOptions::default());
        assert!(!finished(removal, reached).await, "it was recorded before it was published");
        if client.vault.is_removed(&stage.gone).unwrap() {
            break;
        }
    }
    world.advance_days(8);
    let first = world.prune("a").await;
    assert_eq!((first.due_packs, first.waiting, first.deleted_blobs), (0, 1, 0));
    world.advance_days(6);
    assert_eq!(world.prune("a").await.waiting, 1);
    world.advance_days(2);
    assert_eq!(world.prune("a").await.due_packs, 1);
    world.restores("a", "left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_at_once_may_be_cut_off_at_any_step() {
    Box::pin(cut_off_removals(RemoveOptions { now: true, dry_run: false })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_may_be_cut_off_at_any_step() {
    for at in 1..STEPS_MAX {
        let stage = Stage::set().await;
        stage.world.remove("a", stage.gone).await.unwrap();
        stage.world.advance_days(8);
        let (client, reached) = stage.world.client_until("a", at).await;
        let is_finished = Box::pin(prune_all(client, reached)).await;
        stage.ends_well(at).await;
        if is_finished {
            return assert!(at > STEPS_MIN, "{at} steps");
        }
    }
    panic!("the prune takes more than {STEPS_MAX} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repacking_may_be_cut_off_at_any_step() {
    for at in 1..STEPS_MAX {
        let world = VaultNet::start().await;
        let gone = world.put("a", "gone", &[SHARED, ALONE, (3, 70_000)]).await;
        let left = world.put("a", "left", &[SHARED]).await;
        world.remove("a", gone).await.unwrap();
        let old = world.client("a").await.vault.needs(&left).unwrap();
        let (client, reached) = world.client_until("a", at).await;
        let is_finished = Box::pin(prune_all(client, reached)).await;
        world.restores("a", "left").await;
        world.prune("a").await;
        world.advance_days(8);
        world.prune("a").await;
        world.restores("a", "left").await;
        let client = world.client("a").await;
        let removals = client.vault.removals().unwrap();
        assert!(old.iter().all(|pack| removals.is_dropped(pack)), "step {at}");
        assert!(client.vault.needs(&left).unwrap().is_disjoint(&old), "step {at}");
        drop(client);
        world.recover("b", "a").await;
        world.restores("b", "left").await;
        if is_finished {
            return assert!(at > STEPS_MIN, "{at} steps");
        }
    }
    panic!("the repacking takes more than {STEPS_MAX} steps");
}
