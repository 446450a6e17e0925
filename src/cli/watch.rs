//! `blobdvm watch`: keeps a vault healthy by itself.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, time};
use crate::client::WatchOptions;
use crate::types::Timestamp;
use crate::vault::{Round, VaultError};

const DAY: Duration = Duration::from_secs(86_400);
/// Shortest time between two rounds.
const EVERY_MIN: Duration = Duration::from_secs(60);
/// Pause before a home that another command has open is tried again.
const LOCKED_PAUSE: Duration = Duration::from_secs(5);

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Make one round and end, for cron or a systemd timer
    #[arg(long)]
    pub once: bool,
    /// Time between two rounds
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// How long a provider may be away before its shards are stored elsewhere
    #[arg(long, value_name = "DURATION", default_value = "2days", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// Random samples that each provider has to prove in a day
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub audit: u32,
    /// Repair a pack once so many of its shards are missing
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub missing: u8,
    /// Bytes that audits and repairs may move in a day [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<ByteSize>,
}

/// What `watch --once --json` prints; without `--once` a line for each round.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    round: &'a Round,
}

/// Makes rounds until it is told to stop, or one. Between two rounds other commands have the home.
pub async fn run(args: &WatchArgs, context: &Context) -> Result<Exit, CliError> {
    let every = args.every.max(EVERY_MIN);
    loop {
        let done = round(args, every, context).await;
        if args.once {
            return done.map(|round| exit(&round));
        }
        let pause = match done {
            Ok(_) => every,
            Err(error) if error.exit() == Exit::Home => return Err(error),
            Err(error) => {
                // Relays and providers come back; so does the next round, a little sooner.
                context.output.warn(format_args!("{error}"));
                every.min(EVERY_MIN * 10)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn round(args: &WatchArgs, every: Duration, context: &Context) -> Result<Round, CliError> {
    let vault = loop {
        match context.open_vault_when_free() {
            Err(VaultError::Locked { .. }) if !args.once => tokio::time::sleep(LOCKED_PAUSE).await,
            opened => break opened?,
        }
    };
    let rounds_a_day = u32::try_from((DAY.as_secs() / every.as_secs().max(1)).max(1)).unwrap_or(u32::MAX);
    let options = WatchOptions {
        grace: args.grace,
        audit_count: if args.once { args.audit } else { args.audit.div_ceil(rounds_a_day) },
        missing_min: args.missing.into(),
        bytes_per_day: args.budget.map_or(u64::MAX, |budget| budget.as_u64()),
    };
    let (mut client, progress) = context.client(vault, "watch").await?;
    let done = client.watch_round(&options).await;
    progress.finish();
    let mut round = done?;
    if !args.once {
        round.next = context.env.now().saturating_add(every);
        client.vault.update_care(|care| care.round = Some(round.clone()))?;
    }
    context.output.json(&Report { round: &round });
    say(&round, context);
    Ok(round)
}

/// Zero only if everything is at full health.
pub fn exit(round: &Round) -> Exit {
    match round {
        Round { lost: 1.., .. } => Exit::Lost,
        Round { degraded: 1.., .. } => Exit::Degraded,
        _ => Exit::Ok,
    }
}

/// One line for a round; more only if something is wrong.
pub fn say(round: &Round, context: &Context) {
    let out = &context.output;
    let (audited, good) = round.audited;
    out.say(format_args!(
        "{}  {}: {} healthy, {} degraded, {} lost; {} renewed, {good} of {audited} samples proved, {} stored anew",
        time(round.at),
        count(round.packs, "pack"),
        round.healthy,
        round.degraded,
        round.lost,
        count(round.renewed, "promise"),
        count(round.shards_written, "shard")
    ));
    for trouble in &round.troubles {
        out.warn(format_args!("provider {trouble}"));
    }
}

/// True if the round after `round` should have come long ago.
pub fn is_overdue(round: &Round, now: Timestamp) -> bool {
    round.next != Timestamp::default() && round.next.saturating_add(DAY) < now
}
