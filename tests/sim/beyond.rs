//! More is lost than can be made up for: never wrong bytes, never a hang, the right error, no file left behind.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use blobdvm::client::{ClientError, Destination, GetOptions, PutOptions};
use blobdvm::testing::Spoil;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::sleep;

use crate::operations::Kill;
use crate::seeds;
use crate::world::World;

/// How a provider loses everything, or as good as.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Wiped,
    Gone,
    Frozen,
    Lying,
    Spoiled(Spoil),
}

const LOSSES: [Loss; 8] = [
    Loss::Wiped,
    Loss::Gone,
    Loss::Frozen,
    Loss::Lying,
    Loss::Spoiled(Spoil::Flip),
    Loss::Spoiled(Spoil::Truncate),
    Loss::Spoiled(Spoil::Empty),
    Loss::Spoiled(Spoil::Swap),
];

#[test]
fn beyond_the_budget_bytes_are_never_wrong_and_the_error_is_the_right_one() {
    seeds::run_some(
        100,
        "beyond_the_budget_bytes_are_never_wrong_and_the_error_is_the_right_one",
        |seed, story| async move {
            let mut world = World::start(seed | 1 << 32, story).await;
            let home = "a".to_owned();
            for _ in 0..world.rng.random_range(1..=3) {
                world.change_folder("letters");
                sleep(Duration::from_secs(2)).await;
                world.put(&home, "letters", Kill::Never).await;
            }
            let lost = world.lose_too_many().await;
            world.gets_tell_what_is_lost(&home, &lost).await;
            world.puts_tell_who_is_missing(&home, &lost).await;
            world.check_secrecy();
        },
    );
}

impl World {
    /// More providers than any pack can do without lose what they have.
    async fn lose_too_many(&mut self) -> BTreeSet<usize> {
        let mut all: Vec<usize> = (0..self.provider_count).collect();
        all.shuffle(&mut self.rng);
        let count = self.rng.random_range(self.parity() + 1..=self.provider_count);
        for index in &all[..count] {
            let loss = *LOSSES.choose(&mut self.rng).unwrap();
            self.story.tell(format_args!("  provider {index} is {loss:?}"));
            match loss {
                Loss::Wiped => {
                    self.net.wipe(*index).unwrap();
                    self.net.revive(*index).await;
                }
                Loss::Gone => self.net.kill(*index),
                Loss::Frozen => self.net.freeze(*index),
                Loss::Lying => self.net.liar(*index).begin(),
                Loss::Spoiled(how) => {
                    self.net.spoil(*index, how);
                }
            }
        }
        all[..count].iter().copied().collect()
    }

    /// A get restores what can be restored, and exits for the right reason where something cannot.
    async fn gets_tell_what_is_lost(&mut self, home: &str, lost: &BTreeSet<usize>) {
        let good: Vec<BTreeSet<_>> = (0..self.provider_count)
            .filter(|index| !lost.contains(index))
            .map(|index| self.net.intact(index).into_iter().collect())
            .collect();
        let ids: Vec<_> = self.snapshots.keys().copied().collect();
        for id in ids {
            let expected = &self.snapshots[&id];
            let is_restorable = expected.views[home].iter().all(|pack| {
                let there = pack.shards.iter().filter(|hash| good.iter().any(|store| store.contains(hash)));
                there.count() >= usize::from(pack.scheme.need())
            });
            let (name, files) = (expected.name.clone(), expected.files.clone());
            let out = self.net.path().join("out");
            let _ = fs::remove_dir_all(&out);
            let options = GetOptions::all_to(Destination::Path(out.clone()));
            self.story.tell(format_args!("get {}, restorable: {is_restorable}", id.short()));
            let ended = self
                .operate(home, Kill::Never, async |client| {
                    let snapshots = client.vault.snapshots()?;
                    let snapshot = snapshots.into_iter().find(|one| one.id == id).expect("it was put here");
                    client.get(&snapshot, &options).await
                })
                .await;
            let restored = crate::operations::restored(&out, &name);
            for (file, bytes) in &restored {
                assert!(files.get(file) == Some(bytes), "{file} was restored wrong, or is left over");
            }
            match ended.expect("nobody kills it") {
                Ok(_) => {
                    assert!(
                        is_restorable && restored == files,
                        "a get of what is lost says that all is well"
                    );
                }
                Err(ClientError::TooFewShards { have, need, .. }) => {
                    assert!(!is_restorable && have < need);
                    assert!(restored.values().all(Vec::is_empty), "a get that restored nothing left files");
                }
                Err(ClientError::Incomplete { source, outcome }) => {
                    assert!(matches!(*source, ClientError::TooFewShards { .. }) && !is_restorable);
                    assert_eq!(outcome.files + outcome.lost.len() as u64, files.len() as u64);
                    assert_eq!(outcome.files, restored.len() as u64);
                }
                Err(error) => panic!("not the right error: {error:?}"),
            }
        }
    }

    /// A put ends in success with its whole spread, or says that providers are too few.
    async fn puts_tell_who_is_missing(&mut self, home: &str, lost: &BTreeSet<usize>) {
        self.change_folder("letters");
        sleep(Duration::from_secs(2)).await;
        let (folder, options) = (self.source("letters"), PutOptions::new(self.scheme));
        self.story.tell("put");
        let ended = self
            .operate(home, Kill::Never, async |client| client.put(&[folder], &options).await.map(drop))
            .await;
        let there = (0..self.provider_count)
            .filter(|index| self.net.is_running(*index) && !self.net.is_frozen(*index))
            .count();
        let wanted = usize::from(self.scheme.total());
        match ended.expect("nobody kills it") {
            Ok(()) => assert!(there >= wanted, "stored at {there} of {wanted} providers"),
            Err(ClientError::TooFewProviders { have, wanted: asked, .. }) => {
                assert!(have < asked && asked == wanted && there < wanted, "{there} of {wanted} were there");
            }
            Err(error) => panic!("not the right error: {error:?}; {there} are there, {lost:?} have lost all"),
        }
    }
}
