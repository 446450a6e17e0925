//! Looking after a vault: check, repair, renew, watch, and what must come of them.

use std::time::Duration;

use blobdvm::client::{CheckOptions, Depth, Listing, Verdict, WatchOptions};
use rand::Rng;

use crate::faults::Ailment;
use crate::operations::Kill;
use crate::world::World;

impl World {
    /// Looks after the vault in one of the ways there are.
    pub(crate) async fn care(&mut self, home: &str, kill: Kill) {
        match self.rng.random_range(0..6) {
            0 => {
                let percent = self.rng.random_range(1..=100);
                self.examine(home, Depth::Read { percent }).await;
            }
            1 => drop(self.examine(home, Depth::Audit { count: 10 }).await),
            2 => self.renew(home, kill).await,
            3 => drop(self.repair(home, kill).await),
            4 => self.watch(home).await,
            _ => self.restore_health(home).await,
        }
    }

    /// Checks everything. One that reads all of it says that all is well only if it is.
    pub(crate) async fn examine(&mut self, home: &str, depth: Depth) -> Option<Verdict> {
        self.story.tell(format_args!("check {depth:?} at {home}; {}", self.flaws));
        let options = CheckOptions { snapshot: None, depth, listing: Listing::Weak };
        let ended = self.operate(home, Kill::Never, async |client| client.check(&options).await).await;
        match ended.expect("nobody kills a check") {
            Ok(outcome) => {
                let (worst, tally) = (outcome.worst(), &outcome.tally);
                self.story.tell(format_args!("  {worst:?}: {} of {} packs", tally.healthy, tally.packs));
                if depth == (Depth::Read { percent: 100 }) && worst == Verdict::Healthy && self.is_calm() {
                    self.check_spread(0);
                }
                Some(worst)
            }
            Err(error) => {
                assert!(!self.is_calm(), "check failed: {error:?}");
                None
            }
        }
    }

    /// Brings everything back to full health: reads all of it to know what is wrong, and repairs that. Then nothing is
    /// missing any more, unless somebody goes on losing what he gets.
    pub(crate) async fn restore_health(&mut self, home: &str) {
        if self.examine(home, Depth::Read { percent: 100 }).await.is_none() {
            return;
        }
        if self.repair(home, Kill::Never).await && self.is_calm() {
            let hollow = self.flaws.hollow.clone();
            self.flaws.was_anything_lost = !hollow.is_empty();
            if self.homes.len() == 1 {
                self.flaws.manifest_bad.clone_from(&hollow);
            }
            for expected in self.snapshots.values_mut().filter(|expected| expected.removed_at.is_none()) {
                expected.bad.clone_from(&hollow);
            }
            self.check();
        }
    }

    /// Repairs what is known to be wrong. Whether it came to its end.
    pub(crate) async fn repair(&mut self, home: &str, kill: Kill) -> bool {
        self.story.tell(format_args!("repair at {home}, {kill:?}; {}", self.flaws));
        let ended = self.operate(home, kill, async |client| client.repair(None).await).await;
        let is_calm = self.is_calm() && kill.is_never();
        self.look_into(home);
        match ended {
            Some(Ok(outcome)) => {
                self.story.tell(format_args!(
                    "  repaired {}, left {}, lost {}, {} shards written",
                    outcome.packs_repaired, outcome.packs_left, outcome.packs_lost, outcome.shards_written
                ));
                assert!(!is_calm || outcome.packs_lost == 0, "something is lost: {outcome:?}");
                // The manifest of another device can be put back, and is moved only when that one was silent for long.
                let is_whole = outcome.packs_left == 0 || self.homes.len() > 1;
                // Where messages are lost, it may happen that all questions to somebody are, and then it says so.
                let is_excused = self.flaws.loses_messages() && !outcome.failures.is_empty();
                assert!(!is_calm || is_whole || is_excused, "not everything was repaired: {outcome:?}");
                is_whole
            }
            Some(Err(error)) => {
                assert!(!is_calm, "repair failed: {error:?}");
                false
            }
            None => false,
        }
    }

    /// Has every promise extended; then a quarter of a year may pass.
    pub(crate) async fn renew(&mut self, home: &str, kill: Kill) {
        self.story.tell(format_args!("renew at {home}, {kill:?}; {}", self.flaws));
        let ended = self.operate(home, kill, async |client| client.renew(None).await).await;
        let must = self.is_calm() && kill.is_never();
        match ended {
            Some(Ok(outcome)) => {
                self.story.tell(format_args!("  renewed {}, failed {}", outcome.renewed, outcome.failed));
                if must {
                    self.days = 0;
                }
            }
            Some(Err(error)) => assert!(!must, "renew failed: {error:?}"),
            None => {}
        }
        self.look_into(home);
    }

    /// Watches for a few days. Nothing is moved for who is away for less than the grace period and has lost nothing.
    async fn watch(&mut self, home: &str) {
        let options = WatchOptions::default();
        if self.rng.random_bool(0.5) {
            self.leave();
        }
        let days = self.rng.random_range(1..=4).min(self.days_left());
        self.story.tell(format_args!("watch for {days} days at {home}; {}", self.flaws));
        for _ in 0..days {
            self.days += 1;
            self.clock.pass_days(1).await;
            let ended =
                self.operate(home, Kill::Never, async |client| client.watch_round(&options).await).await;
            self.look_into(home);
            match ended.expect("nobody kills a watch") {
                Ok(round) => {
                    self.story.tell(format_args!(
                        "  healthy {} of {}, renewed {}, {} shards written",
                        round.healthy, round.packs, round.renewed, round.shards_written
                    ));
                    let is_excused = self.only_short_absences(options.grace);
                    assert!(
                        !is_excused || round.shards_written == 0,
                        "{} shards were written for an absence that is shorter than the grace period",
                        round.shards_written
                    );
                }
                Err(error) => assert!(!self.is_calm(), "watch failed: {error:?}"),
            }
            self.check();
        }
    }

    /// Nothing was ever lost, and all that is wrong is that some do not answer, for a shorter time than `grace`.
    fn only_short_absences(&self, grace: Duration) -> bool {
        let is_short = |index: usize| match self.flaws.ailing[index] {
            None => true,
            Some(Ailment::Away | Ailment::Frozen) => {
                self.now() < self.flaws.ailing_since[index].saturating_add(grace)
            }
            Some(_) => false,
        };
        self.flaws.relays_work(self.now())
            && !self.flaws.is_disk_failing
            && !self.flaws.was_anything_lost
            && (0..self.provider_count).all(is_short)
    }
}
