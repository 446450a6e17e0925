//! `blobdvm get`: restore a snapshot, or some of its paths.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, npub, provider};
use crate::cli::output::Output;
use crate::cli::printable::{JsonPath, path_text};
use crate::cli::repair;
use crate::client::{
    Action, ClientError, Destination, Failure, GetOptions, GetOutcome, NotRestored, Overwrite, Plan, Withheld,
};
use crate::format::EntryKind;

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Id (or its beginning) or name of a snapshot, or `latest`; a name means the latest of that name
    #[arg(value_name = "SNAPSHOT|NAME")]
    pub snapshot: String,
    /// Only these paths of the snapshot; `*` and `?` stand for parts of a name, `**` for whole names
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Folder to restore into; for a single file also a file name, or `-` for stdout
    #[arg(short, long, value_name = "DEST", default_value = ".")]
    pub output: PathBuf,
    /// What becomes of files that are there already
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::IfChanged)]
    pub overwrite: When,
    /// Fetch and compare everything, but write nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
    /// Say what would be restored, and fetch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Afterwards, store anew what was found missing or wrong on the way
    #[arg(long, conflicts_with = "dry_run")]
    pub heal: bool,
    /// Ask this provider (npub or hexadecimal) before any other; repeat for several
    #[arg(long = "prefer", value_name = "NPUB")]
    pub prefer: Vec<String>,
}

/// When a file that is there is replaced.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum When {
    /// Always
    Always,
    /// Unless its length and time are those that are recorded
    IfChanged,
    /// Never
    Never,
}

/// What `get --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    files: u64,
    bytes: u64,
    resumed: u64,
    unchanged: u64,
    kept: u64,
    verified: bool,
    lost: Vec<JsonPath>,
    not_restored: Vec<Missing>,
    blamed: Vec<Blamed>,
}

/// Something that could not be restored here.
#[derive(Debug, Serialize)]
struct Missing {
    what: &'static str,
    count: u64,
    example: String,
}

/// A provider that did not deliver what it promised.
#[derive(Debug, Serialize)]
struct Blamed {
    provider: String,
    pack: Option<String>,
    why: String,
}

/// What `get --dry-run --json` prints.
#[derive(Debug, Serialize)]
struct PlanReport {
    files: u64,
    bytes: u64,
    unchanged: u64,
    kept: u64,
    dry_run: bool,
    would: Vec<StepRow>,
}

/// One entry of a dry run.
#[derive(Debug, Serialize)]
struct StepRow {
    action: &'static str,
    #[serde(flatten)]
    path: JsonPath,
}

impl From<&Failure> for Blamed {
    fn from(failure: &Failure) -> Self {
        let pack = failure.pack.map(|pack| pack.to_string());
        Self { provider: failure.provider.to_string(), pack, why: failure.why.clone() }
    }
}

impl From<&NotRestored> for Missing {
    fn from(one: &NotRestored) -> Self {
        Self { what: one.what.name(), count: one.count, example: path_text(&one.example) }
    }
}

/// Restores, and says what was done.
pub async fn run(args: &GetArgs, context: &Context) -> Result<Exit, CliError> {
    let to_stdout = args.output == Path::new("-") && !args.verify && !args.dry_run;
    let context = if to_stdout { &context.with_data_on_stdout()? } else { context };
    let options = options(args)?;
    let vault = context.open_vault()?;
    let snapshot = vault.resolve(&args.snapshot)?;
    if args.dry_run {
        report_plan(&Plan::of(&snapshot, &options, &vault)?, &context.output);
        return Ok(Exit::Ok);
    }
    let (mut client, progress) = context.client(vault, "get").await?;
    let outcome = client.get(&snapshot, &options).await;
    if args.heal && !client.vault.blemishes()?.is_empty() {
        let healed = client.heal().await;
        progress.finish();
        repair::say(&healed?, context);
    }
    progress.finish();
    match outcome {
        Ok(outcome) => {
            report(&outcome, args.verify, &context.output);
            Ok(Exit::Ok)
        }
        Err(error) => {
            if let ClientError::Incomplete { outcome, .. } = &error {
                report(outcome, args.verify, &context.output);
            }
            Err(error.into())
        }
    }
}

fn options(args: &GetArgs) -> Result<GetOptions, CliError> {
    let destination = match args.output.as_path() {
        _ if args.verify => Destination::Nowhere,
        output if output == Path::new("-") => Destination::Stdout,
        output => Destination::Path(output.to_owned()),
    };
    let overwrite = match args.overwrite {
        When::Always => Overwrite::Always,
        When::IfChanged => Overwrite::IfChanged,
        When::Never => Overwrite::Never,
    };
    let preferred = args.prefer.iter().map(|text| provider(text)).collect::<Result<_, _>>()?;
    Ok(GetOptions { paths: args.paths.clone(), destination, overwrite, preferred })
}

fn report(outcome: &GetOutcome, is_comparison: bool, out: &Output) {
    out.json(&Report {
        files: outcome.files,
        bytes: outcome.bytes,
        resumed: outcome.resumed,
        unchanged: outcome.unchanged,
        kept: outcome.kept,
        verified: outcome.lost.is_empty(),
        lost: outcome.lost.iter().map(|path| JsonPath::from(path.as_path())).collect(),
        not_restored: outcome.not_restored.iter().map(Missing::from).collect(),
        blamed: outcome.failures.iter().map(Blamed::from).collect(),
    });
    let (files, bytes) = (count(outcome.files, "file"), ByteSize::b(outcome.bytes));
    let done = if is_comparison { "fetched and compared, nothing written" } else { "restored" };
    out.say(format_args!("{files}, {bytes} {done}; each agrees with its recorded SHA-256"));
    if outcome.resumed > 0 {
        out.say(format_args!(
            "{} of them had been fetched before, by a get that did not come to its end",
            ByteSize::b(outcome.resumed)
        ));
    }
    say_left(outcome.unchanged, outcome.kept, out);
    for failure in &outcome.failures {
        let pack = failure.pack.map_or_else(String::new, |pack| format!(", pack {}", pack.short()));
        out.say(format_args!("made up for provider {}{pack}: {}", npub(&failure.provider), failure.why));
    }
    for path in &outcome.lost {
        out.say(format_args!("lost: {}", path_text(path)));
    }
    for one in &outcome.not_restored {
        let (times, example) = (one.count, path_text(&one.example));
        let why = match one.what {
            Withheld::HardLink => "copies were made instead",
            Withheld::Socket => "they mean nothing without the program that listened",
            _ => "this system, or this user, does not allow it",
        };
        out.say(format_args!("not restored: {}, {times} times, such as {example}: {why}", one.what.name()));
    }
}

fn say_left(unchanged: u64, kept: u64, out: &Output) {
    if unchanged > 0 {
        out.say(format_args!(
            "{unchanged} were there already, of the same length and time, and were not touched"
        ));
    }
    if kept > 0 {
        out.say(format_args!("{kept} were there already and were left alone, as --overwrite never says"));
    }
}

fn report_plan(plan: &Plan, out: &Output) {
    let mut report =
        PlanReport { files: 0, bytes: 0, unchanged: 0, kept: 0, dry_run: true, would: Vec::new() };
    for step in &plan.steps {
        let is_folder = matches!(step.entry.kind, EntryKind::Dir { .. });
        let action = match step.action {
            Action::Make => "make",
            Action::Replace => "replace",
            Action::Merge => continue,
            Action::Unchanged => {
                report.unchanged += 1;
                continue;
            }
            Action::Keep => {
                report.kept += u64::from(!is_folder);
                continue;
            }
        };
        if let EntryKind::File(file) = &step.entry.kind {
            report.files += 1;
            report.bytes += file.len;
        }
        let slash = if is_folder { "/" } else { "" };
        out.answer(format_args!("{action:7}  {}{slash}", path_text(&step.place)));
        report.would.push(StepRow { action, path: JsonPath::from(step.place.as_path()) });
    }
    let (files, bytes) = (count(report.files, "file"), ByteSize::b(report.bytes));
    out.say(format_args!("{files}, {bytes} would be restored"));
    say_left(report.unchanged, report.kept, out);
    out.json(&report);
}
