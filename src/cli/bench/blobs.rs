//! The same single blobs to one provider over relays, to it directly, and to a Blossom server: stored, fetched and given
//! up, one at a time for the latency, several at a time for the rates. Nothing is sealed or coded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nostr::{Keys, SecretKey};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::bench::losses::Place;
use crate::cli::bench::noise;
use crate::cli::bench::report::{Blobs, Percentiles, Rates};
use crate::cli::bench::run::{Bench, Course};
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::plain::failed as exchange_failed;
use crate::client::{Exchange, ExchangeOptions, ProviderTerms, StoreOptions};
use crate::transport::blossom::{BlossomClient, BlossomError};
use crate::types::{BlobHash, ProviderId};

/// Largest blob: files that are larger are many blobs of this length.
pub(super) const BLOB_LEN: u64 = 8 << 20;
const AT_ONCE: usize = 8;
/// Bytes that move for one row, each way.
const ROW_LEN: u64 = 64 << 20;
const ROW_LEN_QUICK: u64 = 2 << 20;
/// How long a blob is promised, should it be left behind, where providers let clients choose.
const RETENTION: Duration = Duration::from_secs(3600);

/// A way to store and fetch blobs, and those that are there.
#[derive(Clone)]
pub(super) struct Way {
    /// None to a Blossom server.
    course: Option<Course>,
    kind: Kind,
    left: Arc<Mutex<Vec<BlobHash>>>,
}

#[derive(Clone)]
enum Kind {
    Provider(Exchange, ProviderId),
    Blossom(Arc<BlossomClient>),
}

impl Way {
    async fn store(&self, blob: Bytes) -> Result<BlobHash, CliError> {
        let hash = match &self.kind {
            Kind::Provider(exchange, provider) => {
                let options = StoreOptions { retention: Some(RETENTION), ..StoreOptions::default() };
                let stored = exchange.store(*provider, blob, options).await;
                stored.map_err(|error| exchange_failed(&error))?.hash
            }
            Kind::Blossom(client) => client.store(blob).await?.sha256,
        };
        Ok(hash)
    }

    async fn fetch(&self, hash: BlobHash, len: u64) -> Result<(), CliError> {
        let fetched = match &self.kind {
            Kind::Provider(exchange, provider) => {
                let fetched = exchange.fetch(*provider, hash, Some(len)).await;
                fetched.map_err(|error| exchange_failed(&error))?
            }
            Kind::Blossom(client) => client.fetch(hash, len).await?,
        };
        drop(fetched);
        Ok(())
    }

    /// Where what is measured on it stands in the report.
    pub(super) fn place(&self, size: Option<u64>) -> Place {
        let blossom = Place { part: "blobs", carrier: "blossom", chunk_size: None, size };
        self.course.map_or(blossom, |course| course.place("blobs", size))
    }

    /// Whether what is `len` bytes long goes another way than over relays with chunks of the base protocol.
    pub(super) fn matters_for(&self, len: u64) -> bool {
        self.course.is_none_or(|course| course.matters_for(len))
    }

    /// Remembers what is about to be stored.
    fn will_store(&self, blobs: &[Bytes]) -> Vec<BlobHash> {
        let hashes: Vec<_> = blobs.iter().map(|blob| BlobHash::of(blob)).collect();
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(&hashes);
        hashes
    }

    /// Gives everything up that was stored.
    pub(super) async fn give_up(&self) -> Result<(), CliError> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match &self.kind {
            Kind::Provider(exchange, provider) => {
                exchange.delete(*provider, &left).await.map_err(|error| exchange_failed(&error))?;
            }
            Kind::Blossom(client) => {
                for hash in &left {
                    client.delete(*hash).await?;
                }
            }
        }
        self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|hash| !left.contains(hash));
        Ok(())
    }
}

impl Bench<'_> {
    /// The way to a provider.
    pub(super) async fn way_to(&self, terms: &ProviderTerms, course: Course) -> Result<Way, CliError> {
        let Course { carrier, chunk_len: chunk_len_max } = course;
        let stall_timeout = self.context.timeout;
        let options = ExchangeOptions { stall_timeout, carrier, chunk_len_max, ..ExchangeOptions::default() };
        let exchange = Exchange::new(self.connect().await?, options, self.context.env.clone());
        exchange.learn_passages(self.passages());
        let added = exchange.add_provider(terms.clone(), self.fresh_keys()).await;
        added.map_err(|error| exchange_failed(&error))?;
        Ok(self.remembered(Some(course), Kind::Provider(exchange, terms.id)))
    }

    /// The way to a Blossom server.
    pub(super) fn way_to_blossom(&self, url: &str) -> Result<Way, CliError> {
        let (keys, env) = (self.fresh_keys(), self.context.env.clone());
        let client = BlossomClient::new(url, keys, self.context.timeout, env)?;
        Ok(self.remembered(None, Kind::Blossom(Arc::new(client))))
    }

    /// Fails early where nobody answers at the Blossom server that was named.
    pub(super) async fn look_at_blossom(&self) -> Result<(), CliError> {
        let Some(url) = &self.args.blossom else { return Ok(()) };
        let (keys, env) = (self.fresh_keys(), self.context.env.clone());
        let client = BlossomClient::new(url, keys, self.context.timeout, env)?;
        match client.has(BlobHash::new(self.context.env.random_bytes())).await {
            // Some want to know who asks.
            Ok(_) | Err(BlossomError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn remembered(&self, course: Option<Course>, kind: Kind) -> Way {
        let way = Way { course, kind, left: Arc::default() };
        self.ways().push(way.clone());
        way
    }

    /// One row: blobs of `len` bytes.
    pub(super) async fn blobs(&self, way: &Way, len: u64) -> Result<Blobs, CliError> {
        let alone = match (self.args.quick, len) {
            (true, _) => 5,
            (false, ..=65_536) => 100,
            (false, ..=1_048_576) => 50,
            (false, _) => 20,
        };
        let (store_ms, fetch_ms) = self.latency(way, alone, len).await?;
        let row_len = if self.args.quick { ROW_LEN_QUICK } else { ROW_LEN };
        let count = (row_len / len).clamp(AT_ONCE as u64, 256);
        let blobs = self.noise(count, len).await;
        let hashes = way.will_store(&blobs);
        let bytes = count * len;
        let watch = self.watch();
        each(blobs, way, |way, blob| async move { way.store(blob).await.map(drop) }).await?;
        let put = watch.read(bytes);
        let watch = self.watch();
        each(hashes, way, move |way, hash| async move { way.fetch(hash, len).await }).await?;
        let get = watch.read(bytes);
        way.give_up().await?;
        let Place { carrier, chunk_size, .. } = way.place(Some(len));
        let at_once = AT_ONCE as u64;
        let rates = Rates::of(put, get);
        Ok(Blobs { carrier, chunk_size, size: len, alone, count, at_once, store_ms, fetch_ms, rates })
    }

    /// One blob at a time.
    async fn latency(&self, way: &Way, count: u64, len: u64) -> Result<(Percentiles, Percentiles), CliError> {
        // The first connects, and is not counted.
        let blobs = self.noise(count + 1, len).await;
        let hashes = way.will_store(&blobs);
        let (mut stores, mut fetches) = (Vec::new(), Vec::new());
        for blob in blobs {
            let began = Instant::now();
            way.store(blob).await?;
            stores.push(began.elapsed());
        }
        for hash in hashes {
            let began = Instant::now();
            way.fetch(hash, len).await?;
            fetches.push(began.elapsed());
        }
        way.give_up().await?;
        Ok((Percentiles::of(stores.split_off(1)), Percentiles::of(fetches.split_off(1))))
    }

    async fn noise(&self, count: u64, len: u64) -> Vec<Bytes> {
        let (len, env) = (usize::try_from(len).unwrap_or(usize::MAX), self.context.env.clone());
        let made = crate::env::off_thread(move || (0..count).map(|_| noise::blob(len, &env)).collect());
        made.await.unwrap_or_default()
    }

    fn fresh_keys(&self) -> Keys {
        let secret = SecretKey::from_slice(&self.context.env.random_bytes::<32>());
        Keys::new(secret.expect("of 2^128 random texts of 32 bytes, one is no key"))
    }
}

/// Does the work for each item, several at a time; the first failure ends it.
async fn each<T, F>(items: Vec<T>, way: &Way, work: impl Fn(Way, T) -> F) -> Result<(), CliError>
where
    F: Future<Output = Result<(), CliError>> + Send + 'static,
{
    let mut jobs = JoinSet::new();
    for item in items {
        if jobs.len() >= AT_ONCE {
            ended(jobs.join_next().await)?;
        }
        jobs.spawn(work(way.clone(), item));
    }
    while !jobs.is_empty() {
        ended(jobs.join_next().await)?;
    }
    Ok(())
}

fn ended(done: Option<Result<Result<(), CliError>, tokio::task::JoinError>>) -> Result<(), CliError> {
    match done {
        Some(Ok(done)) => done,
        Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
        None => Ok(()),
    }
}

impl From<BlossomError> for CliError {
    fn from(error: BlossomError) -> Self {
        let (exit, remedy) = match &error {
            BlossomError::Address { .. } => {
                (Exit::Usage, "give an address such as http://127.0.0.1:3000 or https://blobs.example.com")
            }
            BlossomError::Corrupt { .. } | BlossomError::TooLong { .. } => {
                (Exit::Integrity, "compare with another server: --blossom URL")
            }
            BlossomError::Refused { .. } => (
                Exit::Failure,
                "name a server that lets any key store, with --blossom URL, and a --size that it takes",
            ),
            _ => (Exit::Failure, "see that the server runs, or name another one with --blossom URL"),
        };
        Self::new(exit, chain(&error), remedy)
    }
}
