//! What people do with their vault, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{
    Client, ClientError, Destination, GetOptions, PruneOptions, PutOptions, RemoveOptions,
};
use blobdvm::crypt::VaultSecret;
use blobdvm::env::{FileFault, file_step_count, set_file_fault};
use blobdvm::testing::Stopping;
use blobdvm::types::SnapshotId;
use blobdvm::vault::{Home, Vault};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::time::timeout;

use crate::faults::Weather;
use crate::world::{Expected, Files, World};

/// Virtual time that any operation may take, whatever goes wrong.
const OPERATION_MAX: Duration = Duration::from_secs(1_800);

/// When the client's process ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    Never,
    /// At so many events sent or questions asked.
    AtStep(usize),
    /// At so many file operations in the home.
    AtFile(u64),
    /// Not at all, but one file operation in the home fails.
    FileFails(u64),
}

impl Kill {
    pub(crate) fn random(world: &mut World) -> Self {
        match world.rng.random_range(0..10) {
            0 => Self::AtStep(world.rng.random_range(0..80)),
            1 => Self::AtFile(world.rng.random_range(0..60)),
            2 => Self::FileFails(world.rng.random_range(0..60)),
            _ => Self::Never,
        }
    }

    pub(crate) fn is_never(self) -> bool {
        matches!(self, Self::Never)
    }
}

/// How an operation ended.
pub(crate) type Ended<T> = Option<Result<T, ClientError>>;

impl World {
    /// Runs `operation` with a client of `home` that is killed when `kill` says; `None` if it was.
    ///
    /// # Panics
    /// If it takes longer than anything may.
    pub(crate) async fn operate<T>(
        &mut self,
        home: &str,
        kill: Kill,
        operation: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Ended<T> {
        let vault = self.vault(home);
        let at = if let Kill::AtStep(at) = kill { at } else { usize::MAX };
        let (carrier, reached) = Stopping::new(self.net.carrier().await, at);
        let mut client = self.client_over(vault, Arc::new(carrier));
        match kill {
            Kill::AtFile(at) => set_file_fault(Some(FileFault::Crash { at })),
            Kill::FileFails(at) => set_file_fault(Some(FileFault::Fail { at })),
            Kill::Never | Kill::AtStep(_) => {}
        }
        let began = tokio::time::Instant::now();
        let ended = tokio::select! {
            biased;
            () = reached.notified() => None,
            ended = timeout(OPERATION_MAX, operation(&mut client)) => {
                Some(ended.unwrap_or_else(|_| panic!("it takes more than {OPERATION_MAX:?}")))
            }
        };
        let steps = file_step_count();
        self.was_cut = match kill {
            Kill::Never => false,
            Kill::AtStep(_) => ended.is_none(),
            Kill::AtFile(at) | Kill::FileFails(at) => steps > at,
        };
        let is_dead = matches!(kill, Kill::AtFile(at) if steps > at);
        drop(client);
        set_file_fault(None);
        let how = match &ended {
            None => "it was killed".to_owned(),
            Some(Ok(_)) => "done".to_owned(),
            Some(Err(error)) => format!("{error}"),
        };
        self.story.tell(format_args!("  {how} ({} s)", began.elapsed().as_secs()));
        if is_dead { None } else { ended }
    }

    /// Puts a folder; what put says is stored must be there, and what it must be able to do it must do.
    pub(crate) async fn put(&mut self, home: &str, name: &str, kill: Kill) {
        self.story.tell(format_args!("put {name} from {home}, {kill:?}; {}", self.flaws));
        let (folder, options) = (self.source(name), PutOptions::new(self.scheme));
        let files = self.folders[name].clone();
        let ended = self
            .operate(home, kill, async |client| Ok(client.put(&[folder], &options).await?.snapshot))
            .await;
        let must = kill.is_never() && self.can_store();
        match &ended {
            Some(Err(error)) if must => panic!("put failed: {error:?}"),
            Some(Ok(id)) => self.story.tell(format_args!("  snapshot {}", id.short())),
            _ => {}
        }
        self.take_note(home, ended.and_then(Result::ok), name, &files);
    }

    /// Enough providers and a relay are as they should be, so that whatever stores something must succeed.
    ///
    /// Where relays are slow a put may hear of no more providers in time than it needs: then none of them may fail.
    fn can_store(&self) -> bool {
        let fine = self.provider_count - self.flaws.impaired().len();
        let hears_all = !self.flaws.weather.contains(&Weather::Mild);
        self.flaws.relays_work(self.now())
            && (hears_all || fine == self.provider_count)
            && !self.flaws.is_disk_failing
            && fine >= usize::from(self.scheme.total())
    }

    /// Writes down the new snapshots that a home knows, as those of `name` with these files.
    fn take_note(&mut self, home: &str, stored: Option<SnapshotId>, name: &str, files: &Files) {
        let silent: BTreeSet<usize> = self.flaws.silent_losses.union(&self.flaws.hollow).copied().collect();
        let vault = self.vault(home);
        for snapshot in vault.snapshots().unwrap() {
            if self.snapshots.contains_key(&snapshot.id) {
                continue;
            }
            let expected = Expected {
                name: name.to_owned(),
                files: files.clone(),
                is_sure: stored == Some(snapshot.id),
                removed_at: None,
                is_gone: false,
                bad: silent.clone(),
                views: BTreeMap::new(),
            };
            self.snapshots.insert(snapshot.id, expected);
        }
        self.look_into_vault(home, &vault);
        if let Some(id) = stored {
            self.check_stored(home, id, &vault);
            if self.homes.len() == 1 {
                self.flaws.manifest_bad = silent;
            }
        }
    }

    /// Brings what a home knows of the snapshots' packs up to date.
    pub(crate) fn look_into(&mut self, home: &str) {
        let vault = self.vault(home);
        self.look_into_vault(home, &vault);
    }

    fn look_into_vault(&mut self, home: &str, vault: &Vault) {
        let known: BTreeSet<_> = vault.snapshots().unwrap().into_iter().map(|snapshot| snapshot.id).collect();
        for (id, expected) in &mut self.snapshots {
            if known.contains(id) {
                let view = Self::needed(vault, id).map(|view| (home.to_owned(), view));
                expected.views.extend(view);
            }
        }
    }

    /// Restores a snapshot and compares every file. What a failed get leaves is right as far as it goes.
    pub(crate) async fn get(&mut self, home: &str, id: SnapshotId) {
        let expected = &self.snapshots[&id];
        let affected = self.flaws.impaired().union(&expected.bad).count();
        let must = affected <= self.parity()
            && self.flaws.relays_work(self.now())
            && !self.flaws.is_disk_failing
            && expected.removed_at.is_none()
            && expected.is_sure
            && expected.views.contains_key(home);
        let name = expected.name.clone();
        self.story.tell(format_args!("get {} ({name}) to {home}; {}", id.short(), self.flaws));
        let out = self.net.path().join("out");
        let _ = fs::remove_dir_all(&out);
        let destination = Destination::Path(out.clone());
        let is_alone = self.homes.len() == 1;
        let ended = self
            .operate(home, Kill::Never, async |client| {
                if !is_alone {
                    // What others have moved is found only by who looks.
                    let _best_effort = client.catch_up().await;
                }
                let snapshots = client.vault.snapshots()?;
                let Some(snapshot) = snapshots.into_iter().find(|one| one.id == id) else { return Ok(None) };
                client.get(&snapshot, &GetOptions::all_to(destination)).await.map(Some)
            })
            .await;
        let files = &self.snapshots[&id].files;
        let restored = restored(&out, &name);
        for (file, bytes) in &restored {
            assert!(files.get(file) == Some(bytes), "{file} was restored wrong");
        }
        match ended.expect("nobody kills a get") {
            Ok(Some(outcome)) => {
                assert!(restored == *files, "{} of {} files were restored", restored.len(), files.len());
                assert_eq!(outcome.files, files.len() as u64);
            }
            Ok(None) => assert!(!(must && is_alone), "the home has forgotten the snapshot"),
            Err(error) => assert!(!must, "get failed: {error:?}"),
        }
    }

    /// Removes a snapshot; its data stays for the time that is promised.
    pub(crate) async fn remove(&mut self, home: &str, id: SnapshotId, kill: Kill) {
        let is_now = self.homes.len() == 1 && self.rng.random_bool(0.2);
        self.story.tell(format_args!("rm {} at {home}, now: {is_now}, {kill:?}; {}", id.short(), self.flaws));
        let now = self.now();
        let options = RemoveOptions { now: is_now, dry_run: false };
        let ended = self
            .operate(home, kill, async |client| {
                let caught =
                    if is_now { client.catch_up_with_all().await? } else { client.catch_up().await? };
                if !client.vault.snapshots()?.iter().any(|snapshot| snapshot.id == id) {
                    return Ok(false);
                }
                client.remove(&BTreeSet::from([id]), options, &caught).await.map(|_| true)
            })
            .await;
        if let Some(Err(error)) = &ended {
            assert!(!(kill.is_never() && self.is_calm()), "rm failed: {error:?}");
        }
        let is_listed = self.vault(home).snapshots().unwrap().iter().any(|snapshot| snapshot.id == id);
        if !is_listed && !matches!(ended, Some(Ok(false))) {
            let expected = self.snapshots.get_mut(&id).expect("only what is expected is removed");
            expected.removed_at.get_or_insert(now);
            // What is deleted at once may be of others that were removed before.
            for other in self.snapshots.values_mut().filter(|other| is_now && other.removed_at.is_some()) {
                other.is_gone = true;
            }
        }
        self.look_into(home);
    }

    /// Lets go of what nothing needs.
    pub(crate) async fn prune(&mut self, home: &str, kill: Kill) {
        let options = PruneOptions {
            dead_percent_max: *[0, 20, 50].choose(&mut self.rng).unwrap(),
            ..PruneOptions::default()
        };
        self.story.tell(format_args!("prune at {home}, {kill:?}; {}", self.flaws));
        let ended = self.operate(home, kill, async |client| client.prune(&options).await).await;
        if let Some(Err(error)) = &ended {
            assert!(!(kill.is_never() && self.is_calm()), "prune failed: {error:?}");
        }
        if let Some(Ok(outcome)) = ended {
            self.story.tell(format_args!(
                "  due {}, waiting {}, condemned {}, repacked {}, deleted {}, orphans {}",
                outcome.due_packs,
                outcome.waiting,
                outcome.condemned,
                outcome.repacked,
                outcome.deleted_blobs,
                outcome.orphans
            ));
        }
        self.look_into(home);
    }

    /// Nothing is wrong for the moment.
    pub(crate) fn is_calm(&self) -> bool {
        self.flaws.relays_work(self.now()) && !self.flaws.is_disk_failing && self.flaws.impaired().is_empty()
    }

    /// A second device, from the key and the relays alone. Returns its home, unless the relays or providers are such
    /// that it may fail.
    pub(crate) async fn add_device(&mut self) -> Option<String> {
        let home = format!("device-{}", self.homes.len());
        self.story.tell(format_args!("recover {home}; {}", self.flaws));
        let first = self.vault("a");
        let secret = VaultSecret::new(*first.keys().unwrap().secret().expose());
        drop(first);
        let path = self.net.home_dir(&home);
        drop(Home::init(&path, secret, &self.env).unwrap());
        let ended = self
            .operate(&home, Kill::Never, async |client| client.recover(&BTreeSet::new()).await.map(drop))
            .await;
        match ended.expect("nobody kills a recovery") {
            Ok(()) => {
                self.homes.push(home.clone());
                self.look_into(&home);
                Some(home)
            }
            Err(error) => {
                assert!(!self.is_calm() || self.live().next().is_none(), "recover failed: {error:?}");
                fs::remove_dir_all(&path).unwrap();
                None
            }
        }
    }

    /// A snapshot that may be removed or restored, and that this run knows of.
    pub(crate) fn any_snapshot(&mut self) -> Option<SnapshotId> {
        let live: Vec<SnapshotId> = self.live().map(|(id, _)| *id).collect();
        live.choose(&mut self.rng).copied()
    }
}

/// The files below `out/name`, by their names. Anything else there, such as a temporary file, has a name too.
pub(crate) fn restored(out: &Path, name: &str) -> Files {
    let Ok(entries) = fs::read_dir(out.join(name)) else { return Files::new() };
    let read = |path: PathBuf| {
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap())
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}
