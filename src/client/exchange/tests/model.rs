//! A small provider in memory, plain or extended, that can be told to misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nostr::{Event, Filter, Keys, Kind, PublicKey, SingleLetterTag};
use tokio::task::JoinSet;

use crate::client::ProviderTerms;
use crate::session::chunking;
use crate::transport::{Carrier, Route};
use crate::types::limits::{BLOB_LEN_MAX, CHUNK_LEN};
use crate::types::{BlobHash, ChunkIndex, ChunkLen, ClientId, ProviderId, Timestamp};
use crate::wire::*;

/// How a provider misbehaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Manner {
    Good,
    /// Hears everything, says nothing.
    Silent,
    /// Sends a wrong byte in every chunk, under its true hash.
    Corrupt,
    /// Gives receipts for another blob.
    Liar,
    Full,
    /// Lists claims without an end.
    Endless,
    /// Answers audits with what it was asked for before.
    Replaying,
    /// The same, under the nonce that it is asked with.
    Renewing,
    /// Answers audits with other leaves than those that were asked for.
    OtherLeaf,
    /// Answers audits with proofs of random bytes.
    Random,
    /// Answers audits with text that is none.
    Unreadable,
    /// Answers audits as if they were something else.
    OffTopic,
    /// Leaves samples out.
    Short,
}

pub(in crate::client) struct Model {
    pub(in crate::client) terms: ProviderTerms,
    pub(in crate::client) state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

pub(in crate::client) struct State {
    keys: Keys,
    is_plain: bool,
    pub(in crate::client) manner: Manner,
    pub(in crate::client) blobs: BTreeMap<BlobHash, Bytes>,
    uploads: BTreeMap<(ClientId, BlobHash), BTreeMap<ChunkIndex, Bytes>>,
    pub(in crate::client) stored: BTreeSet<(ClientId, BlobHash)>,
    newest: BTreeMap<(ClientId, BlobHash), Event>,
    pub(in crate::client) requests: u32,
    pub(in crate::client) audited: Option<AuditAnswer>,
    nonce: u64,
}

impl Model {
    pub(in crate::client) async fn start(
        seed: u8,
        is_plain: bool,
        manner: Manner,
        carrier: Arc<dyn Carrier>,
    ) -> Self {
        let keys = Keys::parse(&hex::encode([seed; 32])).unwrap();
        let id = ProviderId::new(keys.public_key().to_bytes());
        let mut terms = ProviderTerms::base(id);
        terms.extensions = if is_plain { BTreeSet::new() } else { Extension::ALL.into() };
        let state = Arc::new(Mutex::new(State {
            keys,
            is_plain,
            manner,
            blobs: BTreeMap::new(),
            uploads: BTreeMap::new(),
            stored: BTreeSet::new(),
            newest: BTreeMap::new(),
            requests: 0,
            audited: None,
            nonce: 0,
        }));
        let address = SingleLetterTag::lowercase(nostr::Alphabet::A);
        let requests =
            Filter::new().kind(Kind::from_u16(REQUEST_KIND)).custom_tag(address, tags::address(id));
        let uploads = Filter::new()
            .kind(Kind::from_u16(UPLOAD_KIND))
            .pubkey(PublicKey::from_byte_array(*id.as_bytes()));
        let mut subscription = carrier.subscribe(vec![requests, uploads]).await.unwrap();
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            while let Some(incoming) = subscription.next().await {
                let replies = shared.lock().unwrap().receive(&incoming.event);
                for reply in replies {
                    let _ = carrier.publish(reply, Route::All).await;
                }
            }
        });
        Self { terms, state, _tasks: tasks }
    }

    pub(in crate::client) fn id(&self) -> ProviderId {
        self.terms.id
    }
}

const EXPIRES: Timestamp = Timestamp(2_000_000_000);

impl State {
    fn receive(&mut self, event: &Event) -> Vec<Event> {
        let client = author_as_client(event);
        if self.manner == Manner::Silent {
            return Vec::new();
        }
        if let Ok(upload) = Upload::parse(event) {
            return self.take_chunk(client, upload);
        }
        self.requests += 1;
        let drafts = match Request::parse(event) {
            Ok(request) => self.answer(event, client, request),
            Err(error) => vec![refuse(event, error.code())],
        };
        drafts.into_iter().map(|draft| self.sign(draft)).collect()
    }

    fn answer(&mut self, event: &Event, client: ClientId, request: Request) -> Vec<Draft> {
        let number = request.number;
        let respond = |answer| Response { request: event.id, requester: client, number, answer }.to_draft();
        match request.action {
            Action::Store(_) if self.manner == Manner::Full => {
                vec![refuse(event, ErrorCode::StorageFull)]
            }
            Action::Store(Store { body: StoreBody::Inline(data), .. }) => {
                let hash = BlobHash::of(&data);
                self.blobs.insert(hash, data);
                self.stored.insert((client, hash));
                let mut drafts =
                    if self.is_plain { self.chunks(event, client, hash, None) } else { Vec::new() };
                drafts.push(respond(Answer::Stored(self.info(hash))));
                drafts
            }
            Action::Store(Store { body: StoreBody::Chunked { hash, chunks, .. }, .. }) => {
                if self.stored.contains(&(client, hash)) {
                    return vec![respond(Answer::Stored(self.info(hash)))];
                }
                let is_probe = self.newest.insert((client, hash), event.clone()).is_some();
                let held: ChunkSet =
                    self.uploads.entry((client, hash)).or_default().keys().copied().collect();
                let missing = held.complement(chunks);
                is_probe.then(|| respond(Answer::Missing { hash, chunks: missing })).into_iter().collect()
            }
            Action::Retrieve { hashes, ranges } => {
                let hash = hashes.as_slice()[0];
                if !self.blobs.contains_key(&hash) {
                    return vec![refuse(event, ErrorCode::FileNotFound)];
                }
                let mut drafts = self.chunks(event, client, hash, ranges.as_ref());
                drafts.push(respond(Answer::Available(self.info(hash))));
                drafts
            }
            Action::Delete(Hashes::One(hash)) if self.stored.remove(&(client, hash)) => {
                vec![respond(Answer::Deleted(hash))]
            }
            Action::Delete(Hashes::One(_)) => vec![refuse(event, ErrorCode::FileNotFound)],
            Action::Delete(hashes) => vec![respond(self.items(ItemsOf::Delete, client, &hashes))],
            Action::Stat(hashes) => vec![respond(self.items(ItemsOf::Stat, client, &hashes))],
            Action::Renew { hashes, .. } => vec![respond(self.items(ItemsOf::Renew, client, &hashes))],
            Action::List { after, .. } if self.manner == Manner::Endless => {
                let mut next = *after.unwrap_or(BlobHash::new([0; 32])).as_bytes();
                next[0] = next[0].saturating_add(1);
                let claims = vec![Claim { hash: BlobHash::new(next), size: 1, expires: EXPIRES }];
                vec![respond(Answer::Listed { claims, more: true })]
            }
            Action::List { after, .. } => {
                let mine = self.stored.iter().filter(|(owner, hash)| *owner == client && Some(*hash) > after);
                let claim = |hash: &BlobHash| Claim { hash: *hash, size: self.len(*hash), expires: EXPIRES };
                let claims: Vec<_> = mine.map(|(_, hash)| claim(hash)).take(3).collect();
                vec![respond(Answer::Listed { more: claims.len() == 3, claims })]
            }
            Action::Audit { nonce, hashes } => {
                let samples = self.samples(nonce, &hashes);
                self.audit(AuditAnswer { request: event.id, requester: client, number, nonce, samples })
            }
        }
    }

    fn take_chunk(&mut self, client: ClientId, upload: Upload) -> Vec<Event> {
        let key = (client, upload.hash);
        let Some(chunks) = self.uploads.get_mut(&key) else { return Vec::new() };
        chunks.insert(upload.index, upload.data);
        if chunks.len() < upload.total as usize {
            return Vec::new();
        }
        let mut blob = BytesMut::new();
        for chunk in chunks.values() {
            blob.extend_from_slice(chunk);
        }
        assert_eq!(BlobHash::of(&blob), upload.hash, "what the client sends is what it named");
        self.blobs.insert(upload.hash, blob.freeze());
        self.stored.insert(key);
        let event = &self.newest[&key];
        let answer = Answer::Stored(self.info(upload.hash));
        let response = Response { request: event.id, requester: client, number: None, answer };
        vec![self.sign(response.to_draft())]
    }

    fn items(&mut self, of: ItemsOf, client: ClientId, hashes: &Hashes) -> Answer {
        let item = |hash: &BlobHash| {
            let is_there = match of {
                ItemsOf::Delete => self.stored.remove(&(client, *hash)),
                _ => self.blobs.contains_key(hash),
            };
            is_there.then(|| Promise { size: self.len(*hash), expires: EXPIRES })
        };
        Answer::Items { of, items: hashes.as_slice().iter().map(item).collect() }
    }

    fn chunks(
        &self,
        event: &Event,
        requester: ClientId,
        hash: BlobHash,
        ranges: Option<&ChunkSet>,
    ) -> Vec<Draft> {
        let blob = &self.blobs[&hash];
        let total = ChunkLen::BASE.count(blob.len() as u64).unwrap();
        let wanted = (0..total).map(ChunkIndex).filter(|index| ranges.is_none_or(|set| set.contains(*index)));
        let direction = (!self.is_plain).then_some(Direction { request: event.id, requester });
        let chunk = |index| {
            let mut data = chunking::chunk(blob, index, ChunkLen::BASE);
            if self.manner == Manner::Corrupt {
                data = data.iter().map(|byte| byte ^ 1).collect();
            }
            let chunk_hash = Chunk::hash_of(&data);
            Chunk { hash, index, total, chunk_hash, expiration: Some(EXPIRES), direction, data }.to_draft()
        };
        wanted.map(chunk).collect()
    }

    fn info(&self, hash: BlobHash) -> BlobInfo {
        let size = self.len(hash);
        let hash = if self.manner == Manner::Liar { BlobHash::new([1; 32]) } else { hash };
        BlobInfo { hash, size, chunks: ChunkLen::BASE.count(size).unwrap(), expires: EXPIRES }
    }

    fn len(&self, hash: BlobHash) -> u64 {
        self.blobs.get(&hash).map_or(0, |blob| blob.len() as u64)
    }

    fn sign(&mut self, draft: Draft) -> Event {
        self.nonce += 1;
        draft.with_nonce(self.nonce).sign(&self.keys, Timestamp(1_790_000_000))
    }
}

fn refuse(event: &Event, code: ErrorCode) -> Draft {
    let (request, requester) = (event.id, author_as_client(event));
    let kind = StatusKind::Error(code);
    Status { request, requester, number: None, kind, text: "no".into() }.to_draft()
}

/// Bytes that differ everywhere.
pub(in crate::client) fn blob(len: u64, seed: u64) -> Bytes {
    assert!(len <= BLOB_LEN_MAX);
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Lengths around which something changes.
pub(in crate::client) const LENGTHS: [u64; 8] =
    [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 16 * CHUNK_LEN, 100 * CHUNK_LEN + 7, BLOB_LEN_MAX];

/// How long a test may take on virtual time.
pub(in crate::client) const PATIENCE: Duration = Duration::from_secs(600);
