//! `blobdvm check`: is everything there, where it should be, and for how long.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use crate::cli::capability::CapabilityOption;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::health::{provider_name, snapshot_meant, table};
use crate::cli::names::{count, day, npub};
use crate::cli::repair;
use crate::client::health::durability::{NINES_THIN, YEARLY_LOSS, nines};
use crate::client::{
    CheckOptions, CheckOutcome, Client, Depth, Found, ListedPack, Listing, ShardCounts, Sight, Tally, Verdict,
};
use crate::erasure::Scheme;
use crate::types::{ProviderId, SnapshotId, Timestamp};
use crate::vault::Settings;

const DAY: Duration = Duration::from_secs(86_400);

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Download every shard and compare it with its hash
    #[arg(long, conflicts_with_all = ["sample", "audit"])]
    pub read: bool,
    /// Download so many percent of the shards, chosen at random
    #[arg(long, value_name = "PERCENT", conflicts_with = "audit", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub sample: Option<u8>,
    /// Have each provider prove so many random samples of what it keeps
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub audit: Option<u32>,
    /// Repair what is found missing or wrong
    #[arg(long)]
    pub heal: bool,
    /// List every pack, not only those that are not healthy
    #[arg(long)]
    pub packs: bool,
    /// Id (or its beginning) or name of a snapshot, or `latest` [default: everything]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// With whose right.
    #[command(flatten)]
    pub right: CapabilityOption,
}

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    packs: u64,
    healthy: u64,
    degraded: u64,
    out_of_reach: u64,
    lost: u64,
    shards: Shards,
    bytes_moved: u64,
    providers: Vec<ProviderReport>,
    snapshots: Vec<SnapshotReport>,
    listed: Vec<PackReport>,
    nines_if_repaired_daily: Option<f64>,
    nines_if_repaired_monthly: Option<f64>,
    healed: Option<repair::Report>,
}

/// Shards by what was found.
#[derive(Debug, Serialize)]
struct Shards {
    good: u64,
    missing: u64,
    corrupt: u64,
    unknown: u64,
}

/// A provider in the report.
#[derive(Debug, Serialize)]
struct ProviderReport {
    provider: String,
    npub: String,
    shards: u64,
    good: u64,
    missing: u64,
    corrupt: u64,
    unknown: u64,
    expiring: u64,
    unpromised: u64,
    first_lapse: Option<u64>,
    last_seen: Option<u64>,
    audited: Option<u32>,
    audited_good: Option<u32>,
}

/// A pack, one by one.
#[derive(Debug, Serialize)]
struct PackReport {
    pack: String,
    manifest: bool,
    need: u8,
    total: u8,
    verdict: &'static str,
    shards: Vec<ShardReport>,
}

/// One shard at one provider.
#[derive(Debug, Serialize)]
struct ShardReport {
    shard: u8,
    provider: String,
    found: &'static str,
    expires: Option<u64>,
}

/// A snapshot that is not healthy.
#[derive(Debug, Serialize)]
struct SnapshotReport {
    snapshot: String,
    name: Option<String>,
    weak_packs: u64,
    verdict: &'static str,
}

/// Checks, and says what was found.
pub async fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_vault_with(args.right.capability.as_deref())?;
    let snapshot = args.snapshot.as_deref().map(|text| snapshot_meant(text, &vault)).transpose()?;
    let (mut client, progress) = context.client(vault, "check").await?;
    let depth = match (args.read, args.sample, args.audit) {
        (true, ..) => Depth::Read { percent: 100 },
        (_, Some(percent), _) => Depth::Read { percent },
        (_, _, Some(count)) => Depth::Audit { count },
        _ => Depth::Ask,
    };
    let listing = if args.packs { Listing::All } else { Listing::Weak };
    let outcome = client.check(&CheckOptions { snapshot, depth, listing }).await;
    let healed = match &outcome {
        Ok(outcome) if args.heal && outcome.worst() != Verdict::Healthy => {
            Some(client.repair(snapshot).await)
        }
        _ => None,
    };
    progress.finish();
    let (outcome, healed) = (outcome?, healed.transpose()?);
    report(&outcome, healed.as_ref().map(repair::Report::of), &client, context);
    if let Some(healed) = &healed {
        repair::say(healed, context);
        return Ok(repair::exit(healed));
    }
    Ok(exit(&outcome))
}

/// Zero only if everything that was asked about is at full health.
fn exit(outcome: &CheckOutcome) -> Exit {
    match outcome.worst() {
        Verdict::Healthy => Exit::Ok,
        Verdict::Degraded | Verdict::OutOfReach => Exit::Degraded,
        Verdict::Lost => Exit::Lost,
    }
}

fn report(outcome: &CheckOutcome, healed: Option<repair::Report>, client: &Client, context: &Context) {
    let (settings, tally) = (client.vault.settings(), &outcome.tally);
    let snapshots = client.vault.snapshots().unwrap_or_default();
    let name = |id: &SnapshotId| snapshots.iter().find(|it| it.id == *id).map(|it| it.name.clone());
    let weak = outcome.weak_snapshots.iter();
    let weak: Vec<_> = weak
        .map(|(id, (weak_packs, verdict))| SnapshotReport {
            snapshot: id.to_string(),
            name: name(id),
            weak_packs: *weak_packs,
            verdict: word(*verdict),
        })
        .collect();
    let chance = Chance::of(tally);
    say(outcome, &weak, chance.as_ref(), &settings, context);
    let ShardCounts { good, missing, corrupt, unknown } = tally.shards;
    context.output.json(&Report {
        packs: tally.packs,
        healthy: tally.healthy,
        degraded: tally.degraded,
        out_of_reach: tally.out_of_reach,
        lost: tally.lost,
        shards: Shards { good, missing, corrupt, unknown },
        bytes_moved: outcome.bytes_moved,
        providers: tally.providers.keys().map(|id| provider_report(id, outcome, &settings)).collect(),
        snapshots: weak,
        listed: tally.listed.iter().map(pack_report).collect(),
        nines_if_repaired_daily: chance.as_ref().map(|chance| chance.daily),
        nines_if_repaired_monthly: chance.as_ref().map(|chance| chance.monthly),
        healed,
    });
}

/// How likely the most common kind of pack is to last a year.
struct Chance {
    scheme: Scheme,
    daily: f64,
    monthly: f64,
}

impl Chance {
    fn of(tally: &Tally) -> Option<Self> {
        let (scheme, _) = tally.schemes.iter().max_by_key(|(_, packs)| **packs)?;
        let nines = |every| nines(*scheme, every, YEARLY_LOSS);
        Some(Self { scheme: *scheme, daily: nines(DAY), monthly: nines(DAY * 30) })
    }
}

fn say(
    outcome: &CheckOutcome,
    weak: &[SnapshotReport],
    chance: Option<&Chance>,
    settings: &Settings,
    context: &Context,
) {
    let (out, tally) = (&context.output, &outcome.tally);
    out.say(format_args!(
        "{}: {} healthy, {} degraded, {} out of reach, {} lost; {} moved",
        count(tally.packs, "pack"),
        tally.healthy,
        tally.degraded,
        tally.out_of_reach,
        tally.lost,
        ByteSize::b(outcome.bytes_moved)
    ));
    for line in table(tally, settings) {
        out.say(line);
    }
    let unpromised = tally.providers.values().map(|row| row.unpromised).sum::<u64>();
    if unpromised > 0 {
        let shards = count(unpromised, "shard");
        out.say(format_args!(
            "{shards} found that nobody promised to this key: `blobdvm renew` has them promised"
        ));
    }
    for audit in outcome.audits.values() {
        out.say(audit);
    }
    for SnapshotReport { snapshot, name, weak_packs, verdict } in weak {
        let (id, name) = (&snapshot[..8], name.as_deref().unwrap_or_default());
        out.say(format_args!("snapshot {id} {name:?}: {} {verdict}", count(*weak_packs, "pack")));
    }
    for listed in &tally.listed {
        out.say(pack_line(listed, settings));
    }
    for failure in &outcome.failures {
        out.warn(format_args!("provider {}: {}", npub(&failure.provider), failure.why));
    }
    if let Some(Chance { scheme, daily, monthly }) = chance {
        let (need, total, loss) = (scheme.need(), scheme.total(), YEARLY_LOSS * 100.0);
        out.say(format_args!(
            "{need} of {total}, if {loss}% of providers vanish a year, each for itself: {daily:.1} nines a year when \
             repaired daily, {monthly:.1} when monthly"
        ));
        if *monthly < NINES_THIN {
            out.warn("that is thin unless `blobdvm watch` runs, or the spread is wider (put --spread 5)");
        }
    }
    if outcome.worst() != Verdict::Healthy && tally.lost < tally.packs {
        out.say("`blobdvm repair` brings what can be restored back to full health");
    }
}

fn provider_report(id: &ProviderId, outcome: &CheckOutcome, settings: &Settings) -> ProviderReport {
    let row = outcome.tally.providers.get(id).copied().unwrap_or_default();
    let audit = outcome.audits.get(id);
    ProviderReport {
        provider: id.to_string(),
        npub: npub(id),
        shards: row.shards,
        good: row.found.good,
        missing: row.found.missing,
        corrupt: row.found.corrupt,
        unknown: row.found.unknown,
        expiring: row.expiring,
        unpromised: row.unpromised,
        first_lapse: row.first_lapse.map(|at| at.0),
        last_seen: settings.providers.get(id).map(|known| known.last_seen.0),
        audited: audit.map(crate::client::audit::Tally::count),
        audited_good: audit.map(|audit| audit.good),
    }
}

fn pack_report(listed: &ListedPack) -> PackReport {
    let shard = |sight: &Sight| ShardReport {
        shard: sight.shard.0,
        provider: sight.provider.to_string(),
        found: found_word(sight.found),
        expires: expires(sight.found).map(|at| at.0),
    };
    PackReport {
        pack: listed.pack.to_string(),
        manifest: listed.is_of_manifest,
        need: listed.scheme.need(),
        total: listed.scheme.total(),
        verdict: word(listed.verdict),
        shards: listed.sights.iter().map(shard).collect(),
    }
}

/// A pack in one line: which shard is where, until when.
fn pack_line(listed: &ListedPack, settings: &Settings) -> String {
    let sight = |sight: &Sight| {
        let until = expires(sight.found).map_or_else(String::new, |at| format!(" until {}", day(at)));
        let name = provider_name(&sight.provider, settings);
        format!("{} {}{until} at {name}", sight.shard, found_word(sight.found))
    };
    let sights: Vec<_> = listed.sights.iter().map(sight).collect();
    let of = if listed.is_of_manifest { " (manifest)" } else { "" };
    let (need, total) = (listed.scheme.need(), listed.scheme.total());
    format!(
        "pack {}{of} {}, {need} of {total}: {}",
        listed.pack.short(),
        word(listed.verdict),
        sights.join("; ")
    )
}

fn expires(found: Found) -> Option<Timestamp> {
    match found {
        Found::Good { expires } if expires > Timestamp::default() => Some(expires),
        _ => None,
    }
}

fn found_word(found: Found) -> &'static str {
    match found {
        Found::Good { .. } => "good",
        Found::Missing => "missing",
        Found::Corrupt => "corrupt",
        Found::Unknown | Found::Away => "unknown",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Degraded => "degraded",
        Verdict::OutOfReach => "out of reach",
        Verdict::Lost => "lost",
    }
}
