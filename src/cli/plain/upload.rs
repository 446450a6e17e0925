//! `blobdvm upload`: one public blob to one provider.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use serde::Serialize;

use crate::cli::args::UploadArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{npub, time};
use crate::cli::plain::servers::{Servers, failed};
use crate::client::StoreOptions;
use crate::types::limits::BLOB_LEN_MAX;

/// What `upload --json` prints.
#[derive(Debug, Serialize)]
struct Uploaded {
    hash: String,
    size: u64,
    expires: u64,
    provider: String,
    /// The event in which the provider says so; none over the direct path.
    receipt: Option<String>,
}

/// Stores one file as it is, readable to everybody who knows its hash.
pub async fn run(args: &UploadArgs, context: &Context) -> Result<Exit, CliError> {
    let blob = read(&args.file)?;
    let servers = Servers::find(args.server.as_deref(), context).await?;
    let fits = |max: u64| blob.len() as u64 <= max;
    let Some(terms) = servers.terms.iter().find(|terms| fits(terms.max_file_size)).or(servers.terms.first())
    else {
        return Err(CliError::new(Exit::TooFewProviders, "no provider answers", "run `blobdvm serve`"));
    };
    // The hash is what a script wants of this; the rest is for people.
    let output = context.output.clone().with_data_on_stdout();
    output.say(format_args!("storing {} bytes, unsealed, at {}", blob.len(), npub(&terms.id)));
    let filename = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let options = StoreOptions { filename, ..StoreOptions::default() };
    let receipt = servers.exchange.store(terms.id, blob, options).await.map_err(|error| failed(&error))?;
    output.say(format_args!("kept until {}", time(receipt.expires)));
    output.answer(receipt.hash);
    output.json(&Uploaded {
        hash: receipt.hash.to_string(),
        size: receipt.size,
        expires: receipt.expires.0,
        provider: receipt.provider.to_string(),
        receipt: receipt.event_id.map(|event| event.to_hex()),
    });
    Ok(Exit::Ok)
}

/// The file's bytes, if they are not more than a blob can have.
fn read(path: &Path) -> Result<Bytes, CliError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(BLOB_LEN_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let happened = format!("cannot read {}: {error}", path.display());
        return Err(CliError::new(
            Exit::Failure,
            happened,
            "check that the file exists and that you may read it",
        ));
    }
    if bytes.len() as u64 > BLOB_LEN_MAX {
        let happened = format!("{} is larger than a blob can be: {BLOB_LEN_MAX} bytes", path.display());
        return Err(CliError::new(Exit::Usage, happened, "use `blobdvm put`, which cuts files"));
    }
    Ok(bytes.into())
}
