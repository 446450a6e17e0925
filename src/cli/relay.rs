//! `blobdvm relay`: the embedded relay as a process of its own.

use serde::Serialize;

use crate::cli::args::RelayArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::relay::{Relay, RelayError, RelayOptions};

/// What `--json` prints once the relay listens.
#[derive(Serialize)]
struct Listening {
    url: String,
}

/// Runs a relay until it is told to stop.
///
/// # Errors
/// The address or the folder cannot be used.
pub async fn run(args: &RelayArgs, context: &Context) -> Result<Exit, CliError> {
    let store = args.store.clone().unwrap_or_else(|| context.home.join("relay"));
    let options = RelayOptions { listen: args.listen, store: Some(store), ..RelayOptions::default() };
    let relay = Relay::bind(options).await.map_err(|error| cannot_run(&error))?;
    let url = relay.url().to_string();
    context.output.answer(&url);
    context.output.json(&Listening { url });
    relay.run_until(args.lifeline.stop()).await;
    Ok(Exit::Ok)
}

fn cannot_run(error: &RelayError) -> CliError {
    let remedy = match error {
        RelayError::Listen { .. } => "name another address with --listen; port 0 takes any free port",
        RelayError::Store { .. } => "name a folder that you may write to with --store",
    };
    CliError::new(Exit::Failure, chain(error), remedy)
}
