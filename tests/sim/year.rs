//! A year of simulated time: providers leave one after another, and the vault is watched.

use std::time::Duration;

use blobdvm::client::WatchOptions;
use blobdvm::erasure::Scheme;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::operations::Kill;
use crate::seeds;
use crate::world::{Size, World};

/// Days between two providers' leaving, and how many leave.
const LEAVES_EVERY: u32 = 60;
const LEAVES: usize = 5;
/// Days that a watch takes to notice that somebody is gone for good, and to make up for it.
const MENDED_AFTER: u32 = 4;

#[test]
fn a_year_in_which_five_of_twelve_providers_leave_loses_nothing() {
    seeds::run_once("a_year_in_which_five_of_twelve_providers_leave_loses_nothing", async |story| {
        let (scheme, provider_count, relay_count) = (Scheme::new(3, 5).unwrap(), 12, 2);
        let size = Size { scheme, provider_count, relay_count };
        let mut world = World::of_size(size, 1, StdRng::seed_from_u64(1), story).await;
        for name in ["letters", "pictures"] {
            world.change_folder(name);
            sleep(Duration::from_secs(2)).await;
            world.put("a", name, Kill::Never).await;
        }
        let mut written = 0;
        for day in 1..=365 {
            world.clock.pass_days(1).await;
            let leaver = usize::try_from(day / LEAVES_EVERY).unwrap();
            if day % LEAVES_EVERY == 0 && leaver <= LEAVES {
                world.leave_for_good();
            }
            let options = WatchOptions::default();
            let ended =
                world.operate("a", Kill::Never, async |client| client.watch_round(&options).await).await;
            let round = ended.unwrap().unwrap_or_else(|error| panic!("day {day}: {error:?}"));
            written += round.shards_written;
            assert_eq!(round.lost, 0, "day {day}");
            if day % LEAVES_EVERY == MENDED_AFTER {
                world.look_into("a");
                world.check_spread(0);
            }
        }
        assert!(written > 0, "nothing had to be mended: nobody who left had anything");
        let snapshots: Vec<_> = world.live().map(|(id, _)| *id).collect();
        let home = world.add_device().await.expect("the key brings everything back");
        for id in snapshots {
            world.get("a", id).await;
            world.get(&home, id).await;
        }
    });
}

impl World {
    /// The provider that keeps most of what is needed leaves, and never comes back.
    fn leave_for_good(&mut self) {
        let there = (0..self.provider_count).filter(|index| self.net.is_running(*index));
        let leaver = there.max_by_key(|index| self.net.intact(*index).len()).expect("somebody is there");
        self.story.tell(format_args!("provider {leaver} leaves"));
        self.net.kill(leaver);
        self.net.lose_blobs(leaver);
    }
}
