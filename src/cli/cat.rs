//! `blobdvm cat`: the bytes of one file, or a part of them, to standard output.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::client::ClientError;

/// Arguments of `cat`.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// Id (or its beginning) or name of a snapshot, or `latest`; a name means the latest of that name
    #[arg(value_name = "SNAPSHOT|NAME")]
    pub snapshot: String,
    /// A file of the snapshot
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Begin so many bytes into the file
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// Write at most so many bytes
    #[arg(long, value_name = "N")]
    pub length: Option<u64>,
}

/// Writes the bytes, and says nothing.
pub async fn run(args: &CatArgs, context: &Context) -> Result<Exit, CliError> {
    let context = context.with_data_on_stdout()?;
    let range = (args.offset.is_some() || args.length.is_some()).then(|| {
        let begin = args.offset.unwrap_or(0);
        begin..begin.saturating_add(args.length.unwrap_or(u64::MAX))
    });
    let vault = context.open_vault()?;
    let snapshot = vault.resolve(&args.snapshot)?;
    let (client, progress) = context.client(vault, "cat").await?;
    let written = client.cat(&args.path, &snapshot, range, &mut std::io::stdout()).await;
    progress.finish();
    match written {
        Ok(_) => Ok(Exit::Ok),
        Err(error @ ClientError::Integrity { .. }) => {
            let error = CliError::from(error);
            let remedy = "throw away what was written; check with `blobdvm manifest verify`";
            Err(CliError::new(error.exit(), error.happened(), remedy))
        }
        Err(error) => Err(error.into()),
    }
}
