//! A relay and providers in this process, each provider with a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nostr::RelayUrl;
use tokio::task::JoinHandle;

use crate::cli::demo::story::failed;
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::env::Env;
use crate::provider::{Provider, ProviderOptions};
use crate::relay::{Relay, RelayOptions};
use crate::transport::{Carrier, ConnectOptions, Relays};

/// Everything but the client.
pub(super) struct Stage {
    url: RelayUrl,
    relay: JoinHandle<()>,
    providers: Vec<Option<Provider>>,
    folder: PathBuf,
    env: Env,
}

impl Stage {
    /// Starts a relay and `count` providers, with their stores below `folder`.
    pub(super) async fn build(folder: &Path, count: usize, env: &Env) -> Result<Self, CliError> {
        let listen = ([127, 0, 0, 1], 0).into();
        let relay = Relay::bind(RelayOptions { listen, ..RelayOptions::default() })
            .await
            .map_err(|e| cannot_start(&e))?;
        let url = relay.url();
        let relay = tokio::spawn(relay.run_until(std::future::pending()));
        let mut stage =
            Self { url, relay, providers: Vec::new(), folder: folder.to_owned(), env: env.clone() };
        for index in 0..count {
            let provider = stage.open(index).await?;
            stage.providers.push(Some(provider));
        }
        Ok(stage)
    }

    /// Where the relay is.
    pub(super) fn url(&self) -> &RelayUrl {
        &self.url
    }

    /// A connection of its own to the relay.
    pub(super) async fn carrier(&self) -> Result<Arc<dyn Carrier>, CliError> {
        let options = ConnectOptions { env: self.env.clone(), ..ConnectOptions::default() };
        Ok(Arc::new(Relays::connect(std::slice::from_ref(&self.url), options).await?))
    }

    /// Ends a provider and deletes its store.
    pub(super) async fn destroy(&mut self, index: usize) -> Result<(), CliError> {
        self.end(index).await;
        fs::remove_dir_all(self.store(index)).map_err(failed)
    }

    /// Flips a bit in the middle of every blob of a provider. Done twice, it undoes itself.
    pub(super) async fn flip(&mut self, index: usize) -> Result<(), CliError> {
        // A provider remembers which files it found damaged: it starts afresh.
        self.end(index).await;
        for path in files(&self.store(index).join("blobs")) {
            let mut bytes = fs::read(&path).map_err(failed)?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            fs::write(&path, bytes).map_err(failed)?;
        }
        self.providers[index] = Some(self.open(index).await?);
        Ok(())
    }

    /// Ends everybody.
    pub(super) async fn clear(&mut self) {
        for index in 0..self.providers.len() {
            self.end(index).await;
        }
        self.relay.abort();
    }

    async fn open(&self, index: usize) -> Result<Provider, CliError> {
        let options =
            ProviderOptions { name: format!("stranger {}", index + 1), ..ProviderOptions::default() };
        let provider =
            Provider::open(&self.store(index), options, self.carrier().await?, self.env.clone()).await;
        provider.map_err(|error| cannot_start(&error))
    }

    async fn end(&mut self, index: usize) {
        if let Some(provider) = self.providers[index].take() {
            provider.stop().await;
        }
    }

    fn store(&self, index: usize) -> PathBuf {
        self.folder.join(format!("provider-{}", index + 1))
    }
}

/// All files below `folder`.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn cannot_start(error: &dyn std::error::Error) -> CliError {
    CliError::new(Exit::Failure, chain(error), "check that this machine lets programs listen on 127.0.0.1")
}
