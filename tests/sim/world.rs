//! A network, the homes of one vault, and what should be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use blobdvm::client::{Client, Unwatched};
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::testing::{DiskKind, Net, NetOptions, RelayKind, SimClock};
use blobdvm::transport::Carrier;
use blobdvm::types::{BlobHash, PackId, SnapshotId, Timestamp};
use blobdvm::vault::{Home, Vault};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::faults::Flaws;
use crate::story::Story;

/// When every run begins: later than any file on this machine was changed.
const BEGIN: Timestamp = Timestamp(4_000_000_000);
/// Patience of clients. Waiting costs nothing here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Stands in every file that is put, and must never be seen at a provider.
pub(crate) const MARKER: &[u8] = b"plain text, for nobody's eyes";

/// A file's name within its folder, and its bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A snapshot as it should be.
pub(crate) struct Expected {
    /// The folder that it is of.
    pub(crate) name: String,
    pub(crate) files: Files,
    /// Put said that it was stored; otherwise the put was cut off or failed.
    pub(crate) is_sure: bool,
    /// When somebody began to remove it.
    pub(crate) removed_at: Option<Timestamp>,
    /// Its data was deleted at once when it was removed.
    pub(crate) is_gone: bool,
    /// Providers that may have lost shards of it since it was stored.
    pub(crate) bad: BTreeSet<usize>,
    /// What it needs, as each home has it.
    pub(crate) views: BTreeMap<String, Vec<NeededPack>>,
}

/// A pack that a snapshot needs.
#[derive(Clone)]
pub(crate) struct NeededPack {
    pub(crate) id: PackId,
    pub(crate) scheme: Scheme,
    pub(crate) shards: Vec<BlobHash>,
}

/// Everything in one run.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) env: Env,
    pub(crate) rng: StdRng,
    pub(crate) scheme: Scheme,
    pub(crate) provider_count: usize,
    pub(crate) relay_count: usize,
    pub(crate) homes: Vec<String>,
    /// The folders as they are now.
    pub(crate) folders: BTreeMap<String, Files>,
    pub(crate) snapshots: BTreeMap<SnapshotId, Expected>,
    pub(crate) flaws: Flaws,
    pub(crate) days: u32,
    /// The operation before was cut off, or something failed in it that was told to.
    pub(crate) was_cut: bool,
    pub(crate) story: Story,
}

/// How large a world is.
pub(crate) struct Size {
    pub(crate) scheme: Scheme,
    pub(crate) provider_count: usize,
    pub(crate) relay_count: usize,
}

impl Size {
    /// Any that can lose a provider.
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let schemes = [(1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (2, 5), (3, 5)];
        let (need, total) = *schemes.choose(rng).unwrap();
        let provider_count = rng.random_range(usize::from(total).max(3)..=usize::from(total) + 2);
        let relay_count = rng.random_range(1..=3);
        Self { scheme: Scheme::new(need, total).unwrap(), provider_count, relay_count }
    }
}

impl World {
    /// A world that follows from its seed.
    pub(crate) async fn start(seed: u64, story: Story) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = Size::random(&mut rng);
        Self::of_size(size, seed, rng, story).await
    }

    /// A world of this size.
    pub(crate) async fn of_size(size: Size, seed: u64, rng: StdRng, story: Story) -> Self {
        let Size { scheme, provider_count, relay_count } = size;
        story.tell(format_args!("{scheme}, {provider_count} providers, {relay_count} relays"));
        let clock = Arc::new(SimClock::new(BEGIN));
        let env = Env::seeded(seed, clock.clone());
        let options = NetOptions {
            provider_count,
            relay_count,
            relay_kind: RelayKind::Memory(seed),
            disks: DiskKind::Memory,
            folder: Some(folder(seed)),
            env: env.clone(),
            ..NetOptions::default()
        };
        let net = Net::start(options).await;
        let flaws = Flaws::none(provider_count, relay_count);
        let (folders, snapshots) = Default::default();
        let homes = vec!["a".to_owned()];
        Self {
            net,
            clock,
            env,
            rng,
            scheme,
            provider_count,
            relay_count,
            homes,
            folders,
            snapshots,
            flaws,
            days: 0,
            was_cut: false,
            story,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// Providers that may be lost without losing anything.
    pub(crate) fn parity(&self) -> usize {
        usize::from(self.scheme.parity())
    }

    pub(crate) fn client_over(&self, vault: Vault, carrier: Arc<dyn Carrier>) -> Client {
        Client::new(vault, carrier, Arc::new(Unwatched), PATIENCE, self.env.clone())
    }

    /// Opens the vault of a home, which is made if it is the first.
    pub(crate) fn vault(&self, home: &str) -> Vault {
        let path = self.net.home_dir(home);
        let is_new = !Home::at(&path).exists().unwrap();
        let opened = if is_new { Home::init_fresh(&path, &self.env) } else { Home::open(&path, &self.env) };
        opened.unwrap_or_else(|error| panic!("home {home} does not open: {error:?}"))
    }

    /// The folder called `name`, as it is on the disk.
    pub(crate) fn source(&self, name: &str) -> PathBuf {
        self.net.path().join("in").join(name)
    }

    /// Writes a file of a folder, with random bytes behind the marker.
    pub(crate) fn write(&mut self, name: &str, file: &str, len: usize) {
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes[..]);
        bytes[..MARKER.len()].copy_from_slice(MARKER);
        self.write_file(name, file, bytes);
    }

    fn write_file(&mut self, name: &str, file: &str, bytes: Vec<u8>) {
        let path = self.source(name).join(file);
        fs::create_dir_all(self.source(name)).unwrap();
        fs::write(&path, &bytes).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(self.env.now().0);
        fs::File::options().write(true).open(&path).unwrap().set_modified(now).unwrap();
        // The folder's time is recorded too, and so is to follow from the seed.
        fs::File::open(self.source(name)).unwrap().set_modified(now).unwrap();
        self.folders.entry(name.to_owned()).or_default().insert(file.to_owned(), bytes);
    }

    /// Changes a few files of a folder, on the disk as well.
    pub(crate) fn change_folder(&mut self, name: &str) {
        for _ in 0..self.rng.random_range(1..=3) {
            let file = format!("file-{}", self.rng.random_range(0..5));
            let files = self.folders.entry(name.to_owned()).or_default();
            if files.len() > 1 && files.contains_key(&file) && self.rng.random_bool(0.2) {
                files.remove(&file);
                fs::remove_file(self.source(name).join(&file)).unwrap();
                let now = UNIX_EPOCH + Duration::from_secs(self.env.now().0);
                fs::File::open(self.source(name)).unwrap().set_modified(now).unwrap();
                continue;
            }
            let bytes = content(&mut self.rng);
            self.write_file(name, &file, bytes);
        }
    }

    /// What a snapshot needs, as this vault has it. None if it does not have it all: a recovery says which devices'
    /// records it could not bring back.
    pub(crate) fn needed(vault: &Vault, snapshot: &SnapshotId) -> Option<Vec<NeededPack>> {
        let packs = vault.needs(snapshot).unwrap();
        let entry = |id: &PackId| {
            let coding = vault.pack(id).unwrap()?.pack.coding;
            let shards = coding.shards.iter().map(|shard| shard.hash).collect();
            Some(NeededPack { id: *id, scheme: coding.scheme, shards })
        };
        packs.iter().map(entry).collect()
    }

    /// Snapshots that are to be there, and whose put said so.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&SnapshotId, &Expected)> {
        self.snapshots.iter().filter(|(_, expected)| expected.is_sure && expected.removed_at.is_none())
    }
}

/// Random bytes of one of a few lengths, with the marker in front where there is room; sometimes compressible.
fn content(rng: &mut StdRng) -> Vec<u8> {
    let len = match rng.random_range(0..10) {
        0 => rng.random_range(0..40),
        1..=7 => rng.random_range(100..3_000),
        _ => rng.random_range(6_000..20_000),
    };
    let mut bytes = vec![b'.'; len];
    if rng.random_bool(0.8) {
        rng.fill(&mut bytes[..]);
    }
    let marked = MARKER.len().min(len);
    bytes[..marked].copy_from_slice(&MARKER[..marked]);
    bytes
}

/// Where a run keeps its homes and files: in memory where that can be, for they are thousands and synced. Snapshots know
/// the paths that they are of, so whatever is to replay has the same.
fn folder(seed: u64) -> PathBuf {
    let in_memory = Path::new("/dev/shm");
    let parent = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("blobdvm-sim-{seed:016x}"))
}
