//! `blobdvm download`: one public blob by its hash.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;

use crate::cli::args::DownloadArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::cli::plain::servers::{Servers, blob_hash, failed, failed_at};
use crate::client::ExchangeError;
use crate::types::{BlobHash, ProviderId};

/// What `download --json` prints.
#[derive(Debug, Serialize)]
struct Downloaded {
    hash: String,
    size: u64,
    provider: String,
    file: PathBuf,
}

/// Fetches a blob from the first provider that has it; it appears under its name when its SHA-256 is right.
pub async fn run(args: &DownloadArgs, context: &Context) -> Result<Exit, CliError> {
    let hash = blob_hash(&args.hash)?;
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    let context = if to_stdout { &context.with_data_on_stdout()? } else { context };
    let servers = Servers::find(args.server.as_deref(), context).await?;
    let (blob, provider) = fetch(&servers, hash).await?;
    let size = blob.len() as u64;
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(hash.to_string()));
    let written = if to_stdout { write_to_stdout(&blob) } else { write_to_file(&blob, &file) };
    written.map_err(|error| {
        let happened = format!("cannot write {}: {error}", file.display());
        CliError::new(Exit::Failure, happened, "name another file with -o FILE")
    })?;
    context.output.say(format_args!("{size} bytes from {}, verified", npub(&provider)));
    context.output.json(&Downloaded { hash: hash.to_string(), size, provider: provider.to_string(), file });
    Ok(Exit::Ok)
}

async fn fetch(servers: &Servers, hash: BlobHash) -> Result<(Bytes, ProviderId), CliError> {
    let mut worst: Option<ExchangeError> = None;
    let mut failures = Vec::new();
    for terms in &servers.terms {
        match servers.exchange.fetch(terms.id, hash, None).await {
            Ok(blob) => return Ok((blob, terms.id)),
            Err(error) => {
                failures.push(failed_at(terms.id, &error));
                // That one has not got it says less than any other failure.
                let is_absence = |error: &ExchangeError| error.code().is_some();
                if worst.as_ref().is_none_or(is_absence) {
                    worst = Some(error);
                }
            }
        }
    }
    match worst {
        Some(error) if failures.len() == 1 => Err(failed(&error)),
        Some(error) => {
            Err(failed(&error).with_happened(format!("nobody sent {hash} ({})", failures.join("; "))))
        }
        None => Err(CliError::new(Exit::TooFewProviders, "no provider answers", "run `blobdvm serve`")),
    }
}

fn write_to_stdout(blob: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(blob).and_then(|()| stdout.flush())
}

/// Writes beside the target and renames, so that nothing partial is ever under its name.
fn write_to_file(blob: &[u8], path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".blobdvm-").suffix(".part").tempfile_in(folder)?;
    file.write_all(blob)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
