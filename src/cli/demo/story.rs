//! What happens in the demo: a backup, a loss, damage, an error where one is due, and a recovery.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytesize::ByteSize;
use tokio::time::Instant;

use crate::cli::args::DemoArgs;
use crate::cli::context::Context;
use crate::cli::demo::stage::Stage;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::count;
use crate::client::{Client, ClientError, Destination, GetOptions, PutOptions, Unwatched};
use crate::crypt::VaultSecret;
use crate::erasure::Scheme;
use crate::vault::{Home, Vault};

/// The file that is backed up if none is named.
const README: &str = include_str!("../../../README.md");
const NAME: &str = "demo";
const PROVIDERS: usize = 3;

/// Tells the story; ends with an error if anything is not as it should be.
pub async fn run(args: &DemoArgs, context: &Context) -> Result<Exit, CliError> {
    let folder = tempfile::Builder::new().prefix("blobdvm-demo-").tempdir().map_err(failed)?;
    let source = match &args.path {
        Some(path) => path.canonicalize().map_err(|error| {
            CliError::new(
                Exit::Failure,
                format!("{}: {error}", path.display()),
                "name a file or folder that exists",
            )
        })?,
        None => {
            let readme = folder.path().join("README.md");
            fs::write(&readme, README).map_err(failed)?;
            readme
        }
    };
    let stage = Stage::build(folder.path(), PROVIDERS, &context.env).await?;
    let mut story =
        Story { stage, source, folder: folder.path().to_owned(), context, step: AtomicUsize::new(0) };
    let told = story.tell().await;
    // The providers' tasks end before their folders go.
    story.stage.clear().await;
    drop(story);
    folder.close().map_err(failed)?;
    told.map(|()| Exit::Ok)
}

struct Story<'a> {
    stage: Stage,
    source: PathBuf,
    folder: PathBuf,
    context: &'a Context,
    step: AtomicUsize,
}

impl Story<'_> {
    async fn tell(&mut self) -> Result<(), CliError> {
        self.say(format_args!(
            "a relay listens on {}, and three providers announce themselves there",
            self.stage.url()
        ));
        let home = self.folder.join("home");
        let secret = self.back_up(&home).await?;

        self.stage.destroy(0).await?;
        self.say("provider 1 is destroyed: its process and its disk are gone");
        for corrupt in 0..PROVIDERS {
            self.restore_with(corrupt, &home).await?;
        }

        fs::remove_dir_all(&home).map_err(failed)?;
        self.say("the laptop is lost: the home folder with manifest and catalog is deleted");
        self.recover(secret).await?;
        self.context.output.say("\nall as it should be; nothing is left behind");
        Ok(())
    }

    async fn back_up(&self, home: &Path) -> Result<VaultSecret, CliError> {
        let vault = Home::init_fresh(home, &self.context.env)?;
        let secret = VaultSecret::new(*vault.keys()?.secret().expose());
        let mut client = self.client(vault).await?;
        let start = Instant::now();
        let outcome = client.put(std::slice::from_ref(&self.source), &options()).await?;
        let seconds = start.elapsed().as_secs_f64();
        let stored = &outcome.stored;
        self.say(format_args!(
            "{} ({}, {}) is sealed and coded 2 of 3: {} blobs, {} in all, stored in {seconds:.2} s",
            self.source.file_name().unwrap_or_default().display(),
            count(outcome.files, "file"),
            ByteSize::b(outcome.bytes),
            stored.blobs,
            ByteSize::b(stored.bytes),
        ));
        expect(stored.providers.len() == PROVIDERS, "every provider has shards")?;
        Ok(secret)
    }

    /// Damages the shards at `corrupt` of the remaining providers, and restores, or is told that it cannot be.
    async fn restore_with(&mut self, corrupt: usize, home: &Path) -> Result<(), CliError> {
        for index in 1..=corrupt {
            self.stage.flip(index).await?;
        }
        let client = self.client(Home::open(home, &self.context.env)?).await?;
        let out = self.folder.join(format!("restored-{corrupt}"));
        let start = Instant::now();
        let result = get(&client, &out).await;
        let seconds = start.elapsed().as_secs_f64();
        let intact = PROVIDERS - 1 - corrupt;
        match result {
            Ok(files) => {
                expect(intact >= 2, "what cannot be restored is not restored")?;
                self.compare(&out)?;
                self.say(format_args!(
                    "damaged shards at {corrupt} of the other two: {} restored in {seconds:.2} s, identical",
                    count(files, "file")
                ));
            }
            Err(ClientError::TooFewShards { pack, have, need, .. }) => {
                expect(intact < 2, "what can be restored is restored")?;
                expect(have <= intact, "damaged shards do not count")?;
                expect(crate::cli::demo::stage::files(&out).is_empty(), "no file appears that is not right")?;
                self.say(format_args!(
                    "damaged shards at {corrupt} of the other two: refused after {seconds:.2} s, \
                     pack {} has {have} of {need} shards, no file is written",
                    pack.short()
                ));
            }
            Err(other) => return Err(other.into()),
        }
        for index in 1..=corrupt {
            self.stage.flip(index).await?;
        }
        Ok(())
    }

    async fn recover(&self, secret: VaultSecret) -> Result<(), CliError> {
        let vault = Home::init(&self.folder.join("new-home"), secret, &self.context.env)?;
        let client = self.client(vault).await?;
        let start = Instant::now();
        let recovered = client.recover(&std::collections::BTreeSet::new()).await?;
        expect(recovered.lost.is_empty(), "every device's manifest comes back")?;
        let out = self.folder.join("recovered");
        let files = get(&client, &out).await?;
        let seconds = start.elapsed().as_secs_f64();
        self.compare(&out)?;
        let records: u64 = recovered.devices.values().sum();
        self.say(format_args!(
            "from the key alone: {} and {} back in {seconds:.2} s, identical",
            count(records, "manifest record"),
            count(files, "file")
        ));
        Ok(())
    }

    async fn client(&self, vault: Vault) -> Result<Client, CliError> {
        let (patience, env) = (self.context.timeout, self.context.env.clone());
        Ok(Client::new(vault, self.stage.carrier().await?, Arc::new(Unwatched), patience, env))
    }

    /// Compares what was restored with what was backed up, byte by byte.
    fn compare(&self, restored: &Path) -> Result<(), CliError> {
        let name = self.source.file_name().unwrap_or_default();
        same(&self.source, &restored.join(name))
    }

    fn say(&self, line: impl std::fmt::Display) {
        let step = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        self.context.output.say(format_args!("{step:>2}. {line}"));
    }
}

fn options() -> PutOptions {
    let scheme = Scheme::new(2, 3).expect("2 of 3 is a scheme");
    let (providers, host) = (std::collections::BTreeSet::new(), String::new());
    PutOptions { providers, name: Some(NAME.to_owned()), host, ..PutOptions::new(scheme) }
}

async fn get(client: &Client, out: &Path) -> Result<u64, ClientError> {
    let snapshot = client.vault.latest_snapshot(NAME)?;
    let snapshot =
        snapshot.ok_or_else(|| ClientError::Dangling { what: "the demo's snapshot".to_owned() })?;
    // A folder that ends with a slash: also a single file goes into it under its own name.
    let destination = Destination::Path(out.join(""));
    let options = GetOptions::all_to(destination);
    Ok(client.get(&snapshot, &options).await?.files)
}

fn same(left: &Path, right: &Path) -> Result<(), CliError> {
    if left.is_symlink() {
        return expect(fs::read_link(left).ok() == fs::read_link(right).ok(), "links are the same");
    }
    if left.is_dir() {
        for entry in fs::read_dir(left).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            same(&left.join(&name), &right.join(&name))?;
        }
        return Ok(());
    }
    if !left.is_file() {
        return Ok(());
    }
    expect(fs::read(left).map_err(failed)? == fs::read(right).map_err(failed)?, "files are the same")
}

/// An error if something is not as it should be.
fn expect(holds: bool, what: &str) -> Result<(), CliError> {
    if holds {
        return Ok(());
    }
    Err(CliError::new(Exit::Integrity, format!("this does not hold: {what}"), "report it: this is a defect"))
}

pub(in crate::cli) fn failed(error: std::io::Error) -> CliError {
    CliError::new(
        Exit::Failure,
        error,
        "check that the temporary folder has room and is yours (TMPDIR names it)",
    )
}
