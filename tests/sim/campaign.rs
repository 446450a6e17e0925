//! A random schedule within the budget: whatever happens is safe, and once faults stop everything comes to its end.

use std::time::Duration;

use blobdvm::client::{Depth, Verdict};
use rand::Rng;
use tokio::time::sleep;

use crate::operations::Kill;
use crate::seeds;
use crate::story::Story;
use crate::world::World;

/// Days that may pass while nothing renews: promises are for 90, and a put asks for 30.
const DAYS_MAX: u32 = 50;
/// Snapshots that are kept at a time.
const LIVE_MAX: usize = 5;
const NAMES: [&str; 2] = ["letters", "pictures"];

#[test]
fn nothing_is_lost_within_the_budget_and_all_is_well_once_faults_stop() {
    seeds::run(
        "nothing_is_lost_within_the_budget_and_all_is_well_once_faults_stop",
        |seed, story| async move {
            let mut world = World::start(seed, story).await;
            let steps = world.rng.random_range(6..=14);
            for _ in 0..steps {
                world.step().await;
                world.check();
                // Two changes of one second have no order.
                sleep(Duration::from_secs(2)).await;
            }
            world.check_secrecy();
            world.ends_well().await;
        },
    );
}

#[test]
fn a_seed_replays() {
    let told = |seed| {
        let story = Story::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut world = World::start(seed, story.clone()).await;
            for _ in 0..8 {
                world.step().await;
                sleep(Duration::from_secs(2)).await;
            }
            story.tell(world.net.hub(0).unwrap().counts().published);
        });
        story.lines()
    };
    // Seeds that no campaign has at the same time.
    for seed in (1_u64 << 40..).take(3) {
        assert_eq!(told(seed), told(seed));
    }
}

impl World {
    /// One random thing that people do, with faults around it.
    async fn step(&mut self) {
        if self.rng.random_bool(0.45) {
            self.fault().await;
        }
        let armed = self.arm_disk();
        let home = self.homes[self.rng.random_range(0..self.homes.len())].clone();
        let kill = Kill::random(self);
        match self.rng.random_range(0..20) {
            0..=7 => self.change_and_put(&home, kill).await,
            8..=10 => match self.any_snapshot() {
                Some(id) => self.get(&home, id).await,
                None => self.change_and_put(&home, kill).await,
            },
            11..=12 => match self.any_snapshot() {
                Some(id) => self.remove(&home, id, kill).await,
                None => self.change_and_put(&home, kill).await,
            },
            13..=14 => self.prune(&home, kill).await,
            15..=17 if self.live().next().is_some() => self.care(&home, kill).await,
            15..=18 => self.pass_days().await,
            _ => {
                if self.homes.len() < 3 && self.live().next().is_some() {
                    self.add_device().await;
                }
            }
        }
        self.disarm_disk(armed).await;
    }

    async fn change_and_put(&mut self, home: &str, kill: Kill) {
        if self.live().count() >= LIVE_MAX
            && let Some(id) = self.any_snapshot()
        {
            return self.remove(home, id, kill).await;
        }
        let name = NAMES[self.rng.random_range(0..NAMES.len())];
        if !self.folders.contains_key(name) || self.rng.random_bool(0.7) {
            self.change_folder(name);
            sleep(Duration::from_secs(2)).await;
        }
        self.put(home, name, kill).await;
    }

    async fn pass_days(&mut self) {
        let days = self.rng.random_range(1..=9).min(self.days_left());
        self.story.tell(format_args!("{days} days pass"));
        self.days += days;
        self.clock.pass_days(days).await;
    }

    /// Days that may pass before promises must be renewed.
    pub(crate) fn days_left(&self) -> u32 {
        DAYS_MAX - self.days
    }

    /// Faults stop: everything restores, on a new machine too, and what is put again is at full health.
    async fn ends_well(&mut self) {
        self.heal().await;
        for name in NAMES {
            self.change_folder(name);
            sleep(Duration::from_secs(2)).await;
            self.put("a", name, Kill::Never).await;
            sleep(Duration::from_secs(2)).await;
        }
        self.check();
        self.restore_health("a").await;
        let found = self.examine("a", Depth::Ask).await;
        let is_alone = self.homes.len() == 1;
        assert!(
            !is_alone || found == Some(Verdict::Healthy),
            "after a repair all is well, and not {found:?}"
        );
        assert!(found <= Some(Verdict::Degraded), "after a repair nothing is lost, and not {found:?}");
        self.check_spread(0);
        self.renew("a", Kill::Never).await;
        self.prune("a", Kill::Never).await;
        self.check();
        let live: Vec<_> = self.live().map(|(id, _)| *id).collect();
        for id in &live {
            self.get("a", *id).await;
        }
        let home = self.add_device().await.expect("nothing is in the way of a recovery");
        for id in live {
            self.get(&home, id).await;
            assert!(self.snapshots[&id].views.contains_key(&home), "a recovery has forgotten {}", id.short());
        }
        self.check();
        self.check_secrecy();
    }
}
