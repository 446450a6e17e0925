//! A provider at work: start, look, stop.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nostr::{Alphabet, Filter, Keys, Kind, PublicKey, RelayUrl, SecretKey, SingleLetterTag};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{error, info};

use crate::env::Env;
use crate::provider::server::{Server, lock, monotonic};
use crate::provider::{DirectOptions, ProviderError, ProviderOptions};
use crate::session::{Reassembly, ReassemblyLimits};
use crate::store::{BlobStore, RealDisk, StoreOptions, StoreStats};
use crate::transport::direct::{DirectListener, Places};
use crate::transport::{Carrier, Subscription};
use crate::types::limits::{
    BLOB_LEN_MAX, CLIENT_UPLOAD_COUNT_MAX, CLIENT_UPLOADS_LEN_MAX, DIRECT_SEND_LEN_MAX, READ_LEN_MAX,
    REPLY_QUEUE_COUNT_MAX, UPLOAD_AGE_MAX, UPLOAD_COUNT_MAX, UPLOAD_REST_MAX, UPLOADS_LEN_MAX,
};
use crate::types::{ProviderId, Timestamp};
use crate::wire::{Draft, REQUEST_KIND, UPLOAD_KIND, tags};

/// The provider's key in its store's folder.
const KEY_FILE: &str = "provider.key";
/// Threads that wait for the disk, or hash and sign, at once.
const THREAD_COUNT: usize = 32;
/// Requests that are sent chunks at once.
const TURN_COUNT: usize = 4;
/// How long a stop waits for work on other threads at most.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time between two looks whether such work is left.
const STOP_PAUSE: Duration = Duration::from_millis(2);
/// Requests from so long before the start are still answered, if only by saying that they are stale.
const LOOK_BACK: Duration = Duration::from_secs(900);

/// A provider at work, until it is stopped or dropped.
pub struct Provider {
    pub(super) server: Arc<Server>,
    stop: watch::Sender<bool>,
    work: Option<JoinHandle<()>>,
}

/// How full the bounded things of a provider are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Requests that are worked on.
    pub job_count: usize,
    /// Clients that they are of.
    pub client_count: usize,
    /// Uploads in chunks that are under way.
    pub upload_count: usize,
    /// Bytes of their blobs.
    pub upload_len: u64,
    /// Ids of requests that are remembered.
    pub seen_count: usize,
    /// Answers that are remembered.
    pub answered_count: usize,
    /// Answers that wait for a relay.
    pub reply_count: usize,
}

impl Provider {
    /// Opens the store in the folder `store` and serves it under the key that is kept there.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn open(
        store: &Path,
        options: ProviderOptions,
        carrier: Arc<dyn Carrier>,
        env: Env,
    ) -> Result<Self, ProviderError> {
        let (path, quota, store_env) = (store.to_owned(), options.quota, env.clone());
        let open = move || {
            let disk = RealDisk::open(&path).map_err(|source| ProviderError::Folder { path, source })?;
            let options = StoreOptions { quota, ..StoreOptions::default() };
            let store = BlobStore::open(Arc::new(disk), options, store_env)?;
            let keys = Self::keys_in(&store)?;
            Ok::<_, ProviderError>((store, keys))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let (store, keys) = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        Self::start(Arc::new(store), keys, options, carrier, env).await
    }

    /// The key under which whoever opens `store` serves it, made at first use.
    ///
    /// # Errors
    /// [`ProviderError::Store`], [`ProviderError::Key`].
    pub fn keys_in(store: &BlobStore) -> Result<Keys, ProviderError> {
        let secret = store.secret(KEY_FILE)?;
        Ok(Keys::new(SecretKey::from_slice(&secret).map_err(|_| ProviderError::Key)?))
    }

    /// Serves a store that is open. When this returns, requests are heard and the announcement is out.
    ///
    /// # Errors
    /// [`ProviderError::Transport`], [`ProviderError::Direct`], [`ProviderError::NothingToAnnounce`].
    pub async fn start(
        store: Arc<BlobStore>,
        keys: Keys,
        options: ProviderOptions,
        carrier: Arc<dyn Carrier>,
        env: Env,
    ) -> Result<Self, ProviderError> {
        let options = ProviderOptions { max_file_size: options.max_file_size.min(BLOB_LEN_MAX), ..options };
        let id = ProviderId::new(keys.public_key().to_bytes());
        let (direct, len_max) = (&options.direct, options.max_file_size);
        let count_max = direct.connection_count_max;
        let from_one = direct.address_connection_count_max.unwrap_or_else(|| count_max.div_ceil(2));
        let places = Places { count_max, address_count_max: from_one };
        let listener = DirectListener::bind(&direct.listen, places, len_max).await?;
        let endpoints = endpoints(&options.direct, &listener)?;
        let subscription = carrier.subscribe(filters(id, keys.public_key(), env.now())).await?;
        let (replies, waiting) = mpsc::channel(REPLY_QUEUE_COUNT_MAX);
        let server = Arc::new(Server {
            id,
            keys,
            options,
            store,
            carrier,
            endpoints,
            env,
            gate: Arc::default(),
            threads: Arc::new(Semaphore::new(THREAD_COUNT)),
            held: Arc::new(Semaphore::new(
                usize::try_from(READ_LEN_MAX / 1024).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            held_directly: Arc::new(Semaphore::new(DIRECT_SEND_LEN_MAX / 1024)),
            turns: Arc::new(Semaphore::new(TURN_COUNT)),
            replies,
            uploads: Mutex::new(Reassembly::new(UPLOADS)),
            seen: Mutex::default(),
            answered: Mutex::default(),
        });
        let announced = server.announce().await;
        info!(provider = %id.short(), "serving");
        let (stop, stopped) = watch::channel(false);
        let work = tokio::spawn(run(server.clone(), (listener, subscription), waiting, announced, stopped));
        Ok(Self { server, stop, work: Some(work) })
    }

    /// Under which key it serves.
    pub fn id(&self) -> ProviderId {
        self.server.id
    }

    /// Where it can be reached without relays, as it announces it.
    pub fn endpoints(&self) -> &[RelayUrl] {
        &self.server.endpoints
    }

    /// What it keeps.
    pub fn stats(&self) -> StoreStats {
        self.server.store.stats()
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<BlobStore> {
        &self.server.store
    }

    /// How full its bounded things are.
    pub fn gauges(&self) -> Gauges {
        let (job_count, client_count) = self.server.gate.counts();
        let uploads = lock(&self.server.uploads);
        let replies = &self.server.replies;
        Gauges {
            job_count,
            client_count,
            upload_count: uploads.count(),
            upload_len: uploads.len(),
            seen_count: lock(&self.server.seen).count(),
            answered_count: lock(&self.server.answered).count(),
            reply_count: replies.max_capacity() - replies.capacity(),
        }
    }

    /// Takes no more requests, finishes those that are under way within a few seconds, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(work) = self.work.take()
            && let Err(error) = work.await
            && error.is_panic()
        {
            error!("the provider ended in a panic");
        }
        // Work on threads that wait for the disk still holds the store, which whoever comes next wants to open.
        let deadline = Instant::now() + STOP_WAIT_MAX;
        while Arc::strong_count(&self.server) > 1 && Instant::now() < deadline {
            tokio::time::sleep(STOP_PAUSE).await;
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

const UPLOADS: ReassemblyLimits = ReassemblyLimits {
    count_max: UPLOAD_COUNT_MAX,
    len_max: UPLOADS_LEN_MAX,
    client_count_max: CLIENT_UPLOAD_COUNT_MAX,
    client_len_max: CLIENT_UPLOADS_LEN_MAX,
    rest_max: UPLOAD_REST_MAX,
    age_max: UPLOAD_AGE_MAX,
};

/// Requests for this provider, and the chunks that follow them.
fn filters(id: ProviderId, key: PublicKey, now: Timestamp) -> Vec<Filter> {
    let since = nostr::Timestamp::from_secs(now.saturating_sub(LOOK_BACK).0);
    let address = SingleLetterTag::lowercase(Alphabet::A);
    let requests = Filter::new().kind(Kind::from(REQUEST_KIND)).custom_tag(address, tags::address(id));
    let chunks = Filter::new().kind(Kind::from(UPLOAD_KIND)).pubkey(key);
    vec![requests.since(since), chunks.since(since)]
}

/// What is announced of the direct path: what was asked for, or the addresses that are listened on.
fn endpoints(options: &DirectOptions, listener: &DirectListener) -> Result<Vec<RelayUrl>, ProviderError> {
    if options.listen.is_empty() {
        return Ok(Vec::new());
    }
    let endpoints = if options.announce.is_empty() { listener.urls() } else { options.announce.clone() };
    if endpoints.is_empty() { Err(ProviderError::NothingToAnnounce) } else { Ok(endpoints) }
}

/// The provider's loop. All of its tasks end with it.
async fn run(
    server: Arc<Server>,
    (listener, mut subscription): (DirectListener, Subscription),
    mut waiting: mpsc::Receiver<(RelayUrl, Draft)>,
    announced: BTreeSet<RelayUrl>,
    mut stopped: watch::Receiver<bool>,
) {
    const TICK_EVERY: Duration = Duration::from_secs(60);
    const STOP_MAX: Duration = Duration::from_secs(5);
    let mut helpers = JoinSet::new();
    let announcer = server.clone();
    helpers.spawn(async move { announcer.keep_announcing(announced).await });
    let speaker = server.clone();
    helpers.spawn(async move {
        while let Some((relay, draft)) = waiting.recv().await {
            speaker.send(draft, &relay).await;
        }
    });
    let mut guests = JoinSet::new();
    let host = server.clone();
    let (keys, env) = (server.keys.clone(), server.env.clone());
    let (close, closing) = watch::channel(false);
    let mut closed = closing.clone();
    let until = async move {
        // The sender lives as long as this.
        let _ = closed.wait_for(|closing| *closing).await;
    };
    let serve = move |guest| host.clone().serve_guest(guest, closing.clone());
    guests.spawn(listener.run(keys, env, until, serve));
    let mut jobs = JoinSet::new();
    let mut tick = tokio::time::interval(TICK_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            _ = tick.tick() => tend(&server, &mut jobs),
            Some(ended) = jobs.join_next() => report(ended),
            incoming = subscription.next() => match incoming {
                Some(incoming) => server.take(incoming, &mut jobs),
                None => break,
            },
        }
    }
    close.send_replace(true);
    let finish = async {
        while guests.join_next().await.is_some() {}
        while let Some(ended) = jobs.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(STOP_MAX, finish).await.is_err() {
        info!(left = jobs.len(), "requests were left unfinished");
    }
}

/// What has to be done from time to time.
fn tend(server: &Arc<Server>, jobs: &mut JoinSet<()>) {
    lock(&server.uploads).sweep(monotonic());
    let server = server.clone();
    jobs.spawn(async move {
        // The error was logged where it became a refusal.
        let _ = server.off_thread(|server| Ok(server.store.tick()?)).await;
    });
}

pub(super) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a request ended in a panic");
    }
}
