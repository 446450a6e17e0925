//! A real `blobdvm serve` that is killed in the middle of stores keeps what it acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Directory, Exchange, ExchangeOptions, StoreOptions};
use blobdvm::env::Env;
use blobdvm::transport::{Carrier, ConnectOptions, Relays};
use blobdvm::types::{BlobHash, ProviderId};
use nostr::{Keys, RelayUrl};
use tokio::task::JoinSet;

const ROUND_COUNT: u32 = 3;

/// A process of this program, killed when it is dropped.
struct Process(Child);

impl Process {
    /// Starts the program; its first line says that it is ready.
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
            .args(arguments)
            .env_remove("BLOBDVM_RELAYS")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line.trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path, relay: &str) -> Process {
    let store = folder.join("store");
    let home = folder.join("home");
    let [store, home] = [&store, &home].map(|path| path.to_str().unwrap());
    Process::start(&["--home", home, "--relay", relay, "serve", "--store", store]).0
}

async fn client(relay: &str) -> (Exchange, ProviderId) {
    let url = RelayUrl::parse(relay).unwrap();
    let carrier: Arc<dyn Carrier> =
        Arc::new(Relays::connect(&[url], ConnectOptions::default()).await.unwrap());
    let directory = Directory::discover(&*carrier, Duration::from_secs(5)).await;
    let options = ExchangeOptions { stall_timeout: Duration::from_secs(2), ..ExchangeOptions::default() };
    let exchange = Exchange::new(carrier, options, Env::system());
    let terms = directory.providers.into_values().next().unwrap();
    let id = terms.id;
    exchange.add_provider(terms, Keys::generate()).await.unwrap();
    (exchange, id)
}

/// Stores blobs until the provider is killed; the hashes of those that it acknowledged.
async fn store_until_killed(client: (Exchange, ProviderId), provider: Process, round: u32) -> Vec<BlobHash> {
    let (exchange, id) = client;
    let mut stores = JoinSet::new();
    for number in 0..400_u32 {
        let mut blob = vec![0; 60_000];
        blob[..8].copy_from_slice(&[number, round].map(u32::to_le_bytes).concat());
        let exchange = exchange.clone();
        stores.spawn(async move { exchange.store(id, blob.into(), StoreOptions::default()).await });
    }
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 40 {
        acknowledged.push(stores.join_next().await.unwrap().unwrap().unwrap().hash);
    }
    drop(provider);
    // What it acknowledged last is still on its way here; the other stores would fail in the end.
    let late = async {
        while let Some(stored) = stores.join_next().await {
            acknowledged.extend(stored.unwrap().ok().map(|receipt| receipt.hash));
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), late).await;
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_provider_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let relay_store = folder.path().join("relay");
    let arguments = ["relay", "--listen", "127.0.0.1:0", "--store", relay_store.to_str().unwrap()];
    let (_relay, url) = Process::start(&arguments);
    let mut provider = serve(folder.path(), &url);
    let mut acknowledged = Vec::new();
    for round in 0..ROUND_COUNT {
        let new = store_until_killed(client(&url).await, provider, round).await;
        assert!(new.len() >= 40, "round {round}: {} were acknowledged", new.len());
        acknowledged.extend(new);
        provider = serve(folder.path(), &url);
    }
    let (exchange, id) = client(&url).await;
    for hash in acknowledged {
        exchange.fetch(id, hash, None).await.unwrap_or_else(|error| panic!("blob {hash}: {error}"));
    }
    drop(provider);
}
