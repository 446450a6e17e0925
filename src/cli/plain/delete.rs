//! `blobdvm delete`: gives up one's claim on a blob.

use serde::Serialize;

use crate::cli::args::DeleteArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::cli::plain::servers::{Servers, blob_hash, failed};
use crate::client::ExchangeError;

/// What `delete --json` prints.
#[derive(Debug, Serialize)]
struct Deleted {
    hash: String,
    /// Where the claim was dropped.
    providers: Vec<String>,
}

/// Drops the claim of the home's plain key at the named provider, or wherever it has one.
pub async fn run(args: &DeleteArgs, context: &Context) -> Result<Exit, CliError> {
    let hash = blob_hash(&args.hash)?;
    let servers = Servers::find(args.server.as_deref(), context).await?;
    let mut providers = Vec::new();
    let mut failure: Option<ExchangeError> = None;
    for terms in &servers.terms {
        match servers.exchange.delete(terms.id, &[hash]).await {
            Ok(had_claim) if had_claim == [true] => {
                context.output.answer(format_args!("deleted at {}", npub(&terms.id)));
                providers.push(terms.id.to_string());
            }
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(failed(&error)),
        None if providers.is_empty() => {
            let happened = format!("nobody asked keeps {hash} for this key");
            let remedy = "only the home that uploaded a blob can delete it: name it with --home DIR";
            Err(CliError::new(Exit::NotFound, happened, remedy))
        }
        None => {
            context.output.json(&Deleted { hash: hash.to_string(), providers });
            Ok(Exit::Ok)
        }
    }
}
