//! Who is measured: a relay and providers as processes of their own, or those that were named.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nostr::RelayUrl;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::cpu;
use crate::cli::bench::report::Peak;
use crate::cli::context::Context;
use crate::cli::demo::failed;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::provider;
use crate::types::ProviderId;

/// How long a process may take to say that it serves.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long one may take to end after it was killed.
const END_DEADLINE: Duration = Duration::from_secs(5);
const ANYWHERE: &str = "127.0.0.1:0";

/// Everybody but the client.
pub(super) struct Stage {
    /// None where those of the command line are used.
    pub(super) relays: Vec<RelayUrl>,
    pub(super) providers: Vec<ProviderId>,
    pub(super) blossom: Option<String>,
    servers: Vec<Server>,
}

/// A process that is killed when this is dropped.
struct Server {
    name: String,
    process: Child,
    hello: Value,
    /// Held open: whoever prints more must not be stopped by a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Stage {
    /// Those that were named; or a relay and `count` providers, with their stores below `folder`.
    pub(super) async fn build(
        args: &BenchArgs,
        count: u8,
        folder: &Path,
        context: &Context,
    ) -> Result<Self, CliError> {
        let mut stage = Self {
            relays: Vec::new(),
            providers: Vec::new(),
            blossom: args.blossom.clone(),
            servers: Vec::new(),
        };
        if !args.providers.is_empty() {
            stage.providers = args.providers.iter().map(|text| provider(text)).collect::<Result<_, _>>()?;
            return Ok(stage);
        }
        let relay = Server::start("relay", &["relay", "--listen", ANYWHERE], folder, context).await?;
        let url = relay.said("url")?.to_owned();
        stage.servers.push(relay);
        for index in 0..count {
            let mut options = vec!["--relay", &url, "serve", "--quota", "1TiB", "--direct", ANYWHERE];
            if index == 0 && args.blossom.is_none() {
                options.extend(["--blossom", ANYWHERE]);
            }
            let server = Server::start(&format!("provider {}", index + 1), &options, folder, context).await?;
            stage.providers.push(provider(server.said("provider")?)?);
            if index == 0 && args.blossom.is_none() {
                stage.blossom = Some(server.said("blossom")?.to_owned());
            }
            stage.servers.push(server);
        }
        stage.relays.push(RelayUrl::parse(&url).map_err(|error| did_not_start("relay", &error.to_string()))?);
        Ok(stage)
    }

    /// Whether the providers were started here, and vanish with their stores.
    pub(super) fn is_embedded(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The processes whose CPU seconds count: this one, and those that were started here.
    pub(super) fn pids(&self) -> Vec<u32> {
        let servers = self.servers.iter().filter_map(|server| server.process.id());
        std::iter::once(cpu::own()).chain(servers).collect()
    }

    /// The most memory that each of those has had which were started here.
    pub(super) fn server_peaks(&self) -> impl Iterator<Item = Peak> {
        self.servers.iter().filter_map(|server| {
            Some(Peak { process: server.name.clone(), peak_mib: cpu::peak_mib(server.process.id()?)? })
        })
    }

    /// Ends every process, and waits until it is gone: it must not write into a folder that is being removed.
    pub(super) async fn end(mut self) {
        for server in &mut self.servers {
            if timeout(END_DEADLINE, server.process.kill()).await.is_err() {
                tracing::debug!(server = server.name, "a process does not end");
            }
        }
    }
}

impl Server {
    /// Starts this program once more, and waits until it serves.
    async fn start(name: &str, args: &[&str], folder: &Path, context: &Context) -> Result<Self, CliError> {
        let home = folder.join(name.replace(' ', "-"));
        fs::create_dir_all(&home).map_err(failed)?;
        let (log, program) = (home.join("log"), std::env::current_exe().map_err(failed)?);
        let mut process = Command::new(program)
            .args(["--json", "--timeout", &format!("{}s", context.timeout.as_secs().max(1)), "--home"])
            .arg(&home)
            .args(args)
            .env_remove("BLOBDVM_HOME")
            .env_remove("BLOBDVM_RELAYS")
            .env_remove("BLOBDVM_CARRIER")
            .arg("--until-eof")
            // Held open as long as this process lives, and no longer, however it ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(failed)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = process.stdout.take().ok_or_else(|| did_not_start(name, "it has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START_DEADLINE, lines.next_line()).await;
        let line = line.map_err(|_| did_not_start(name, "it says nothing"))?.map_err(failed)?;
        let hello = line.and_then(|line| serde_json::from_str(&line).ok());
        let Some(hello) = hello else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(did_not_start(name, said.lines().next().unwrap_or("it ended without a word")));
        };
        Ok(Self { name: name.to_owned(), process, hello, _stdout: lines })
    }

    /// What it said when it began to serve.
    fn said(&self, field: &str) -> Result<&str, CliError> {
        self.hello[field]
            .as_str()
            .ok_or_else(|| did_not_start(&self.name, "it does not say how it is reached"))
    }
}

fn did_not_start(name: &str, why: &str) -> CliError {
    let happened = format!("the {name} of the bench did not start: {why}");
    CliError::new(Exit::Failure, happened, "see that this machine lets programs listen on 127.0.0.1")
}
