//! Folder through a vault and back: what `put` and `get` do, from connecting to the relays to the last byte on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::cli::bench::report::{Backup, Folder, Moved, Rates};
use crate::cli::bench::run::{Bench, Course};
use crate::cli::bench::{cpu, noise};
use crate::cli::demo::failed;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::client::{
    CarrierChoice, Client, ClientError, Destination, GetOptions, PutOptions, PutOutcome, Unwatched,
};
use crate::env::off_thread;
use crate::types::ChunkLen;
use crate::vault::Home;

/// Bytes that are put for one row, in several rounds where the files are small.
const ROW_LEN: u64 = 128 << 20;
const ROW_LEN_QUICK: u64 = 2 << 20;
const ROUND_COUNT_MAX: u32 = 20;
const ROUND_COUNT_MAX_QUICK: u32 = 3;
/// The row of many small files.
const SMALL_COUNT: u64 = 1_000;
const SMALL_COUNT_QUICK: u64 = 100;
pub(super) const SMALL_LEN: u64 = 10 * 1024;
const NAME: &str = "bench";

impl Bench<'_> {
    /// One row: files of `size` bytes, each put and got by a run of its own.
    pub(super) async fn backup(&self, course: Course, size: u64) -> Result<Backup, CliError> {
        let home = self.new_home()?;
        let (row_len, count_max) =
            if self.args.quick { (ROW_LEN_QUICK, ROUND_COUNT_MAX_QUICK) } else { (ROW_LEN, ROUND_COUNT_MAX) };
        let rounds = u32::try_from(row_len / size).unwrap_or(u32::MAX).clamp(1, count_max);
        let (mut put, mut get) = (Moved::default(), Moved::default());
        let room = self.room()?;
        let source = room.path().join("source");
        for _ in 0..rounds {
            let (path, env) = (source.clone(), self.context.env.clone());
            let made = off_thread(move || noise::file(&path, size, &env)).await;
            made.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(failed)?;
            let (done, _) = self.put(&source, size, course, &home).await?;
            put = put.and(done);
            get = get.and(self.get(size, course, &home, room.path()).await?);
        }
        room.close().map_err(failed)?;
        self.withdraw(&home).await?;
        let (spread, need) = (self.scheme.total(), self.scheme.need());
        let (put_s, get_s) = (put.seconds(rounds), get.seconds(rounds));
        let (carrier, chunk_size, rates) = (course.carrier(), course.chunk_size(), Rates::of(put, get));
        Ok(Backup { carrier, chunk_size, size, rounds, spread, need, put_s, get_s, rates })
    }

    /// One row: many small files in one put.
    pub(super) async fn small_files(&self, course: Course) -> Result<Folder, CliError> {
        let home = self.new_home()?;
        let room = self.room()?;
        let source = room.path().join("source");
        fs::create_dir(&source).map_err(failed)?;
        let files = if self.args.quick { SMALL_COUNT_QUICK } else { SMALL_COUNT };
        for index in 0..files {
            noise::file(&source.join(index.to_string()), SMALL_LEN, &self.context.env).map_err(failed)?;
        }
        let (put, outcome) = self.put(&source, files * SMALL_LEN, course, &home).await?;
        let get = self.get(files * SMALL_LEN, course, &home, room.path()).await?;
        room.close().map_err(failed)?;
        self.withdraw(&home).await?;
        Ok(Folder {
            carrier: course.carrier(),
            chunk_size: course.chunk_size(),
            size: SMALL_LEN,
            files,
            blobs: outcome.stored.blobs,
            spread: self.scheme.total(),
            need: self.scheme.need(),
            put_s: put.seconds(1),
            get_s: get.seconds(1),
            rates: Rates::of(put, get),
        })
    }

    async fn put(
        &self,
        source: &Path,
        bytes: u64,
        course: Course,
        home: &Path,
    ) -> Result<(Moved, PutOutcome), CliError> {
        let providers: BTreeSet<_> = self.stage.providers.iter().copied().collect();
        let name = Some(NAME.to_owned());
        let options = PutOptions { providers, accept_short: true, name, ..PutOptions::new(self.scheme) };
        let watch = self.watch();
        let mut client = self.client(course, home).await?;
        let outcome = client.put(&[source.to_owned()], &options).await?;
        let moved = watch.read(bytes);
        if outcome.bytes != bytes {
            return Err(differs("what was stored is not as long as what was put"));
        }
        Ok((moved, outcome))
    }

    async fn get(&self, bytes: u64, course: Course, home: &Path, room: &Path) -> Result<Moved, CliError> {
        let out = room.join("restored");
        let watch = self.watch();
        let client = self.client(course, home).await?;
        let snapshot = client.vault.latest_snapshot(NAME)?;
        let snapshot = snapshot.ok_or(ClientError::Dangling { what: "the bench's snapshot".to_owned() })?;
        // A folder that ends with a slash: also a single file goes into it under its own name.
        let options = GetOptions::all_to(Destination::Path(out.join("")));
        let outcome = client.get(&snapshot, &options).await?;
        let moved = watch.read(bytes);
        fs::remove_dir_all(&out).map_err(failed)?;
        if outcome.bytes != bytes {
            return Err(differs("what was restored is not as long as what was put"));
        }
        Ok(moved)
    }

    /// A client as a run of the program has it: with connections of its own.
    pub(super) async fn client(&self, course: Course, home: &Path) -> Result<Client, CliError> {
        let vault = Home::open(home, &self.context.env)?;
        let (connection, patience) = (self.connect().await?, self.context.timeout);
        let monitor = std::sync::Arc::new(Unwatched);
        let client = Client::new(vault, connection, monitor, patience, self.context.env.clone());
        Ok(client.going(course.carrier, course.chunk_len))
    }

    /// A folder for the files of one row, which goes when the row is done or fails.
    fn room(&self) -> Result<TempDir, CliError> {
        TempDir::new_in(self.folder).map_err(failed)
    }

    /// A vault for one row, in the temporary folder. It is remembered, because what it stores has to be taken back.
    fn new_home(&self) -> Result<PathBuf, CliError> {
        let mut homes = self.homes();
        let home = self.folder.join(format!("home-{}", homes.made));
        homes.made += 1;
        homes.left.insert(home.clone());
        drop(homes);
        let vault = Home::init_fresh(&home, &self.context.env)?;
        vault.update_settings(|settings| settings.passages = self.passages())?;
        Ok(home)
    }

    /// Takes back what a vault has stored at providers that go on, and forgets the vault.
    pub(super) async fn withdraw(&self, home: &Path) -> Result<(), CliError> {
        if !self.stage.is_embedded() {
            let best = Course { carrier: CarrierChoice::Best, chunk_len: ChunkLen::BASE };
            let client = self.client(best, home).await?;
            for failure in client.withdraw(&self.stage.providers).await? {
                self.leave(&failure.provider, &failure.why);
            }
        }
        self.homes().left.remove(home);
        // The next row needs the room.
        fs::remove_dir_all(home).map_err(failed)
    }

    pub(super) fn watch(&self) -> Watch {
        let pids = self.stage.pids();
        Watch { cpu: cpu::seconds(&pids), pids, began: Instant::now() }
    }
}

/// What runs from one moment on.
pub(super) struct Watch {
    began: Instant,
    pids: Vec<u32>,
    cpu: Option<f64>,
}

impl Watch {
    /// What it took to move so many bytes.
    pub(super) fn read(&self, bytes: u64) -> Moved {
        let took: Duration = self.began.elapsed();
        let cpu = cpu::seconds(&self.pids).zip(self.cpu).map(|(after, before)| after - before);
        Moved { bytes, took, cpu }
    }
}

fn differs(what: &str) -> CliError {
    CliError::new(Exit::Integrity, what, "report it: this is a defect")
}
