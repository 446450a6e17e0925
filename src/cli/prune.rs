//! `blobdvm prune`: let go of what no snapshot needs.

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, npub};
use crate::client::{PruneOptions, PruneOutcome};

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Store a pack's living part anew where more than this part of it is dead
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_dead: u8,
    /// Wait for nothing; only for a vault with one device
    #[arg(long)]
    pub now: bool,
}

/// What `prune --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    due_packs: u64,
    deleted_blobs: u64,
    freed_bytes: u64,
    orphans: u64,
    repacked: u64,
    condemned: u64,
    unfinished: u64,
    waiting: u64,
    dry_run: bool,
    failures: Vec<FailureReport>,
}

/// A provider that failed.
#[derive(Debug, Serialize)]
struct FailureReport {
    provider: String,
    why: String,
}

/// Prunes, and says what was done.
pub async fn run(args: &PruneArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault()?;
    let (mut client, progress) = context.client(vault, "prune").await?;
    let options = PruneOptions { dry_run: args.dry_run, now: args.now, dead_percent_max: args.max_dead };
    let outcome = client.prune(&options).await;
    progress.finish();
    report(&outcome?, args, context);
    Ok(Exit::Ok)
}

fn report(outcome: &PruneOutcome, args: &PruneArgs, context: &Context) {
    let out = &context.output;
    let failure = |failure: &crate::client::Failure| FailureReport {
        provider: failure.provider.to_string(),
        why: failure.why.clone(),
    };
    out.json(&Report {
        due_packs: outcome.due_packs,
        deleted_blobs: outcome.deleted_blobs,
        freed_bytes: outcome.freed_bytes,
        orphans: outcome.orphans,
        repacked: outcome.repacked,
        condemned: outcome.condemned,
        unfinished: outcome.unfinished,
        waiting: outcome.waiting,
        dry_run: args.dry_run,
        failures: outcome.failures.iter().map(failure).collect(),
    });
    let bytes = ByteSize::b(outcome.freed_bytes);
    let (due, repacked) = (count(outcome.due_packs, "pack"), count(outcome.repacked, "pack"));
    if args.dry_run {
        out.say(format_args!("would delete {due} and what nothing names: {bytes}; would repack {repacked}"));
    } else {
        out.say(format_args!(
            "{due} due; {} deleted at the providers, {bytes} freed; {repacked} repacked",
            count(outcome.deleted_blobs, "blob")
        ));
    }
    let waiting = outcome.waiting + outcome.condemned;
    if waiting > 0 && !args.now {
        out.say(format_args!(
            "{} condemned less than 7 days ago: a later prune deletes it",
            count(waiting, "pack")
        ));
    }
    if outcome.unfinished > 0 {
        out.say(format_args!(
            "{} of a put that did not come to its end: kept for 3 days, so that it can go on",
            count(outcome.unfinished, "pack")
        ));
    }
    if outcome.orphans > 0 {
        out.say(format_args!(
            "{} that nothing names; each is deleted when it was seen so for 7 days",
            count(outcome.orphans, "blob")
        ));
    }
    for failure in &outcome.failures {
        out.warn(format_args!("provider {}: {}", npub(&failure.provider), failure.why));
    }
}
