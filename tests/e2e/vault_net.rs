//! Providers and clients of one vault in one process, on one clock that days can be added to; and a client that is cut
//! off at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobdvm::client::{
    Client, ClientError, Destination, GetOptions, PruneOptions, PruneOutcome, PutOptions, RemoveOptions,
    RemoveOutcome, Unwatched,
};
use blobdvm::crypt::VaultSecret;
use blobdvm::env::{Env, ManualClock};
use blobdvm::erasure::Scheme;
use blobdvm::testing::{Net, NetOptions, RelayKind};
use blobdvm::transport::{Carrier, Route, Subscription, TransportError};
use blobdvm::types::{BlobHash, SnapshotId, Timestamp};
use blobdvm::vault::{Home, VaultError};
use blobdvm::wire::{Action, Request, StoreBody};
use futures_util::future::BoxFuture;
use nostr::{Event, Filter, RelayUrl};
use tokio::sync::Notify;

use crate::support::noise;

const DAY: Duration = Duration::from_secs(86_400);
/// Patience of clients: everything here answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// The network, and what is put into the vault.
pub(crate) struct VaultNet {
    pub(crate) net: Net,
    pub(crate) clock: Arc<ManualClock>,
    env: Env,
    /// Blobs that clients which may be cut off have asked providers to store.
    sent: Arc<Mutex<BTreeSet<BlobHash>>>,
}

impl VaultNet {
    pub(crate) async fn start() -> Self {
        Self::start_with(3).await
    }

    /// One relay, so many providers.
    pub(crate) async fn start_with(provider_count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let env = Env::seeded(1, clock.clone());
        let relay_kind = RelayKind::Memory(1);
        let options = NetOptions { provider_count, relay_kind, env: env.clone(), ..NetOptions::default() };
        Self { net: Net::start(options).await, clock, env, sent: Arc::default() }
    }

    /// The index of a provider that keeps something for the vault in `home`.
    pub(crate) async fn holder(&self, home: &str) -> usize {
        let holders = self.client(home).await.vault.providers_with_history().unwrap();
        let ids = self.net.provider_ids();
        ids.iter().position(|id| holders.contains(id)).expect("somebody keeps it")
    }

    pub(crate) fn advance_days(&self, days: u32) {
        self.clock.advance(DAY * days);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// A client of the home called `home`, which is made if there is none.
    pub(crate) async fn client(&self, home: &str) -> Client {
        self.client_over(home, self.net.carrier().await)
    }

    fn client_over(&self, home: &str, carrier: Arc<dyn Carrier>) -> Client {
        let home = self.net.home_dir(home);
        let vault = loop {
            match Home::open(&home, &self.env) {
                // Work of a client that was cut off may still be on its thread.
                Err(VaultError::Locked { .. }) => std::thread::yield_now(),
                Err(VaultError::NoHome { .. }) => break Home::init_fresh(&home, &self.env).unwrap(),
                opened => break opened.unwrap(),
            }
        };
        Client::new(vault, carrier, Arc::new(Unwatched), PATIENCE, self.env.clone())
    }

    /// Makes `home` a second home of the vault in `of`, by its key.
    pub(crate) async fn recover(&self, home: &str, of: &str) {
        let secret = VaultSecret::new(*self.client(of).await.vault.keys().unwrap().secret().expose());
        let vault = Home::init(&self.net.home_dir(home), secret, &self.env).unwrap();
        let carrier = self.net.carrier().await;
        let client = Client::new(vault, carrier, Arc::new(Unwatched), PATIENCE, self.env.clone());
        client.recover(&BTreeSet::new()).await.unwrap();
    }

    /// Writes the files of a folder; a file is named by its seed and its length.
    pub(crate) fn folder(&self, name: &str, files: &[(u64, usize)]) -> PathBuf {
        let folder = self.net.path().join("in").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (seed, len) in files {
            fs::write(folder.join(format!("{seed}.bin")), noise(*len, *seed)).unwrap();
        }
        folder
    }

    /// Puts the folder called `name`.
    pub(crate) async fn put(&self, home: &str, name: &str, files: &[(u64, usize)]) -> SnapshotId {
        let folder = self.folder(name, files);
        put(&mut self.client(home).await, folder).await.unwrap()
    }

    pub(crate) async fn remove(&self, home: &str, id: SnapshotId) -> Result<RemoveOutcome, ClientError> {
        remove(&mut self.client(home).await, id, RemoveOptions::default()).await
    }

    pub(crate) async fn prune(&self, home: &str) -> PruneOutcome {
        self.client(home).await.prune(&PruneOptions::default()).await.unwrap()
    }

    /// Restores the latest snapshot called `name`, and compares every file with what was put.
    pub(crate) async fn restores(&self, home: &str, name: &str) {
        let client = self.client(home).await;
        let snapshot = client.vault.latest_snapshot(name).unwrap().expect("the snapshot is there");
        let out = self.net.path().join("out");
        let _ = fs::remove_dir_all(&out);
        let destination = Destination::Path(out.clone());
        let options = GetOptions::all_to(destination);
        client.get(&snapshot, &options).await.unwrap();
        let put = self.net.path().join("in").join(name);
        let mut count = 0;
        for file in fs::read_dir(&put).unwrap() {
            let file = file.unwrap();
            let restored = fs::read(out.join(name).join(file.file_name())).unwrap();
            assert!(restored == fs::read(file.path()).unwrap(), "{name}: {}", file.path().display());
            count += 1;
        }
        assert_eq!(snapshot.files, count);
    }

    /// Names of the blobs at all providers, and how many providers have each.
    pub(crate) fn blobs(&self) -> BTreeMap<String, usize> {
        let mut blobs = BTreeMap::new();
        for index in 0..self.net.provider_ids().len() {
            for file in self.net.blobs(index).unwrap() {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                *blobs.entry(name).or_default() += 1;
            }
        }
        blobs
    }

    /// Bytes of all blobs at all providers.
    pub(crate) fn bytes(&self) -> u64 {
        let indexes = 0..self.net.provider_ids().len();
        let files = indexes.flat_map(|index| self.net.blobs(index).unwrap());
        files.map(|file| fs::metadata(file).unwrap().len()).sum()
    }

    /// How many shards the providers have of the packs that a snapshot needs or needed.
    pub(crate) async fn shards_of(&self, home: &str, id: SnapshotId, except: Option<SnapshotId>) -> usize {
        let client = self.client(home).await;
        let mut packs = client.vault.needs(&id).unwrap();
        for pack in except.map(|except| client.vault.needs(&except).unwrap()).unwrap_or_default() {
            packs.remove(&pack);
        }
        let blobs = self.blobs();
        let mut found = 0;
        for pack in packs {
            for shard in client.vault.pack(&pack).unwrap().unwrap().pack.coding.shards {
                let hash = shard.hash.to_string();
                found += blobs.iter().filter(|(name, _)| name.contains(&hash)).count();
            }
        }
        found
    }

    /// Takes what clients of [`client_until`](Self::client_until) have asked to be stored since this was asked last.
    pub(crate) fn take_sent(&self) -> BTreeSet<BlobHash> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// A client that stops for good at its step number `at`: events sent and questions asked are steps.
    pub(crate) async fn client_until(&self, home: &str, at: usize) -> (Client, Arc<Notify>) {
        let reached = Arc::new(Notify::new());
        let inner = self.net.carrier().await;
        let (left, sent) = (AtomicUsize::new(at), self.sent.clone());
        let carrier = Arc::new(Stopping { inner, left, reached: reached.clone(), sent });
        (self.client_over(home, carrier), reached)
    }
}

pub(crate) async fn put(client: &mut Client, folder: PathBuf) -> Result<SnapshotId, ClientError> {
    let scheme = Scheme::new(2, 3).unwrap();
    client.put(&[folder], &PutOptions::new(scheme)).await.map(|outcome| outcome.snapshot)
}

pub(crate) async fn remove(
    client: &mut Client,
    id: SnapshotId,
    options: RemoveOptions,
) -> Result<RemoveOutcome, ClientError> {
    let caught = client.catch_up().await?;
    client.remove(&BTreeSet::from([id]), options, &caught).await
}

/// A carrier that sends so many events and questions, and then nothing more, as if its process were gone.
struct Stopping {
    inner: Arc<dyn Carrier>,
    left: AtomicUsize,
    reached: Arc<Notify>,
    sent: Arc<Mutex<BTreeSet<BlobHash>>>,
}

impl Stopping {
    async fn step(&self) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Carrier for Stopping {
    fn relays(&self) -> Vec<RelayUrl> {
        self.inner.relays()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        self.inner.connected()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            self.step().await;
            if let Ok(Request { action: Action::Store(store), .. }) = Request::parse(&event) {
                let hash = match store.body {
                    StoreBody::Inline(blob) => BlobHash::of(&blob),
                    StoreBody::Chunked { hash, .. } => hash,
                };
                self.sent.lock().unwrap().insert(hash);
            }
            self.inner.publish(event, route).await
        })
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        Box::pin(async move {
            self.step().await;
            self.inner.publish_acknowledged(event, deadline).await
        })
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        Box::pin(async move {
            self.step().await;
            self.inner.query(filter, deadline).await
        })
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        self.inner.subscribe(filters)
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        self.inner.apart(relay)
    }
}
