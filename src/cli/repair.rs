//! `blobdvm repair`: packs back to full health.

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::capability::CapabilityOption;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::health::snapshot_meant;
use crate::cli::names::{count, npub};
use crate::client::RepairOutcome;

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Id (or its beginning) or name of a snapshot, or `latest` [default: everything]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// With whose right.
    #[command(flatten)]
    pub right: CapabilityOption,
}

/// What `repair --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    packs_repaired: u64,
    packs_left: u64,
    packs_lost: u64,
    shards_written: u64,
    bytes_read: u64,
    bytes_written: u64,
}

impl Report {
    /// What was done, in figures.
    pub fn of(outcome: &RepairOutcome) -> Self {
        Self {
            packs_repaired: outcome.packs_repaired,
            packs_left: outcome.packs_left,
            packs_lost: outcome.packs_lost,
            shards_written: outcome.shards_written,
            bytes_read: outcome.bytes_read,
            bytes_written: outcome.bytes_written,
        }
    }
}

/// Repairs, and says what was done.
pub async fn run(args: &RepairArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault_with(args.right.capability.as_deref())?;
    let snapshot = args.snapshot.as_deref().map(|text| snapshot_meant(text, &vault)).transpose()?;
    let (mut client, progress) = context.client(vault, "repair").await?;
    let outcome = client.repair(snapshot).await;
    progress.finish();
    let outcome = outcome?;
    context.output.json(&Report::of(&outcome));
    say(&outcome, context);
    Ok(exit(&outcome))
}

/// Zero only if everything that was asked about is at full health now.
pub fn exit(outcome: &RepairOutcome) -> Exit {
    match outcome {
        RepairOutcome { packs_lost: 1.., .. } => Exit::Lost,
        RepairOutcome { packs_left: 1.., .. } => Exit::Degraded,
        _ => Exit::Ok,
    }
}

/// Says what was done.
pub fn say(outcome: &RepairOutcome, context: &Context) {
    let out = &context.output;
    out.say(format_args!(
        "{} repaired: {} stored anew; {} read, {} written",
        count(outcome.packs_repaired, "pack"),
        count(outcome.shards_written, "shard"),
        ByteSize::b(outcome.bytes_read),
        ByteSize::b(outcome.bytes_written)
    ));
    if outcome.packs_left > 0 {
        out.warn(format_args!(
            "{} not at full health: each shard needs a provider of its own; add one (`blobdvm providers`) or wait for \
             those that are away, and repair again",
            count(outcome.packs_left, "pack")
        ));
    }
    if outcome.packs_lost > 0 {
        out.warn(format_args!(
            "{} cannot be restored: if the files are still there, put them again with --force",
            count(outcome.packs_lost, "pack")
        ));
    }
    for failure in &outcome.failures {
        out.warn(format_args!("provider {}: {}", npub(&failure.provider), failure.why));
    }
}
