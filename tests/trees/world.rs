//! A vault in a network of three providers, in one process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Client, Destination, GetOptions, GetOutcome, PutOptions, PutOutcome, Unwatched};
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::testing::{Net, NetOptions, RelayKind};
use blobdvm::vault::Home;

/// How long anything may go without progress.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network, and the client of one vault in it.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        let net = Net::start(NetOptions { relay_kind: RelayKind::Memory(1), ..NetOptions::default() }).await;
        let client = Self::vault(&net, "home").await;
        Self { net, client }
    }

    /// A vault of its own in the network.
    pub(crate) async fn vault(net: &Net, name: &str) -> Client {
        let vault = Home::init_fresh(&net.home_dir(name), &Env::system()).unwrap();
        Client::new(vault, net.carrier().await, Arc::new(Unwatched), PATIENCE, Env::system())
    }

    /// A vault whose home is there.
    pub(crate) async fn open(net: &Net, name: &str) -> Client {
        let vault = Home::open(&net.home_dir(name), &Env::system()).unwrap();
        Client::new(vault, net.carrier().await, Arc::new(Unwatched), PATIENCE, Env::system())
    }

    /// Backs up `path` as `name`.
    pub(crate) async fn put(&mut self, path: &Path, name: &str) -> PutOutcome {
        self.client.put(&[path.to_owned()], &options(name)).await.unwrap()
    }

    /// Restores the latest snapshot called `name` into a new folder, and gives that.
    pub(crate) async fn get(&self, name: &str) -> PathBuf {
        let out = tempfile::Builder::new().prefix("out-").tempdir_in(self.net.path()).unwrap().keep();
        self.get_into(name, &out).await;
        out
    }

    /// Restores the latest snapshot called `name` into a folder.
    pub(crate) async fn get_into(&self, name: &str, out: &Path) -> GetOutcome {
        let snapshot = self.client.vault.latest_snapshot(name).unwrap().expect("it was put");
        let options = GetOptions::all_to(Destination::Path(out.to_owned()));
        self.client.get(&snapshot, &options).await.unwrap()
    }

    /// A folder of this test.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.net.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The lengths of all blobs that the providers keep for this vault, in order.
    pub(crate) fn blob_lens(&self) -> Vec<u64> {
        let blobs = (0..3).flat_map(|index| self.net.blobs(index).unwrap());
        let mut lens: Vec<u64> = blobs.map(|path| path.metadata().unwrap().len()).collect();
        lens.sort_unstable();
        lens
    }
}

/// Two of three, under a name.
pub(crate) fn options(name: &str) -> PutOptions {
    let scheme = Scheme::new(2, 3).unwrap();
    PutOptions { name: Some(name.to_owned()), providers: BTreeSet::new(), ..PutOptions::new(scheme) }
}
