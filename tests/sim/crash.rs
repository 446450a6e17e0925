//! The crash matrix: a client that dies between any two of its steps, and a disk of which any one operation fails. What
//! was there before restores, the same operation goes through when it is run again, and then all is well.
//!
//! Steps are events sent and questions asked, and file operations in the home. Removals and prunes cut off at events are
//! in `tests/e2e/removal_crash.rs`; the provider's store is in `src/store/tests/crash.rs`, and torn writes of the home in
//! `src/vault/tests/crash.rs`.

use std::time::Duration;

use blobdvm::client::Depth;
use blobdvm::client::Verdict;
use blobdvm::erasure::Scheme;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::operations::Kill;
use crate::seeds;
use crate::story::Story;
use crate::world::{Size, World};

/// More steps than anything here takes.
const STEPS_MAX: u64 = 2_000;
/// Fewer than anything takes.
const STEPS_MIN: u64 = 10;

/// What is cut off.
#[derive(Debug, Clone, Copy)]
enum Act {
    Put,
    Repair,
    Renew,
    Remove,
}

#[test]
fn a_put_may_be_cut_off_between_any_two_steps() {
    cut_off("a_put_may_be_cut_off_between_any_two_steps", Act::Put);
}

#[test]
fn a_repair_may_be_cut_off_between_any_two_steps() {
    cut_off("a_repair_may_be_cut_off_between_any_two_steps", Act::Repair);
}

#[test]
fn a_renewal_may_be_cut_off_between_any_two_steps() {
    cut_off("a_renewal_may_be_cut_off_between_any_two_steps", Act::Renew);
}

#[test]
fn a_removal_may_be_cut_off_between_any_two_steps() {
    cut_off("a_removal_may_be_cut_off_between_any_two_steps", Act::Remove);
}

/// Cuts an act off at each of its steps in turn, in each of the three ways.
fn cut_off(test: &str, act: Act) {
    let ways: [fn(u64) -> Kill; 3] =
        [|at| Kill::AtStep(usize::try_from(at).unwrap()), Kill::AtFile, Kill::FileFails];
    seeds::run_once(test, async |story| {
        for way in ways {
            let mut at = 0;
            while Box::pin(cut_off_at(act, way(at), &story)).await {
                at += 1;
                assert!(at < STEPS_MAX, "it takes more than {STEPS_MAX} steps");
            }
            assert!(at > STEPS_MIN, "it takes no more than {at} steps");
        }
    });
}

/// Cuts an act off at one step, and brings it to its end. Whether it had so many steps.
async fn cut_off_at(act: Act, kill: Kill, story: &Story) -> bool {
    story.tell(format_args!("=== {act:?}, {kill:?}"));
    let size = Size { scheme: Scheme::new(2, 3).unwrap(), provider_count: 3, relay_count: 1 };
    let mut world = World::of_size(size, 1, StdRng::seed_from_u64(1), story.clone()).await;
    world.write("letters", "old", 3_000);
    world.put("a", "letters", Kill::Never).await;
    world.write("letters", "new", 2_000);
    match act {
        Act::Put => {}
        Act::Repair => world.wipe_a_holder().await,
        Act::Renew => world.clock.pass_days(30).await,
        Act::Remove => world.put("a", "letters", Kill::Never).await,
    }
    let second = world.snapshots.keys().copied().max_by_key(|id| world.snapshots[id].files.len()).unwrap();
    sleep(Duration::from_secs(2)).await;
    let first = world.snapshots.keys().copied().find(|id| world.snapshots[id].files.len() == 1).unwrap();
    world.act(act, second, kill).await;
    let was_cut = world.was_cut;
    world.check();
    sleep(Duration::from_secs(2)).await;
    world.get("a", first).await;
    // The same once more, to its end.
    if world.snapshots[&second].removed_at.is_none() {
        world.act(act, second, Kill::Never).await;
    }
    if matches!(act, Act::Repair) {
        world.restore_health("a").await;
    }
    assert_eq!(world.examine("a", Depth::Ask).await, Some(Verdict::Healthy));
    let home = world.add_device().await.expect("nothing is in the way of a recovery");
    let live: Vec<_> = world.live().map(|(id, _)| *id).collect();
    for id in live {
        world.get(&home, id).await;
    }
    was_cut
}

impl World {
    async fn act(&mut self, act: Act, second: blobdvm::types::SnapshotId, kill: Kill) {
        match act {
            Act::Put => self.put("a", "letters", kill).await,
            Act::Repair => drop(self.repair("a", kill).await),
            Act::Renew => self.renew("a", kill).await,
            Act::Remove => self.remove("a", second, kill).await,
        }
    }

    /// A provider that keeps something loses everything.
    async fn wipe_a_holder(&mut self) {
        let index = (0..self.provider_count).max_by_key(|index| self.net.intact(*index).len()).unwrap();
        for expected in self.snapshots.values_mut() {
            expected.bad.insert(index);
        }
        self.net.wipe(index).unwrap();
        self.net.revive(index).await;
    }
}
