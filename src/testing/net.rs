//! Relays and providers in one process, in a temporary folder.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nostr::RelayUrl;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::env::Env;
use crate::provider::{Provider, ProviderOptions};
use crate::relay::{Relay, RelayMonitor, RelayOptions};
use crate::store::{Disk, SimDisk, Unsynced};
use crate::testing::damage::files;
use crate::testing::seat::Seat;
use crate::testing::spoil::blob_files;
use crate::testing::{Damaged, Liar, Spoil};
use crate::transport::memory::{Hub, MemoryCarrier};
use crate::transport::{Carrier, ConnectOptions, Relays};
use crate::types::{BlobHash, ProviderId};

/// What a network consists of.
#[derive(Clone)]
pub struct NetOptions {
    /// How many providers.
    pub provider_count: usize,
    /// How many relays; all providers listen at all of them.
    pub relay_count: usize,
    /// What the relays are.
    pub relay_kind: RelayKind,
    /// What the providers' stores are on.
    pub disks: DiskKind,
    /// The network's folder, which is made, and gets a number if it is there; none means a temporary one of any name.
    pub folder: Option<PathBuf>,
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

/// What the stores of providers are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    /// Folders of the machine's file system.
    Folder,
    /// Disks in memory, which can lose what was not synced, fail and fill up.
    Memory,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            provider_count: 3,
            relay_count: 1,
            relay_kind: RelayKind::Embedded,
            disks: DiskKind::Folder,
            folder: None,
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

impl Net {
    /// Starts the relays, and then the providers. When this returns, all are announced.
    ///
    /// # Panics
    /// If a relay or a provider does not start: without them there is nothing to test.
    pub async fn start(options: NetOptions) -> Self {
        let folder = match &options.folder {
            Some(path) => numbered_folder(path),
            None => tempfile::tempdir(),
        };
        let folder = folder.expect("a temporary folder");
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
            let disk = match net.options.disks {
                DiskKind::Folder => None,
                DiskKind::Memory => Some(Arc::new(SimDisk::new())),
            };
            let mut seat = Seat::empty(net.provider_options(index), disk, &net.options.env);
            seat.start(&net.store_dir(index), net.carrier().await).await;
            net.providers.push(seat);
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
        self.providers.iter().map(Seat::id).collect()
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

    /// Whether a provider is frozen.
    pub fn is_frozen(&self, index: usize) -> bool {
        self.providers[index].switch.is_frozen()
    }

    /// Whether a provider runs.
    pub fn is_running(&self, index: usize) -> bool {
        self.providers[index].provider.is_some()
    }

    /// Ends a provider as a power failure does: of its disk in memory stays what was synced, and of the rest what
    /// `unsynced` says.
    ///
    /// # Panics
    /// If its store is in a folder.
    pub fn crash(&mut self, index: usize, unsynced: Unsynced) {
        self.kill(index);
        let disk = self.disk(index).restart(unsynced);
        self.providers[index].disk = Some(Arc::new(disk));
    }

    /// Starts a provider again on what is in its store; on an empty one it is a new provider, with a new key.
    pub async fn revive(&mut self, index: usize) {
        self.kill(index);
        let (store, carrier) = (self.store_dir(index), self.carrier().await);
        self.providers[index].start(&store, carrier).await;
    }

    /// Ends a provider at once, and deletes its store.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn wipe(&mut self, index: usize) -> io::Result<()> {
        self.kill(index);
        let seat = &mut self.providers[index];
        if seat.disk.is_some() {
            seat.disk = Some(Arc::new(SimDisk::new()));
            return Ok(());
        }
        std::fs::remove_dir_all(self.store_dir(index))
    }

    /// The disk in memory of a provider, to set its faults.
    ///
    /// # Panics
    /// If its store is in a folder.
    pub fn disk(&self, index: usize) -> &Arc<SimDisk> {
        self.providers[index].disk.as_ref().expect("the network's disks are in memory")
    }

    /// Spoils every blob on a provider's disk in memory, behind its back; returns how many there were.
    pub fn spoil(&self, index: usize, how: Spoil) -> usize {
        how.all_blobs(self.disk(index))
    }

    /// Puts another disk in memory into a provider that does not run.
    pub fn give_disk(&mut self, index: usize, disk: SimDisk) {
        self.providers[index].disk = Some(Arc::new(disk));
    }

    /// Takes every blob off the disk in memory of a provider that does not run; returns how many there were.
    pub fn lose_blobs(&self, index: usize) -> usize {
        let disk = self.disk(index);
        blob_files(disk).into_iter().filter(|(path, _)| disk.remove(path).is_ok()).count()
    }

    /// The blobs that a provider really has on its disk in memory: those whose bytes are what their names say.
    pub fn intact(&self, index: usize) -> Vec<BlobHash> {
        let disk = self.disk(index);
        let is_intact = |(path, hash): &(PathBuf, BlobHash)| {
            disk.peek(path).is_some_and(|bytes| BlobHash::of(&bytes) == *hash)
        };
        blob_files(disk).into_iter().filter(is_intact).map(|(_, hash)| hash).collect()
    }

    /// Puts a provider's clock so many seconds off the others'.
    pub fn skew_clock(&self, index: usize, seconds: i64) {
        self.providers[index].skew(seconds);
    }

    /// Has a provider send wrong bytes, or stop doing so.
    pub fn liar(&self, index: usize) -> &Liar {
        &self.providers[index].liar
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

    fn provider_options(&self, index: usize) -> ProviderOptions {
        let name = format!("{} {index}", self.options.provider.name);
        ProviderOptions { name, ..self.options.provider.clone() }
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

/// Makes the folder `path`, or where that is there already one beside it.
fn numbered_folder(path: &Path) -> io::Result<TempDir> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = path.parent().unwrap_or(path);
    let mut number = 0;
    loop {
        let name = if number == 0 { name.clone() } else { format!("{name}-{number}") };
        match tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in(parent) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made,
        }
    }
}
