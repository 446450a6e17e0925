//! `blobdvm rm`: remove snapshots.

use std::collections::BTreeSet;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, day, npub, time};
use crate::client::{RemoveOptions, RemoveOutcome};
use crate::format::Snapshot;
use crate::types::SnapshotId;
use crate::vault::{ResolveError, Vault};

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Id (or its beginning) of a snapshot, or a name that only one has
    #[arg(required = true, value_name = "SNAPSHOT|NAME")]
    pub snapshots: Vec<String>,
    /// Remove every snapshot of a name that several have
    #[arg(long)]
    pub all: bool,
    /// Delete at the providers at once instead of after 7 days; only for a vault with one device
    #[arg(long)]
    pub now: bool,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
}

/// What `rm --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    removed: Vec<String>,
    packs: u64,
    bytes: u64,
    deleted_blobs: u64,
    due: Option<u64>,
    dry_run: bool,
}

/// Removes, and says what becomes of the data.
pub async fn run(args: &RmArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    let (mut client, progress) = context.client(vault, "rm").await?;
    let caught = if args.now { client.catch_up_with_all().await? } else { client.catch_up().await? };
    let snapshots = meant(args, client.is_published(&caught), &client.vault)?;
    let options = RemoveOptions { now: args.now, dry_run: args.dry_run };
    let outcome = client.remove(&snapshots, options, &caught).await;
    progress.finish();
    report(&outcome?, args, context);
    Ok(Exit::Ok)
}

/// The snapshots that are meant. A name that several have is not enough: the others would go with a slip. One that was
/// removed already is meant if nobody else knows that yet.
fn meant(args: &RmArgs, is_published: bool, vault: &Vault) -> Result<BTreeSet<SnapshotId>, CliError> {
    let snapshots = vault.snapshots()?;
    let mut meant = BTreeSet::new();
    for text in &args.snapshots {
        let is_id = snapshots.iter().any(|snapshot| snapshot.id.to_string() == *text);
        let named: Vec<&Snapshot> =
            snapshots.iter().filter(|snapshot| !is_id && snapshot.name == *text).collect();
        match named.as_slice() {
            [] => {
                meant.insert(match vault.resolve(text) {
                    Err(ResolveError::Removed { id }) if !is_published => id,
                    found => found?.id,
                });
            }
            [_] => meant.extend(named.iter().map(|snapshot| snapshot.id)),
            _ if args.all => meant.extend(named.iter().map(|snapshot| snapshot.id)),
            _ => return Err(several(text, &named)),
        }
    }
    Ok(meant)
}

fn several(name: &str, named: &[&Snapshot]) -> CliError {
    let ids = named.iter().map(|snapshot| format!("{} ({})", snapshot.id.short(), time(snapshot.made_at)));
    let ids = ids.collect::<Vec<_>>().join(", ");
    CliError::new(
        Exit::Usage,
        format!("{} snapshots are called {name:?}: {ids}", named.len()),
        "give the id of the one that is meant, or --all to remove every one of them",
    )
}

fn report(outcome: &RemoveOutcome, args: &RmArgs, context: &Context) {
    let out = &context.output;
    out.json(&Report {
        removed: outcome.removed.iter().map(ToString::to_string).collect(),
        packs: outcome.packs,
        bytes: outcome.bytes,
        deleted_blobs: outcome.deleted_blobs,
        due: outcome.due.map(|at| at.0),
        dry_run: args.dry_run,
    });
    let snapshots = count(outcome.removed.len() as u64, "snapshot");
    let (packs, bytes) = (count(outcome.packs, "pack"), ByteSize::b(outcome.bytes));
    if args.dry_run {
        out.say(format_args!("would remove {snapshots}, and let go of {packs} ({bytes} at the providers)"));
        return;
    }
    out.say(format_args!("removed {snapshots}; {packs} ({bytes} at the providers) needed by no other"));
    for failure in &outcome.failures {
        out.warn(format_args!("provider {}: {}", npub(&failure.provider), failure.why));
    }
    if args.now {
        out.say(format_args!(
            "{} deleted at the providers; a put that was under way, or a copy of this home, may have relied on them",
            count(outcome.deleted_blobs, "blob")
        ));
    }
    match outcome.due {
        Some(_) if args.now => out.say("`blobdvm prune` deletes what is left once the others can be reached"),
        Some(due) => out.say(format_args!(
            "the data stays at the providers for 7 days; `blobdvm prune` deletes it from {} on",
            day(due)
        )),
        None => {}
    }
}
