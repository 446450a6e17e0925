//! How fast events and messages are written and read, on one core: `cargo bench --bench wire`.
//!
//! Of chunks, GB/s of the blob's bytes; of questions and answers, as many blobs as one may name. What a chunk costs to be
//! hashed and sealed says `cargo bench --bench codec`.

use std::hint::black_box;
use std::time::Duration;

use blobdvm::types::limits::BATCH_COUNT_MAX;
use blobdvm::types::{BlobHash, ChunkIndex, ChunkLen, ClientId, ProviderId, Timestamp};
use blobdvm::wire::direct::{DirectId, DirectMessage};
use blobdvm::wire::{
    Action, Answer, Attestation, ChunkSet, Hashes, ItemsOf, Promise, Request, RequestNumber, Response,
    Unverified, Upload, nip01,
};
use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use nostr::{Event, EventId, Keys};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// As in the program: the C library's takes pages from the system for each long text, and half as long again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of a chunk: that every relay takes, and the longest.
const CHUNK_LENS: [usize; 2] = [32 * 1024, 512 * 1024];
/// Bytes of a full shard.
const SHARD_LEN: usize = 512 * 1024;
const NOW: Timestamp = Timestamp(1_800_000_000);

fn main() {
    divan::main();
}

fn keys() -> Keys {
    Keys::parse(&"01".repeat(32)).expect("a secret key")
}

fn bytes(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes.into()
}

fn hashes() -> Vec<BlobHash> {
    let mut rng = StdRng::seed_from_u64(1);
    (0..BATCH_COUNT_MAX).map(|_| BlobHash::new(rng.random())).collect()
}

// Chunks on their way to a provider.

fn upload(len: usize) -> Upload {
    let (provider, hash) = (ProviderId::new([1; 32]), BlobHash::new([2; 32]));
    Upload { provider, hash, index: ChunkIndex(0), total: 1, data: bytes(len) }
}

fn upload_event(len: usize) -> Event {
    upload(len).to_draft().sign(&keys(), NOW)
}

/// By the client: base64, id, signature, JSON.
#[divan::bench(args = CHUNK_LENS)]
fn upload_written(bencher: Bencher<'_, '_>, len: usize) {
    let (upload, keys) = (upload(len), keys());
    bencher
        .counter(BytesCount::new(len))
        .bench(|| nip01::publishing(&black_box(&upload).to_draft().sign(&keys, NOW)));
}

/// By a relay: id and signature.
#[divan::bench(args = CHUNK_LENS)]
fn upload_verified(bencher: Bencher<'_, '_>, len: usize) {
    let json = nip01::to_json(&upload_event(len));
    bencher.counter(BytesCount::new(len)).bench(|| {
        let event: Unverified<'_> = serde_json::from_str(black_box(&json)).expect("an event");
        event.verified().expect("it was signed").id()
    });
}

/// By the provider: base64, and what the signature is needed for later.
#[divan::bench(args = CHUNK_LENS)]
fn upload_read(bencher: Bencher<'_, '_>, len: usize) {
    let event = upload_event(len);
    bencher.counter(BytesCount::new(len)).bench(|| {
        let event = black_box(&event);
        (Attestation::of(event), Upload::parse(event).expect("it was written so"))
    });
}

/// By the provider, where the blob is not what it was named: base64 once more, id, signature.
#[divan::bench(args = CHUNK_LENS)]
fn upload_attested(bencher: Bencher<'_, '_>, len: usize) {
    let (attestation, data) = (Attestation::of(&upload_event(len)), bytes(len));
    bencher.counter(BytesCount::new(len)).bench(|| assert!(attestation.holds_for(black_box(&data))));
}

// A question about as many blobs as one may name, and its answer.

fn request() -> Request {
    Request {
        provider: ProviderId::new([1; 32]),
        relays: Vec::new(),
        number: Some(RequestNumber(1)),
        chunk_len: ChunkLen::default(),
        action: Action::Stat(Hashes::Many(hashes())),
    }
}

fn response() -> Response {
    let promise = Promise { size: SHARD_LEN as u64, expires: NOW.saturating_add(Duration::from_secs(1)) };
    Response {
        request: EventId::all_zeros(),
        requester: ClientId::new([3; 32]),
        number: Some(RequestNumber(1)),
        answer: Answer::Items { of: ItemsOf::Stat, items: vec![Some(promise); BATCH_COUNT_MAX] },
    }
}

#[divan::bench]
fn request_written(bencher: Bencher<'_, '_>) {
    let (request, keys) = (request(), keys());
    bencher
        .counter(ItemsCount::new(BATCH_COUNT_MAX))
        .bench(|| nip01::publishing(&black_box(&request).to_draft().sign(&keys, NOW)));
}

#[divan::bench]
fn request_read(bencher: Bencher<'_, '_>) {
    let event = request().to_draft().sign(&keys(), NOW);
    bencher.counter(ItemsCount::new(BATCH_COUNT_MAX)).bench(|| Request::parse(black_box(&event)));
}

#[divan::bench]
fn answer_written(bencher: Bencher<'_, '_>) {
    let (response, keys) = (response(), keys());
    bencher
        .counter(ItemsCount::new(BATCH_COUNT_MAX))
        .bench(|| nip01::publishing(&black_box(&response).to_draft().sign(&keys, NOW)));
}

#[divan::bench]
fn answer_read(bencher: Bencher<'_, '_>) {
    let event = response().to_draft().sign(&keys(), NOW);
    bencher.counter(ItemsCount::new(BATCH_COUNT_MAX)).bench(|| Response::parse(black_box(&event)));
}

/// Which chunks of a blob are wanted: every other one of the largest blob's.
#[divan::bench]
fn chunk_set_read(bencher: Bencher<'_, '_>) {
    let mut set = ChunkSet::empty();
    for index in (0..256).step_by(2) {
        set.insert(ChunkIndex(index));
    }
    let text = set.to_string();
    bencher.counter(ItemsCount::new(set.count())).bench(|| ChunkSet::parse(black_box(&text)));
}

// Messages of the direct path, before they are sealed.

/// A blob's bytes are not touched: only the head is written.
#[divan::bench]
fn direct_blob_written(bencher: Bencher<'_, '_>) {
    let data = bytes(SHARD_LEN);
    bencher.bench(|| {
        let (id, hash, data) = (DirectId(7), BlobHash::new([2; 32]), data.clone());
        black_box(DirectMessage::Response { id, hash, data }).encode()
    });
}

#[divan::bench]
fn direct_blob_read(bencher: Bencher<'_, '_>) {
    let (id, hash) = (DirectId(7), BlobHash::new([2; 32]));
    let encoded = DirectMessage::Response { id, hash, data: bytes(SHARD_LEN) }.encode();
    let message = Bytes::from([&encoded.head[..], &encoded.data].concat());
    bencher.bench(|| DirectMessage::decode(black_box(&message).clone()).expect("it was written so"));
}

#[divan::bench]
fn direct_want_written(bencher: Bencher<'_, '_>) {
    let hashes = hashes();
    bencher
        .counter(ItemsCount::new(BATCH_COUNT_MAX))
        .bench(|| DirectMessage::Want { id: DirectId(7), hashes: black_box(&hashes).clone() }.encode());
}

#[divan::bench]
fn direct_want_read(bencher: Bencher<'_, '_>) {
    let encoded = DirectMessage::Want { id: DirectId(7), hashes: hashes() }.encode();
    let message = Bytes::from([&encoded.head[..], &encoded.data].concat());
    bencher
        .counter(ItemsCount::new(BATCH_COUNT_MAX))
        .bench(|| DirectMessage::decode(black_box(&message).clone()).expect("it was written so"));
}
