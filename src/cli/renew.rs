//! `blobdvm renew`: promises extended before they lapse.

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::capability::CapabilityOption;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::health::snapshot_meant;
use crate::cli::names::{count, day, npub};

/// Arguments of `renew`.
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// Id (or its beginning) or name of a snapshot, or `latest` [default: everything]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// With whose right.
    #[command(flatten)]
    pub right: CapabilityOption,
}

/// What `renew --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    renewed: u64,
    failed: u64,
    bytes_moved: u64,
    first_lapse: Option<u64>,
}

/// Renews, and says until when everything is promised now.
pub async fn run(args: &RenewArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault_with(args.right.capability.as_deref())?;
    let snapshot = args.snapshot.as_deref().map(|text| snapshot_meant(text, &vault)).transpose()?;
    let (mut client, progress) = context.client(vault, "renew").await?;
    let outcome = client.renew(snapshot).await;
    progress.finish();
    let outcome = outcome?;
    let out = &context.output;
    out.json(&Report {
        renewed: outcome.renewed,
        failed: outcome.failed,
        bytes_moved: outcome.bytes_moved,
        first_lapse: outcome.first_lapse.map(|at| at.0),
    });
    let until =
        outcome.first_lapse.map_or_else(String::new, |at| format!("; the first lapses on {}", day(at)));
    out.say(format_args!(
        "{} renewed{until}; {} moved",
        count(outcome.renewed, "promise"),
        ByteSize::b(outcome.bytes_moved)
    ));
    if outcome.failed > 0 {
        out.warn(format_args!(
            "{} promised by nobody who answered: `blobdvm check` shows where, `blobdvm repair` stores them anew",
            count(outcome.failed, "shard")
        ));
    }
    for failure in &outcome.failures {
        out.warn(format_args!("provider {}: {}", npub(&failure.provider), failure.why));
    }
    Ok(if outcome.failed > 0 { Exit::Degraded } else { Exit::Ok })
}
