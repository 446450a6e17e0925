//! `blobdvm manifest verify`: check the signed record of what is stored where.

use serde::Serialize;

use crate::cli::args::{ManifestArgs, ManifestVerb};
use crate::cli::context::Context;
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::vault::{ChainReport, VerifyReport};

#[derive(Serialize)]
struct Verified {
    sound: bool,
    chains: Vec<VerifiedChain>,
}

#[derive(Serialize)]
struct VerifiedChain {
    device: String,
    own: bool,
    made_at: Option<u64>,
    records: u64,
    bytes: u64,
    packs: u64,
    promises: u64,
    segments: u64,
    tree_parts: u64,
    snapshots: u64,
    unresolved: u64,
    problem: Option<String>,
}

/// Looks after the local manifest.
///
/// # Errors
/// The home cannot be opened, or what is found wrong.
pub fn run(args: &ManifestArgs, context: &Context) -> Result<Exit, CliError> {
    match args.verb {
        ManifestVerb::Verify => verify(context),
    }
}

fn verify(context: &Context) -> Result<Exit, CliError> {
    let report = context.open_vault()?.verify()?;
    for chain in &report.chains {
        show(chain, context);
    }
    let sound = report.is_sound();
    context.output.json(&Verified { sound, chains: report.chains.iter().map(describe).collect() });
    if !sound {
        return Err(unsound(report));
    }
    context.output.answer(match report.chains.len() {
        0 => "nothing is recorded yet",
        _ => "the manifest is sound: every place, link, signature and seal was checked",
    });
    Ok(Exit::Ok)
}

fn describe(report: &ChainReport) -> VerifiedChain {
    VerifiedChain {
        device: report.device.to_string(),
        own: report.is_own,
        made_at: report.described.map(|(_, made_at)| made_at.0),
        records: report.record_count,
        bytes: report.len,
        packs: report.items.packs,
        promises: report.items.promises,
        segments: report.items.segments,
        tree_parts: report.items.tree_parts,
        snapshots: report.items.snapshots,
        unresolved: report.unresolved_count,
        problem: report.problem.as_ref().map(|problem| chain(problem)),
    }
}

fn show(report: &ChainReport, context: &Context) {
    let output = &context.output;
    let whose = if report.is_own { "this device" } else { "device" };
    let since = report.described.map_or_else(String::new, |(_, at)| format!(", since {}", names::day(at)));
    let ChainReport { record_count, len, items, .. } = report;
    output.answer(format_args!(
        "{whose} {}{since}: {record_count} records are good, {len} bytes",
        report.device.short()
    ));
    output.answer(format_args!(
        "  {} snapshots, {} parts of trees, {} segments, {} packs, {} promises",
        items.snapshots, items.tree_parts, items.segments, items.packs, items.promises
    ));
    if report.unresolved_count > 0 {
        output.answer(format_args!("  {} names in them lead nowhere", report.unresolved_count));
    }
    if let Some(problem) = &report.problem {
        output.answer(format_args!("  then: {}", chain(problem)));
    }
}

fn unsound(report: VerifyReport) -> CliError {
    let unresolved_count: u64 = report.chains.iter().map(|chain| chain.unresolved_count).sum();
    match report.chains.into_iter().find_map(|chain| chain.problem) {
        Some(problem) => {
            let remedy = problem.remedy();
            CliError::new(Exit::Integrity, chain(&problem), remedy)
        }
        None => {
            let happened = format!("{unresolved_count} names in the manifest lead nowhere");
            CliError::new(Exit::Integrity, happened, "rebuild the home with `blobdvm recover`")
        }
    }
}
