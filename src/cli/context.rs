//! What every command starts from: home, relays, clock and output.

use std::path::PathBuf;
use std::time::Duration;

use nostr::RelayUrl;

use crate::cli::args::Global;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;

/// The surroundings of one run.
#[derive(Debug, Clone)]
pub struct Context {
    /// The vault's home folder, which may not exist yet.
    pub home: PathBuf,
    /// Relays named on the command line or in the environment.
    pub relays: Vec<RelayUrl>,
    /// How long anything may go without progress.
    pub timeout: Duration,
    /// The way to the terminal.
    pub output: Output,
}

impl Context {
    /// Reads the global options.
    ///
    /// # Errors
    /// A relay that is no `ws://` or `wss://` URL, or no home folder to be found.
    pub fn new(global: &Global) -> Result<Self, CliError> {
        Ok(Self {
            home: home(global)?,
            relays: global.relays.iter().map(|text| relay_url(text)).collect::<Result<_, _>>()?,
            timeout: global.timeout,
            output: Output::new(global),
        })
    }
}

fn relay_url(text: &str) -> Result<RelayUrl, CliError> {
    RelayUrl::parse(text.trim()).map_err(|error| {
        let remedy = "give a WebSocket address such as ws://127.0.0.1:7777 or wss://relay.example.com";
        CliError::new(Exit::Usage, format!("{text:?} is no relay address: {error}"), remedy)
    })
}

fn home(global: &Global) -> Result<PathBuf, CliError> {
    if let Some(home) = &global.home {
        return Ok(home.clone());
    }
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(data).join("blobdvm"));
    }
    match std::env::var_os("HOME").filter(|dir| !dir.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(".local/share/blobdvm")),
        None => {
            let remedy = "name one with --home DIR or BLOBDVM_HOME";
            Err(CliError::new(Exit::Usage, "there is no home folder: HOME is not set", remedy))
        }
    }
}
