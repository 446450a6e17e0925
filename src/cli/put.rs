//! `blobdvm put`: back up files and folders.

use std::collections::BTreeSet;

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::args::PutArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, day, provider};
use crate::client::{PutOptions, PutOutcome, WalkOptions};
use crate::erasure::Scheme;

/// Troubles that are shown by name.
const SHOWN: usize = 20;

/// What `put --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    snapshot: String,
    name: &'a str,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
    need: u8,
    spread: u8,
    packs: u64,
    blobs: u64,
    providers: Vec<String>,
    first_lapse: Option<u64>,
    failures: Vec<FailureReport>,
    unchanged: u64,
    troubles: Vec<TroubleReport>,
    trouble_count: u64,
}

/// A path that is not in the snapshot as it should be.
#[derive(Debug, Serialize)]
struct TroubleReport {
    path: String,
    why: String,
}

/// A provider that failed.
#[derive(Debug, Serialize)]
struct FailureReport {
    provider: String,
    why: String,
}

/// Backs up, and says what was done.
pub async fn run(args: &PutArgs, context: &Context) -> Result<Exit, CliError> {
    let scheme = scheme(args)?;
    let providers = args.providers.iter().map(|text| provider(text)).collect::<Result<BTreeSet<_>, _>>()?;
    let options = PutOptions {
        scheme,
        providers,
        accept_short: args.accept_short,
        name: args.name.clone(),
        host: args.host.clone().unwrap_or_else(host),
        tags: args.tags.clone(),
        walk: walk_options(args)?,
        force: args.force,
    };
    let vault = context.open_or_make_vault()?;
    let (mut client, progress) = context.client(vault, "put").await?;
    let outcome = match (args.stdin, &args.name) {
        (true, Some(name)) => client.put_stream(name, std::io::stdin(), &options).await,
        _ => client.put(&args.paths, &options).await,
    };
    progress.finish();
    let outcome = outcome?;
    report(&outcome, scheme, context);
    Ok(troubles(&outcome, context))
}

fn walk_options(args: &PutArgs) -> Result<WalkOptions, CliError> {
    let mut exclude = Vec::new();
    for file in &args.exclude_from {
        let lines = std::fs::read_to_string(file).map_err(|error| {
            let what = format!("cannot read the patterns in {}: {error}", file.display());
            CliError::new(Exit::Usage, what, "name a text file with one pattern a line")
        })?;
        exclude.extend(lines.lines().map(str::to_owned));
    }
    exclude.extend(args.exclude.iter().cloned());
    let (exclude_caches, one_file_system) = (args.exclude_caches, args.one_file_system);
    Ok(WalkOptions { exclude, exclude_caches, one_file_system })
}

fn scheme(args: &PutArgs) -> Result<Scheme, CliError> {
    let chosen = match args.need {
        Some(need) => Scheme::new(need, args.spread),
        None => Scheme::for_spread(args.spread),
    };
    chosen.map_err(|error| CliError::new(Exit::Usage, error, "choose --need between 1 and --spread"))
}

fn report(outcome: &PutOutcome, scheme: Scheme, context: &Context) {
    let out = &context.output;
    let stored = &outcome.stored;
    out.json(&Report {
        snapshot: outcome.snapshot.to_string(),
        name: &outcome.name,
        files: outcome.files,
        bytes: outcome.bytes,
        stored_bytes: stored.bytes,
        need: scheme.need(),
        spread: scheme.total(),
        packs: outcome.packs,
        blobs: stored.blobs,
        providers: stored.providers.iter().map(ToString::to_string).collect(),
        first_lapse: stored.first_lapse.map(|at| at.0),
        failures: outcome
            .failures
            .iter()
            .map(|failure| FailureReport { provider: failure.provider.to_string(), why: failure.why.clone() })
            .collect(),
        unchanged: outcome.unchanged,
        troubles: outcome
            .troubles
            .first
            .iter()
            .map(|trouble| TroubleReport {
                path: trouble.path.display().to_string(),
                why: trouble.why.to_string(),
            })
            .collect(),
        trouble_count: outcome.troubles.count,
    });
    out.say(format_args!(
        "snapshot {} \"{}\": {}, {} sealed and stored as {} ({}) at {} providers; any {} of {} restore it",
        outcome.snapshot.short(),
        outcome.name,
        count(outcome.files, "file"),
        ByteSize::b(outcome.bytes),
        count(stored.blobs, "blob"),
        ByteSize::b(stored.bytes),
        stored.providers.len(),
        scheme.need(),
        scheme.total(),
    ));
    if let Some(lapse) = stored.first_lapse {
        out.say(format_args!(
            "the first promise lapses on {}; `blobdvm watch`, `renew` or a put of the same files before then extends it",
            day(lapse)
        ));
    }
    if scheme.parity() == 0 {
        out.warn("need equals spread: the loss of any one provider loses data");
    } else if scheme.total() <= 3 {
        out.say("a spread of 3 is thin if nobody watches it: leave `blobdvm watch` running, or spread wider");
    }
    if outcome.newcomers > 1 {
        let text = "of these providers have no history with this vault; several may be one disk: \
                    trust those you know with `blobdvm providers trust NPUB`";
        out.say(format_args!("{} {text}", outcome.newcomers));
    }
}

/// Says what is not in the snapshot as it should be.
fn troubles(outcome: &PutOutcome, context: &Context) -> Exit {
    let troubles = &outcome.troubles;
    if troubles.count == 0 {
        return Exit::Ok;
    }
    let out = &context.output;
    for trouble in troubles.first.iter().take(SHOWN) {
        out.warn(format_args!("{}: {}", trouble.path.display().to_string().escape_debug(), trouble.why));
    }
    let more = troubles.count.saturating_sub(SHOWN as u64);
    if more > 0 {
        out.warn(format_args!("and {more} more; --json names the first thousand"));
    }
    out.warn(format_args!(
        "{} not as it should be; everything else is in the snapshot",
        count(troubles.count, "path")
    ));
    Exit::Incomplete
}

/// Name of this machine, as the kernel has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(64).collect()
}
