//! How fast one reader gets blobs of 512 KiB from one provider through the embedded relay, and stores them, all in this
//! process over loopback sockets.
//!
//! `cargo bench --bench serve [-- BLOB_COUNT]`

use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Directory, Exchange, ExchangeOptions, StoreOptions};
use blobdvm::env::Env;
use blobdvm::provider::{Provider, ProviderOptions};
use blobdvm::relay::{Relay, RelayOptions};
use blobdvm::transport::{Carrier, ConnectOptions, Relays};
use blobdvm::types::{BlobHash, ProviderId};
use bytes::Bytes;
use nostr::Keys;
use tokio::task::JoinSet;
use tokio::time::Instant;

const BLOB_COUNT: u32 = 400;
const BLOB_LEN: u32 = 512 * 1024;
const AT_ONCE: usize = 8;
const ROUND_COUNT: usize = 3;

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(BLOB_COUNT);
    let folder = tempfile::tempdir().expect("a folder");
    let options = RelayOptions { listen: ([127, 0, 0, 1], 0).into(), ..RelayOptions::default() };
    let relay = Relay::bind(options).await.expect("a free port");
    let url = relay.url();
    let serving = tokio::spawn(relay.run_until(std::future::pending()));
    let connect = || async {
        let relays = Relays::connect(std::slice::from_ref(&url), ConnectOptions::default()).await;
        Arc::new(relays.expect("the relay listens")) as Arc<dyn Carrier>
    };
    let provider = Provider::open(folder.path(), ProviderOptions::default(), connect().await, Env::system());
    let provider = provider.await.expect("a new store");
    let carrier = connect().await;
    let directory = Directory::by_ids(&*carrier, &[provider.id()], Duration::from_secs(5)).await;
    let exchange = Exchange::new(carrier, ExchangeOptions::default(), Env::system());
    let terms = directory.providers.into_values().next().expect("it was announced");
    exchange.add_provider(terms, Keys::generate()).await.expect("the relay is there");
    println!("{count} blobs of 512 KiB, {AT_ONCE} at once");
    for round in 0..ROUND_COUNT {
        let mut hashes = Vec::new();
        let started = Instant::now();
        let mut jobs = JoinSet::new();
        for number in 0..count {
            let mut blob = vec![0; BLOB_LEN as usize];
            blob[..16].copy_from_slice(&[u64::from(number), round as u64].map(u64::to_le_bytes).concat());
            hashes.push(BlobHash::of(&blob));
            while jobs.len() >= AT_ONCE {
                jobs.join_next().await;
            }
            jobs.spawn(store(exchange.clone(), provider.id(), blob.into()));
        }
        jobs.join_all().await;
        report("stored", count, started);
        let started = Instant::now();
        let mut jobs = JoinSet::new();
        for hash in hashes {
            while jobs.len() >= AT_ONCE {
                jobs.join_next().await;
            }
            jobs.spawn(fetch(exchange.clone(), provider.id(), hash));
        }
        jobs.join_all().await;
        report("fetched", count, started);
    }
    provider.stop().await;
    serving.abort();
}

async fn store(exchange: Exchange, provider: ProviderId, blob: Bytes) {
    exchange.store(provider, blob, StoreOptions::default()).await.expect("it is stored");
}

async fn fetch(exchange: Exchange, provider: ProviderId, hash: BlobHash) {
    exchange.fetch(provider, hash, Some(u64::from(BLOB_LEN))).await.expect("it comes back");
}

fn report(what: &str, count: u32, started: Instant) {
    let megabytes = f64::from(count) * f64::from(BLOB_LEN) / 1e6;
    println!("  {what}: {:.0} MB/s", megabytes / started.elapsed().as_secs_f64());
}
