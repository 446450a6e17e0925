//! Laws of the provider, over a hub in memory.

mod actions;
mod audit;
mod chunked;
mod direct;
mod hostile;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nostr::{Event, Filter, Keys, Kind};
use tokio::sync::Semaphore;

use super::*;
use crate::env::{Env, ManualClock};
use crate::session::chunking;
use crate::store::{BlobStore, SimDisk, StoreOptions, Unsynced};
use crate::transport::memory::Hub;
use crate::transport::{Carrier, Route, Subscription};
use crate::types::{BlobHash, ChunkIndex, ChunkLen, Timestamp};
use crate::wire::{
    AUDIT_KIND, Action, Answer, CHUNK_KIND, Chunk, Draft, ErrorCode, Hashes, RESPONSE_KIND, Request,
    RequestNumber, Response, STATUS_KIND, Status, StatusKind, Store, StoreBody, Upload,
};

const START: Timestamp = Timestamp(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A provider on a simulated disk behind one hub.
struct Scene {
    hub: Hub,
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    env: Env,
    options: ProviderOptions,
    keys: Keys,
    provider: Option<Provider>,
    /// Room for what comes over connections.
    intake: Arc<Semaphore>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(ProviderOptions { retention: 10 * DAY, ..ProviderOptions::default() }).await
    }

    async fn with(options: ProviderOptions) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let env = Env::seeded(1, clock.clone());
        let (hub, disk) = (Hub::new("hub", 1), Arc::new(SimDisk::new()));
        let mut scene = Self {
            hub,
            disk,
            clock,
            env,
            options,
            keys: Keys::generate(),
            provider: None,
            intake: Arc::new(Semaphore::new(32 * 1024)),
        };
        scene.start().await;
        scene
    }

    async fn start(&mut self) {
        let quota = self.options.quota;
        let options = StoreOptions { quota, ..StoreOptions::default() };
        let store = BlobStore::open(self.disk.clone(), options, self.env.clone()).unwrap();
        let (keys, env, carrier) = (self.keys.clone(), self.env.clone(), self.hub.carrier());
        let started = Provider::start(Arc::new(store), keys, self.options.clone(), carrier, env).await;
        self.provider = Some(started.unwrap());
    }

    /// The provider ends without a word, its disk forgets what was not synced, and it starts again.
    async fn crash(&mut self) {
        self.provider = None;
        self.disk = Arc::new(self.disk.restart(Unsynced::Lost));
        self.start().await;
    }

    fn provider(&self) -> &Provider {
        self.provider.as_ref().unwrap()
    }

    async fn client(&self) -> Client {
        let (keys, carrier) = (Keys::generate(), self.hub.carrier());
        let to_me = Filter::new()
            .kinds([RESPONSE_KIND, STATUS_KIND, CHUNK_KIND, AUDIT_KIND].map(Kind::from))
            .author(self.keys.public_key());
        let inbox = carrier.subscribe(vec![to_me]).await.unwrap();
        let (clock, provider) = (self.clock.clone(), self.provider().id());
        Client { keys, carrier, inbox, clock, provider, chunk_len: ChunkLen::BASE, nonce: 0 }
    }
}

/// A client that sends events one by one and sees every event of the provider.
struct Client {
    keys: Keys,
    carrier: Arc<dyn Carrier>,
    inbox: Subscription,
    clock: Arc<ManualClock>,
    provider: crate::types::ProviderId,
    /// How long its chunks are, and those that it asks for.
    chunk_len: ChunkLen,
    nonce: u64,
}

/// What came back for one request.
struct Reply {
    outcome: Result<Answer, ErrorCode>,
    chunks: Vec<Chunk>,
    statuses: usize,
}

impl Client {
    fn sign(&mut self, draft: Draft) -> Event {
        use crate::env::Clock;
        self.nonce += 1;
        draft.with_nonce(self.nonce).sign(&self.keys, self.clock.now())
    }

    fn draft(&self, action: Action, number: Option<u64>) -> Draft {
        let (provider, relays) = (self.provider, vec![]);
        let (number, chunk_len) = (number.map(RequestNumber), self.chunk_len);
        Request { provider, relays, number, chunk_len, action }.to_draft()
    }

    fn request(&mut self, action: Action, number: Option<u64>) -> Event {
        let draft = self.draft(action, number);
        self.sign(draft)
    }

    async fn publish(&self, event: Event) {
        self.carrier.publish(event, Route::All).await.unwrap();
    }

    /// Sends a request as a client of the base protocol does, and waits for its end.
    async fn ask(&mut self, action: Action) -> Reply {
        let event = self.request(action, None);
        self.ask_with(event).await
    }

    /// Sends a request as a client of the extensions does, and waits for its end.
    async fn ask_numbered(&mut self, action: Action) -> Reply {
        let number = self.nonce + 1000;
        let event = self.request(action, Some(number));
        self.ask_with(event).await
    }

    async fn ask_with(&mut self, event: Event) -> Reply {
        let id = event.id;
        self.publish(event).await;
        let mut reply = Reply { outcome: Err(ErrorCode::InternalError), chunks: Vec::new(), statuses: 0 };
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(20), self.inbox.next());
            let event = wait.await.expect("an answer comes").unwrap().event;
            match event.kind.as_u16() {
                CHUNK_KIND => {
                    let chunk = Chunk::parse(&event).unwrap();
                    if chunk.direction.is_some_and(|direction| direction.request == id) {
                        reply.chunks.push(chunk);
                    }
                }
                RESPONSE_KIND => {
                    let response = Response::parse(&event).unwrap();
                    if response.request == id {
                        reply.outcome = Ok(response.answer);
                        return reply;
                    }
                }
                // Proofs for somebody else.
                AUDIT_KIND => {}
                _ => {
                    let status = Status::parse(&event).unwrap();
                    match status.kind {
                        StatusKind::Error(code) if status.request == id => {
                            assert!(event.content.starts_with(code.as_str()));
                            reply.outcome = Err(code);
                            return reply;
                        }
                        _ => reply.statuses += 1,
                    }
                }
            }
        }
    }

    async fn store(&mut self, blob: &[u8]) -> Reply {
        self.ask(inline(blob)).await
    }

    async fn upload(&mut self, blob: &[u8], indexes: impl Iterator<Item = u32>) {
        for index in indexes {
            let event = self.chunk(blob, index);
            self.publish(event).await;
        }
    }

    fn chunk(&mut self, blob: &[u8], index: u32) -> Event {
        let (blob, index) = (Bytes::copy_from_slice(blob), ChunkIndex(index));
        let (provider, hash) = (self.provider, BlobHash::of(&blob));
        let total = self.chunk_len.count(blob.len() as u64).unwrap();
        let data = chunking::chunk(&blob, index, self.chunk_len);
        self.sign(Upload { provider, hash, index, total, data }.to_draft())
    }

    /// What a relay makes of a chunk that puts other bytes in its place.
    fn forged_chunk(&mut self, blob: &[u8], index: u32) -> Event {
        let mut event = self.chunk(blob, index);
        let start = if event.content.starts_with("AAAA") { "BBBB" } else { "AAAA" };
        event.content.replace_range(..4, start);
        event
    }
}

impl Reply {
    fn error(&self) -> Option<ErrorCode> {
        self.outcome.clone().err()
    }

    /// The bytes of the chunks, in the order of their indexes; each is intact.
    fn bytes(&self) -> Vec<u8> {
        let mut chunks = self.chunks.clone();
        chunks.sort_by_key(|chunk| chunk.index);
        assert!(chunks.iter().all(Chunk::is_intact));
        chunks.iter().flat_map(|chunk| chunk.data.clone()).collect()
    }
}

fn blob(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap() ^ seed).collect()
}

fn inline(blob: &[u8]) -> Action {
    Action::Store(Store {
        body: StoreBody::Inline(Bytes::copy_from_slice(blob)),
        filename: None,
        encrypt: false,
        quiet: false,
        retention: None,
    })
}

fn quiet(action: Action) -> Action {
    match action {
        Action::Store(store) => Action::Store(Store { quiet: true, ..store }),
        other => other,
    }
}

fn retrieve(hash: BlobHash) -> Action {
    Action::Retrieve { hashes: Hashes::One(hash), ranges: None }
}

fn delete(hash: BlobHash) -> Action {
    Action::Delete(Hashes::One(hash))
}
