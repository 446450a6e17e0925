//! Stores whose data follow in chunks.

use tokio::task::JoinSet;

use super::*;
use crate::transport::Incoming;
use crate::types::limits::{JOBS_LEN_MAX, UPLOADS_LEN_MAX};
use crate::wire::{ChunkSet, Extension};

fn chunked(blob: &[u8]) -> Action {
    chunked_in(ChunkLen::BASE, blob)
}

fn chunked_in(chunk_len: ChunkLen, blob: &[u8]) -> Action {
    let size = blob.len() as u64;
    let body = StoreBody::Chunked { hash: BlobHash::of(blob), size, chunks: chunk_len.count(size).unwrap() };
    Action::Store(Store { body, filename: None, encrypt: false, quiet: true, retention: None })
}

#[tokio::test(start_paused = true)]
async fn blob_in_chunks_is_stored_when_the_last_one_has_come() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for len in [0, 1, 32_768, 524_288] {
        let bytes = blob(len, 1);
        let event = client.request(chunked(&bytes), Some(1));
        let chunks = ChunkLen::BASE.count(len as u64).unwrap();
        let id = event.id;
        client.publish(event).await;
        client.upload(&bytes, (0..chunks).rev()).await;
        let response = Response::parse(&client.inbox.next().await.unwrap().event).unwrap();
        assert!(matches!(response.answer, Answer::Stored(info) if info.size == len as u64));
        assert_eq!((response.request, response.number), (id, Some(RequestNumber(1))));
        assert_eq!(client.ask(retrieve(BlobHash::of(&bytes))).await.bytes(), bytes);
    }
    assert_eq!(scene.provider().gauges().upload_count, 0);
}

#[tokio::test(start_paused = true)]
async fn blob_is_sent_back_where_there_is_room_for_it_to_wait_in() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let others = crate::types::ClientId::new([9; 32]);
    let _held = scene.provider().server.gate.enter(others, JOBS_LEN_MAX - 100_000).unwrap();
    for (len, is_sent_back) in [(120_000, false), (80_000, true)] {
        let bytes = blob(len, 1);
        let Action::Store(store) = chunked(&bytes) else { unreachable!() };
        let begin = client.request(Action::Store(Store { quiet: false, ..store }), Some(1));
        client.publish(begin).await;
        let total = ChunkLen::BASE.count(len as u64).unwrap();
        client.upload(&bytes, 0..total).await;
        let mut chunk_count = 0;
        let response = loop {
            let event = client.inbox.next().await.unwrap().event;
            match Response::parse(&event) {
                Ok(response) => break response,
                Err(_) => chunk_count += u32::from(Chunk::parse(&event).is_ok()),
            }
        };
        assert!(matches!(response.answer, Answer::Stored(info) if info.size == len as u64));
        assert_eq!(chunk_count, if is_sent_back { total } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn blob_comes_and_goes_in_chunks_as_long_as_was_asked_for() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for (seed, len) in (1..).zip([65_536, 524_288]) {
        client.chunk_len = ChunkLen::new(len).unwrap();
        for size in [40_000, 524_288, 1_200_001] {
            let bytes = blob(size, seed);
            let count = client.chunk_len.count(size as u64).unwrap();
            let event = client.request(chunked_in(client.chunk_len, &bytes), Some(1));
            client.publish(event).await;
            client.upload(&bytes, (0..count).rev()).await;
            let response = Response::parse(&client.inbox.next().await.unwrap().event).unwrap();
            assert!(matches!(response.answer, Answer::Stored(info) if info.chunks == count), "{len} {size}");
            let reply = client.ask_numbered(retrieve(BlobHash::of(&bytes))).await;
            assert_eq!(reply.chunks.len(), count as usize);
            assert_eq!(reply.bytes(), bytes);
            let ranges = Some(ChunkSet::parse("0").unwrap());
            let hashes = Hashes::One(BlobHash::of(&bytes));
            let reply = client.ask_numbered(Action::Retrieve { hashes, ranges }).await;
            assert_eq!(reply.chunks[0].data, bytes[..size.min(usize::try_from(len).unwrap())]);
            assert!(matches!(reply.outcome, Ok(Answer::Available(info)) if info.chunks == count));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn longer_chunks_than_were_announced_are_refused_and_none_are_announced_where_there_are_none() {
    for (chunk_len_max, is_larger) in [(ChunkLen::at_most(65_536), true), (ChunkLen::BASE, false)] {
        let scene = Scene::with(ProviderOptions { chunk_len_max, ..ProviderOptions::default() }).await;
        let announcement = scene.provider().server.announcement();
        assert_eq!(announcement.extensions.contains(&Extension::Larger), is_larger);
        assert_eq!((announcement.chunk_size, announcement.chunk_len_max), (32_768, chunk_len_max));
        let mut client = scene.client().await;
        let bytes = blob(200_000, 1);
        client.store(&bytes).await;
        client.chunk_len = ChunkLen::MAX;
        for action in [chunked_in(ChunkLen::MAX, &bytes), retrieve(BlobHash::of(&bytes))] {
            let reply = client.ask_numbered(action).await;
            assert_eq!((reply.error(), reply.chunks.len()), (Some(ErrorCode::InvalidRequest), 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn probe_tells_what_is_missing_and_the_newest_try_is_answered() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(200_000, 1);
    let first = client.request(chunked(&bytes), Some(5));
    client.publish(first).await;
    client.upload(&bytes, [0, 1, 4].into_iter()).await;
    let reply = client.ask_numbered(chunked(&bytes)).await;
    let chunks = ChunkSet::parse("2-3,5-6").unwrap();
    assert_eq!(reply.outcome, Ok(Answer::Missing { hash: BlobHash::of(&bytes), chunks }));
    let last = client.request(chunked(&bytes), Some(5));
    let id = last.id;
    client.publish(last).await;
    assert_eq!(Response::parse(&client.inbox.next().await.unwrap().event).unwrap().request, id);
    client.upload(&bytes, [0, 2, 3, 5, 6].into_iter()).await;
    let response = Response::parse(&client.inbox.next().await.unwrap().event).unwrap();
    assert!(matches!(response.answer, Answer::Stored(_)) && response.request == id);
    let again = client.ask_numbered(chunked(&bytes)).await;
    assert!(matches!(again.outcome, Ok(Answer::Stored(_))), "the owner need not send it again");
}

/// A relay puts chunks in the client's mouth, before those that the client sends.
#[tokio::test(start_paused = true)]
async fn chunks_that_were_forged_are_missing_and_the_upload_goes_on() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(100_000, 1);
    let first = client.request(chunked(&bytes), Some(5));
    client.publish(first).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut jobs = JoinSet::new();
    let mut hand_over = |event| {
        let relay = scene.hub.url();
        scene.provider().server.take(Incoming { event, relay }, &mut jobs);
    };
    hand_over(client.forged_chunk(&bytes, 1));
    hand_over(client.forged_chunk(&bytes, 3));
    client.upload(&bytes, [1, 3, 0, 2].into_iter()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.provider().stats().blob_count, 0);
    let reply = client.ask_numbered(chunked(&bytes)).await;
    let chunks = ChunkSet::parse("1,3").unwrap();
    assert_eq!(reply.outcome, Ok(Answer::Missing { hash: BlobHash::of(&bytes), chunks }));
    hand_over(client.forged_chunk(&bytes, 1));
    client.upload(&bytes, [1, 3].into_iter()).await;
    let response = Response::parse(&client.inbox.next().await.unwrap().event).unwrap();
    assert!(matches!(response.answer, Answer::Stored(_)), "{response:?}");
    assert_eq!(client.ask(retrieve(BlobHash::of(&bytes))).await.bytes(), bytes);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_claim_on_anothers_blob_without_its_bytes() {
    let scene = Scene::new().await;
    let (mut owner, mut stranger) = (scene.client().await, scene.client().await);
    let bytes = blob(50_000, 1);
    owner.store(&bytes).await;
    let first = stranger.request(chunked(&bytes), Some(1));
    stranger.publish(first).await;
    let reply = stranger.ask_numbered(chunked(&bytes)).await;
    assert!(matches!(reply.outcome, Ok(Answer::Missing { chunks, .. }) if chunks.count() == 2));
    stranger.upload(&bytes, 0..2).await;
    let reply = stranger.ask_numbered(Action::List { after: None, limit: None }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let listed = stranger.ask_numbered(Action::List { after: None, limit: None }).await;
    assert!(
        matches!(listed.outcome, Ok(Answer::Listed { claims, .. }) if claims.len() == 1),
        "{:?}",
        reply.outcome
    );
}

#[tokio::test(start_paused = true)]
async fn chunks_that_are_not_the_named_blob_are_refused() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (named, sent) = (blob(40_000, 1), blob(40_000, 2));
    let event = client.request(chunked(&named), Some(1));
    client.publish(event).await;
    for index in [0, 1].map(ChunkIndex) {
        let data = chunking::chunk(&Bytes::copy_from_slice(&sent), index, ChunkLen::BASE);
        let (provider, hash) = (client.provider, BlobHash::of(&named));
        let event = client.sign(Upload { provider, hash, index, total: 2, data }.to_draft());
        client.publish(event).await;
    }
    let status = Status::parse(&client.inbox.next().await.unwrap().event).unwrap();
    assert_eq!(status.kind, StatusKind::Error(ErrorCode::InvalidHash));
    assert_eq!(scene.provider().stats().blob_count, 0);
    assert_eq!(scene.provider().gauges().upload_count, 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_chunked_store_come_at_once() {
    let options = ProviderOptions { max_file_size: 100_000, quota: 90_000, ..ProviderOptions::default() };
    let scene = Scene::with(options).await;
    let mut client = scene.client().await;
    assert_eq!(client.ask_numbered(chunked(&blob(100_001, 1))).await.error(), Some(ErrorCode::FileTooLarge));
    assert_eq!(client.ask_numbered(chunked(&blob(95_000, 1))).await.error(), Some(ErrorCode::StorageFull));
    let old = client.request(chunked(&blob(10, 1)), Some(1));
    scene.clock.advance(Duration::from_secs(121));
    assert_eq!(client.ask_with(old).await.error(), Some(ErrorCode::StaleRequest));
}

#[tokio::test(start_paused = true)]
async fn half_received_uploads_are_bounded_for_each_client_and_for_all() {
    let scene = Scene::new().await;
    let size = 8 << 20;
    let mut refused = 0;
    for seed in 0..5 {
        let mut client = scene.client().await;
        for number in 0..4 {
            let hash = BlobHash::of(&[seed, number]);
            let body = StoreBody::Chunked { hash, size, chunks: 256 };
            let store = Store { body, filename: None, encrypt: false, quiet: true, retention: None };
            let begin = client.request(Action::Store(store.clone()), Some(1));
            client.publish(begin).await;
            let (provider, index, data) = (client.provider, ChunkIndex(0), blob(32_768, 0).into());
            let chunk = client.sign(Upload { provider, hash, index, total: 256, data }.to_draft());
            client.publish(chunk).await;
            let reply = client.ask_numbered(Action::Store(store)).await;
            refused += u64::from(reply.error() == Some(ErrorCode::Busy));
            assert!(scene.provider().gauges().upload_len <= UPLOADS_LEN_MAX);
        }
    }
    assert_eq!(refused, 20 - UPLOADS_LEN_MAX / size);
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(scene.provider().gauges().upload_count, 0, "what rests is dropped");
}

#[tokio::test(start_paused = true)]
async fn upload_begins_anew_after_the_provider_was_restarted() {
    let mut scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(70_000, 1);
    let event = client.request(chunked(&bytes), Some(1));
    client.publish(event).await;
    client.upload(&bytes, 0..2).await;
    scene.crash().await;
    client.upload(&bytes, 2..3).await;
    let event = client.request(chunked(&bytes), Some(1));
    client.publish(event).await;
    let reply = client.ask_numbered(chunked(&bytes)).await;
    assert!(matches!(reply.outcome, Ok(Answer::Missing { chunks, .. }) if chunks.count() == 3));
}
