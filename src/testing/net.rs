//! Relays and providers in one process, in a temporary folder.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nostr::RelayUrl;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::env::Env;
use crate::provider::{Provider, ProviderError, ProviderOptions};
use crate::relay::{Relay, RelayMonitor, RelayOptions};
use crate::testing::damage::files;
use crate::testing::{Damaged, Freezing, Switch};
use crate::transport::memory::{Hub, MemoryCarrier};
use crate::transport::{Carrier, ConnectOptions, Relays};
use crate::types::ProviderId;

/// How long a store that another provider has just left may still be locked.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a network consists of.
#[derive(Clone)]
pub struct NetOptions {
    /// How many providers.
    pub provider_count: usize,
    /// How many relays; all providers listen at all of them.
    pub relay_count: usize,
    /// What the relays are.
    pub relay_kind: RelayKind,
    /// What each provider offers; its name gets a number.
    pub provider: ProviderOptions,
    /// Clock and randomness of everybody.
    pub env: Env,
}

/// What the relays of a network are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayKind {
    /// The embedded relay, on loopback.
    Embedded,
    /// Hubs in memory, with faults that follow from the seed.
    Memory(u64),
    /// One that runs already, and that the network does not end.
    Elsewhere(RelayUrl),
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            provider_count: 3,
            relay_count: 1,
            relay_kind: RelayKind::Embedded,
            provider: ProviderOptions::default(),
            env: Env::system(),
        }
    }
}

/// A network, until it is dropped: then everybody is gone, and so are the folders.
pub struct Net {
    relays: Vec<Place>,
    providers: Vec<Seat>,
    options: NetOptions,
    folder: TempDir,
}

/// A relay, or where one was.
enum Place {
    Hub(Hub),
    Elsewhere(RelayUrl),
    Embedded { address: SocketAddr, url: RelayUrl, monitor: RelayMonitor, running: JoinSet<()> },
}

/// A provider, or where one was.
struct Seat {
    id: ProviderId,
    provider: Option<Provider>,
    switch: Switch,
}

impl Net {
    /// Starts the relays, and then the providers. When this returns, all are announced.
    ///
    /// # Panics
    /// If a relay or a provider does not start: without them there is nothing to test.
    pub async fn start(options: NetOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut net = Self { relays: Vec::new(), providers: Vec::new(), options, folder };
        for index in 0..net.options.relay_count {
            let place = match net.options.relay_kind.clone() {
                RelayKind::Elsewhere(url) => Place::Elsewhere(url),
                RelayKind::Memory(seed) => {
                    Place::Hub(Hub::new(&format!("relay-{index}"), seed + index as u64))
                }
                RelayKind::Embedded => net.start_relay(index, ([127, 0, 0, 1], 0).into()).await,
            };
            net.relays.push(place);
        }
        for index in 0..net.options.provider_count {
            let switch = Switch::default();
            let provider = net.start_provider(index, &switch).await;
            net.providers.push(Seat { id: provider.id(), provider: Some(provider), switch });
        }
        net
    }

    /// A connection of its own to all relays.
    ///
    /// # Panics
    /// If no relay can be reached.
    pub async fn carrier(&self) -> Arc<dyn Carrier> {
        if let Some(hubs) = self.relays.iter().map(Place::hub).collect::<Option<Vec<_>>>() {
            return Arc::new(MemoryCarrier::new(hubs));
        }
        let options = ConnectOptions { env: self.options.env.clone(), ..ConnectOptions::default() };
        Arc::new(Relays::connect(&self.relay_urls(), options).await.expect("a relay"))
    }

    /// Where the relays are.
    pub fn relay_urls(&self) -> Vec<RelayUrl> {
        self.relays.iter().map(Place::url).collect()
    }

    /// A hub, to set its faults; `None` where relays are embedded ones.
    pub fn hub(&self, relay: usize) -> Option<Hub> {
        self.relays[relay].hub()
    }

    /// A look at an embedded relay; `None` where relays are hubs.
    pub fn relay_monitor(&self, relay: usize) -> Option<RelayMonitor> {
        match &self.relays[relay] {
            Place::Embedded { monitor, .. } => Some(monitor.clone()),
            Place::Hub(_) | Place::Elsewhere(_) => None,
        }
    }

    /// Ends a relay at once, unless it runs elsewhere. What it kept stays.
    pub async fn kill_relay(&mut self, relay: usize) {
        match &mut self.relays[relay] {
            Place::Hub(hub) => hub.disconnect(),
            Place::Elsewhere(_) => {}
            Place::Embedded { running, .. } => running.shutdown().await,
        }
    }

    /// Starts a relay again, at the address it had.
    pub async fn revive_relay(&mut self, relay: usize) {
        let address = match &self.relays[relay] {
            Place::Hub(hub) => return hub.reconnect(),
            Place::Elsewhere(_) => return,
            Place::Embedded { address, .. } => *address,
        };
        self.relays[relay] = self.start_relay(relay, address).await;
    }

    /// The keys of all providers, killed ones included.
    pub fn provider_ids(&self) -> Vec<ProviderId> {
        self.providers.iter().map(|seat| seat.id).collect()
    }

    /// A provider that runs.
    ///
    /// # Panics
    /// If it was killed.
    pub fn provider(&self, index: usize) -> &Provider {
        self.providers[index].provider.as_ref().expect("the provider was not killed")
    }

    /// Ends a provider at once. Its store stays.
    pub fn kill(&mut self, index: usize) {
        self.providers[index].provider = None;
    }

    /// Starts a provider again on what is in its store; on an empty one it is a new provider, with a new key.
    pub async fn revive(&mut self, index: usize) {
        self.kill(index);
        let switch = Switch::default();
        let provider = self.start_provider(index, &switch).await;
        self.providers[index] = Seat { id: provider.id(), provider: Some(provider), switch };
    }

    /// Ends a provider at once, and deletes its store.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn wipe(&mut self, index: usize) -> io::Result<()> {
        self.kill(index);
        std::fs::remove_dir_all(self.store_dir(index))
    }

    /// Changes a bit in every blob of a provider, which runs on.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn corrupt(&self, index: usize) -> io::Result<Damaged> {
        Damaged::flip(&self.store_dir(index))
    }

    /// A provider hears nothing more and is not heard, but stays connected.
    pub fn freeze(&self, index: usize) {
        self.providers[index].switch.freeze();
    }

    /// A frozen provider goes on.
    pub fn thaw(&self, index: usize) {
        self.providers[index].switch.thaw();
    }

    /// Files of the blobs that a provider keeps.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn blobs(&self, index: usize) -> io::Result<Vec<PathBuf>> {
        files(&self.store_dir(index).join("blobs"))
    }

    /// The folder of a provider's store.
    pub fn store_dir(&self, index: usize) -> PathBuf {
        self.path().join(format!("provider-{index}"))
    }

    /// A folder for a client's home, which is not made yet.
    pub fn home_dir(&self, name: &str) -> PathBuf {
        self.path().join(format!("home-{name}"))
    }

    /// The network's folder, for whatever else a test needs.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn start_relay(&self, index: usize, listen: SocketAddr) -> Place {
        let store = Some(self.path().join(format!("relay-{index}")));
        let relay = Relay::bind(RelayOptions { listen, store, ..RelayOptions::default() }).await;
        let relay = relay.expect("a relay starts");
        let (url, monitor, address, mut running) =
            (relay.url(), relay.monitor(), relay.address(), JoinSet::new());
        running.spawn(relay.run_until(std::future::pending()));
        Place::Embedded { address, url, monitor, running }
    }

    async fn start_provider(&self, index: usize, switch: &Switch) -> Provider {
        let name = format!("{} {index}", self.options.provider.name);
        let options = ProviderOptions { name, ..self.options.provider.clone() };
        let carrier: Arc<dyn Carrier> = Arc::new(Freezing::new(self.carrier().await, switch.clone()));
        let give_up = Instant::now() + LOCK_WAIT_MAX;
        loop {
            let (store, env) = (self.store_dir(index), self.options.env.clone());
            match Provider::open(&store, options.clone(), carrier.clone(), env).await {
                Ok(provider) => return provider,
                Err(error) if is_locked(&error) && Instant::now() < give_up => {
                    sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("provider {index} does not start: {error:?}"),
            }
        }
    }
}

impl Place {
    fn hub(&self) -> Option<Hub> {
        match self {
            Self::Hub(hub) => Some(hub.clone()),
            Self::Embedded { .. } | Self::Elsewhere(_) => None,
        }
    }

    fn url(&self) -> RelayUrl {
        match self {
            Self::Hub(hub) => hub.url(),
            Self::Embedded { url, .. } | Self::Elsewhere(url) => url.clone(),
        }
    }
}

/// Work that a killed provider had under way may hold its store for a moment.
fn is_locked(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Folder { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
}
