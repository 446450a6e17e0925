//! What every command starts from: home, relays, clock and output.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use nostr::RelayUrl;
use tempfile::TempDir;

use crate::cli::args::{CarrierArg, Global};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::plain;
use crate::cli::progress::Progress;
use crate::client::{CarrierChoice, Client, Stop};
use crate::env::Env;
use crate::transport::{Carrier, ConnectOptions, Relays};
use crate::types::ChunkLen;
use crate::vault::{Home, Vault, VaultError, read_capability};

/// How long the first relay may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The surroundings of one run.
#[derive(Clone)]
pub struct Context {
    /// The vault's home folder, which may not exist yet.
    pub home: PathBuf,
    /// Relays named on the command line or in the environment.
    pub relays: Vec<RelayUrl>,
    /// Which way blobs take.
    pub carrier: CarrierChoice,
    /// The longest chunks that are used over relays.
    pub chunk_len_max: ChunkLen,
    /// How long anything may go without progress.
    pub timeout: Duration,
    /// The way to the terminal.
    pub output: Output,
    /// Clock and randomness.
    pub env: Env,
    /// Tells the command to stop.
    pub stop: Stop,
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
            carrier: match global.carrier {
                None => CarrierChoice::Best,
                Some(CarrierArg::Relay) => CarrierChoice::Relay,
                Some(CarrierArg::Direct) => CarrierChoice::Direct,
            },
            chunk_len_max: chunk_len("--chunk-size", global.chunk_size)?,
            timeout: global.timeout,
            output: Output::new(global),
            env: Env::system(),
            stop: Stop::default(),
        })
    }

    /// The same surroundings for a command that writes file contents to standard output.
    pub fn with_data_on_stdout(&self) -> Result<Self, CliError> {
        if self.output.is_json() {
            let remedy = "leave one of them out";
            return Err(CliError::new(Exit::Usage, "--json and a file's contents both want stdout", remedy));
        }
        Ok(Self { output: self.output.clone().with_data_on_stdout(), ..self.clone() })
    }

    /// Opens the vault in the home.
    pub fn open_vault(&self) -> Result<Vault, CliError> {
        Ok(Home::open(&self.home, &self.env)?)
    }

    /// Opens the vault in the home, for who waits until it is free.
    pub fn open_vault_when_free(&self) -> Result<Vault, VaultError> {
        Home::open(&self.home, &self.env)
    }

    /// Opens the vault in the home; or, with a capability, the home of that, which is made on first use and knows the
    /// relays that the capability names.
    pub fn open_vault_with(&self, capability: Option<&Path>) -> Result<Vault, CliError> {
        let Some(path) = capability else { return self.open_vault() };
        let capability = read_capability(path)?;
        let home = Home::at(&self.home).of_capability(&capability);
        let vault = Home::open_capability(&home, &capability, &self.env)?;
        let relays: Vec<_> = capability.relays.iter().filter_map(|url| RelayUrl::parse(url).ok()).collect();
        vault.update_settings(|settings| {
            if settings.relays.is_empty() {
                settings.relays = relays;
            }
        })?;
        Ok(vault)
    }

    /// Opens the vault in the home; makes one on first use, and says where its key is.
    pub fn open_or_make_vault(&self) -> Result<Vault, CliError> {
        if Home::at(&self.home).exists()? {
            return self.open_vault();
        }
        let vault = Home::init_fresh(&self.home, &self.env)?;
        self.remember_relays(&vault)?;
        self.output.warn(format_args!(
            "a new vault was made in {}; whoever has its file `key` has everything, and without it nothing comes back: \
             copy the key to a safe place",
            self.home.display()
        ));
        Ok(vault)
    }

    /// Keeps the relays that were named for runs that name none.
    pub fn remember_relays(&self, vault: &Vault) -> Result<(), CliError> {
        vault.update_settings(|settings| {
            for relay in &self.relays {
                if !settings.relays.contains(relay) {
                    settings.relays.push(relay.clone());
                }
            }
        })?;
        Ok(())
    }

    /// Connects to the relays that were named, or to `remembered` where none were.
    ///
    /// # Errors
    /// No relay is known, or none can be reached.
    pub async fn connect(&self, remembered: &[RelayUrl]) -> Result<Arc<dyn Carrier>, CliError> {
        let relays = if self.relays.is_empty() { remembered } else { &self.relays };
        if relays.is_empty() {
            let remedy = "name one with --relay URL or BLOBDVM_RELAYS, or run one with `blobdvm relay`";
            return Err(CliError::new(Exit::NoRelay, "no relay is known", remedy));
        }
        let options = ConnectOptions { deadline: self.timeout.min(CONNECT_DEADLINE), env: self.env.clone() };
        Ok(Arc::new(Relays::connect(relays, options).await?))
    }

    /// A client of `vault`, watched by progress of `verb`.
    pub async fn client(
        &self,
        vault: Vault,
        verb: &'static str,
    ) -> Result<(Client, Arc<Progress>), CliError> {
        let carrier = self.connect(&vault.settings().relays).await?;
        if vault.settings().relays.is_empty() {
            self.remember_relays(&vault)?;
        }
        let progress = Arc::new(Progress::new(verb, self.output.clone()));
        let client = Client::new(vault, carrier, progress.clone(), self.timeout, self.env.clone());
        let client = client.going(self.carrier, self.chunk_len_max);
        Ok((client.heeding(self.stop.clone()), progress))
    }

    /// A folder beside the home in which a new home can be built; it vanishes unless it [takes](Self::take_home) its
    /// place.
    ///
    /// # Errors
    /// There is a vault in the home already.
    pub fn building_home(&self) -> Result<TempDir, CliError> {
        if Home::at(&self.home).exists()? {
            let happened = format!("{} holds a vault already; nothing was changed", self.home.display());
            return Err(CliError::new(Exit::Home, happened, "name an empty home with --home DIR"));
        }
        let parent = self.home.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.map_or_else(|| PathBuf::from("."), PathBuf::from);
        let made = std::fs::create_dir_all(&parent)
            .and_then(|()| tempfile::Builder::new().prefix(".blobdvm-recovery-").tempdir_in(&parent));
        made.map_err(|error| cannot_build(&parent.display(), &error))
    }

    /// Gives a home that was built its place. Nothing may have it open.
    pub fn take_home(&self, built: TempDir) -> Result<(), CliError> {
        // A folder without a vault may stand there: empty, or with the plain protocol's key.
        plain::carry_key_over(&self.home, built.path())
            .map_err(|error| cannot_build(&self.home.display(), &error))?;
        let _ = std::fs::remove_dir(&self.home);
        std::fs::rename(built.path(), &self.home)
            .map_err(|error| cannot_build(&self.home.display(), &error))?;
        let _moved_away = built.keep();
        Ok(())
    }
}

fn cannot_build(place: &dyn std::fmt::Display, error: &std::io::Error) -> CliError {
    CliError::new(
        Exit::Home,
        format!("cannot make a home in {place}: {error}"),
        "name another one with --home DIR",
    )
}

fn relay_url(text: &str) -> Result<RelayUrl, CliError> {
    RelayUrl::parse(text.trim()).map_err(|error| {
        let remedy = "give a WebSocket address such as ws://127.0.0.1:7777 or wss://relay.example.com";
        CliError::new(Exit::Usage, format!("{text:?} is no relay address: {error}"), remedy)
    })
}

/// The chunks that are meant by an option.
///
/// # Errors
/// There are none of this length.
pub(crate) fn chunk_len(option: &str, len: ByteSize) -> Result<ChunkLen, CliError> {
    ChunkLen::new(len.as_u64()).ok_or_else(|| {
        let remedy = "name a multiple of 32KiB up to 512KiB";
        CliError::new(Exit::Usage, format!("{option} {len} is not possible"), remedy)
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
