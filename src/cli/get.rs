//! `blobdvm get`: restore a snapshot, or some of its paths.

use std::path::Path;

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::args::GetArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, npub, provider};
use crate::client::{Destination, Failure, GetOptions, GetOutcome};

/// What `get --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    files: u64,
    bytes: u64,
    verified: bool,
    blamed: Vec<Blamed>,
}

/// A provider that did not deliver what it promised.
#[derive(Debug, Serialize)]
struct Blamed {
    provider: String,
    pack: Option<String>,
    why: String,
}

impl From<&Failure> for Blamed {
    fn from(failure: &Failure) -> Self {
        let pack = failure.pack.map(|pack| pack.to_string());
        Self { provider: failure.provider.to_string(), pack, why: failure.why.clone() }
    }
}

/// Restores, and says what was done.
pub async fn run(args: &GetArgs, context: &Context) -> Result<Exit, CliError> {
    let to_stdout = args.output == Path::new("-");
    let context = if to_stdout { &context.with_data_on_stdout()? } else { context };
    let destination = if to_stdout { Destination::Stdout } else { Destination::Path(args.output.clone()) };
    let preferred = args.prefer.iter().map(|text| provider(text)).collect::<Result<_, _>>()?;
    let options = GetOptions { paths: args.paths.clone(), destination, preferred };
    let vault = context.open_vault()?;
    let snapshot = vault.resolve(&args.snapshot)?;
    let (client, progress) = context.client(vault, "get").await?;
    let outcome = client.get(&snapshot, &options).await;
    progress.finish();
    report(&outcome?, context);
    Ok(Exit::Ok)
}

fn report(outcome: &GetOutcome, context: &Context) {
    let out = &context.output;
    out.json(&Report {
        files: outcome.files,
        bytes: outcome.bytes,
        verified: true,
        blamed: outcome.failures.iter().map(Blamed::from).collect(),
    });
    let bytes = ByteSize::b(outcome.bytes);
    out.say(format_args!(
        "{}, {bytes} restored; each agrees with its recorded SHA-256",
        count(outcome.files, "file")
    ));
    for failure in &outcome.failures {
        let pack = failure.pack.map_or_else(String::new, |pack| format!(", pack {}", pack.short()));
        out.say(format_args!("made up for provider {}{pack}: {}", npub(&failure.provider), failure.why));
    }
    for path in &outcome.skipped {
        out.say(format_args!("left out {}: devices, pipes and sockets are not restored", path.display()));
    }
}
