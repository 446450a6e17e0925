//! `blobdvm status`: how the vault stood when it was looked at last. Asks nobody, and needs no lock.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::health::provider_name;
use crate::cli::names::{count, day, npub, time};
use crate::cli::watch;
use crate::types::ProviderId;
use crate::vault::{Care, Home, Settings};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// What `status --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    watched: bool,
    overdue: bool,
    last_round: Option<u64>,
    next_round: Option<u64>,
    packs: u64,
    healthy: u64,
    degraded: u64,
    lost: u64,
    first_lapse: Option<u64>,
    to_be_healed: u64,
    away: Vec<Away>,
    troubles: Vec<String>,
}

/// A provider that does not answer.
#[derive(Debug, Serialize)]
struct Away {
    provider: String,
    npub: String,
    since: u64,
}

/// Shows the state that the last round of `watch` left.
pub fn run(_args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let (care, settings) = Home::peek(&context.home)?;
    let now = context.env.now();
    let overdue = care.round.as_ref().is_some_and(|round| watch::is_overdue(round, now));
    context.output.json(&report(&care, overdue));
    say(&care, &settings, overdue, context);
    Ok(match &care.round {
        Some(round) if !overdue => watch::exit(round),
        Some(_) => Exit::Degraded,
        None => Exit::NotFound,
    })
}

fn report(care: &Care, overdue: bool) -> Report {
    let round = care.round.clone().unwrap_or_default();
    let away = |(id, since): (&ProviderId, &crate::types::Timestamp)| Away {
        provider: id.to_string(),
        npub: npub(id),
        since: since.0,
    };
    Report {
        watched: care.round.is_some(),
        overdue,
        last_round: care.round.as_ref().map(|round| round.at.0),
        next_round: Some(round.next.0).filter(|next| *next > 0),
        packs: round.packs,
        healthy: round.healthy,
        degraded: round.degraded,
        lost: round.lost,
        first_lapse: round.first_lapse.map(|at| at.0),
        to_be_healed: care.blemishes.len() as u64,
        away: care.absent_since.iter().map(away).collect(),
        troubles: round.troubles,
    }
}

fn say(care: &Care, settings: &Settings, overdue: bool, context: &Context) {
    let out = &context.output;
    let Some(round) = &care.round else {
        out.say("nobody has watched this vault yet: `blobdvm watch` does, `blobdvm check` looks once");
        return;
    };
    watch::say(round, context);
    if let Some(lapse) = round.first_lapse {
        out.say(format_args!("everything is promised until {} at least", day(lapse)));
    }
    if !care.blemishes.is_empty() {
        let shards = count(care.blemishes.len() as u64, "shard");
        out.say(format_args!("{shards} to be healed: the next round does, or `blobdvm repair`"));
    }
    for (id, since) in &care.absent_since {
        out.say(format_args!("away since {}: {}", time(*since), provider_name(id, settings)));
    }
    if overdue {
        out.warn(format_args!(
            "the round due at {} has not come: is `blobdvm watch` running?",
            time(round.next)
        ));
    }
}
