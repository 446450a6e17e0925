//! Every action and every error code.

use nostr::Filter;

use super::*;
use crate::types::limits::BLOB_LEN_MAX;
use crate::wire::{Announcement, BlobInfo, ChunkSet, Extension, ItemsOf, Promise};

#[tokio::test(start_paused = true)]
async fn plain_store_echoes_the_chunks_and_then_says_stored() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for len in [0, 1, 32_767, 32_768, 32_769, 300_000] {
        let bytes = blob(len, 1);
        let reply = client.store(&bytes).await;
        let (size, chunks) = (len as u64, u32::try_from(len.div_ceil(32_768)).unwrap());
        let expires = START.saturating_add(10 * DAY);
        let info = BlobInfo { hash: BlobHash::of(&bytes), size, chunks, expires };
        assert_eq!(reply.outcome, Ok(Answer::Stored(info)));
        assert_eq!(reply.bytes(), bytes, "the echo came before the answer");
        let reply = client.ask(retrieve(info.hash)).await;
        assert_eq!(reply.outcome, Ok(Answer::Available(info)));
        assert_eq!(reply.bytes(), bytes);
        assert_eq!(client.ask(delete(info.hash)).await.outcome, Ok(Answer::Deleted(info.hash)));
        assert_eq!(client.ask(retrieve(info.hash)).await.error(), Some(ErrorCode::FileNotFound));
        assert_eq!(client.ask(delete(info.hash)).await.error(), Some(ErrorCode::FileNotFound));
    }
}

#[tokio::test(start_paused = true)]
async fn largest_blob_goes_in_one_event_and_comes_back() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(usize::try_from(BLOB_LEN_MAX).unwrap(), 2);
    let reply = client.store(&bytes).await;
    assert!(matches!(reply.outcome, Ok(Answer::Stored(_))));
    assert_eq!((reply.chunks.len(), reply.statuses), (320, 1), "and it is told that the provider is at it");
    assert_eq!(client.ask(retrieve(BlobHash::of(&bytes))).await.bytes(), bytes);
}

#[tokio::test(start_paused = true)]
async fn quiet_store_echoes_nothing() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let reply = client.ask_numbered(quiet(inline(b"quiet"))).await;
    assert!(matches!(reply.outcome, Ok(Answer::Stored(_))) && reply.chunks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn answers_name_the_request_its_sender_and_its_number() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let hash = BlobHash::of(b"named");
    client.store(b"named").await;
    let event = client.request(retrieve(hash), Some(77));
    client.publish(event.clone()).await;
    for kind in [CHUNK_KIND, RESPONSE_KIND] {
        let answer = client.inbox.next().await.unwrap().event;
        assert_eq!(answer.kind.as_u16(), kind);
        assert_eq!(crate::wire::tags::value(&answer, "e"), Some(event.id.to_hex().as_str()));
        assert_eq!(crate::wire::tags::value(&answer, "p"), Some(client.keys.public_key().to_hex().as_str()));
        if kind == RESPONSE_KIND {
            assert_eq!(Response::parse(&answer).unwrap().number, Some(RequestNumber(77)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_say_why() {
    let options = ProviderOptions { max_file_size: 1_000, quota: 20_000, ..ProviderOptions::default() };
    let scene = Scene::with(options).await;
    let mut client = scene.client().await;
    let hash = BlobHash::of(b"nothing");
    assert_eq!(client.store(&blob(1_001, 0)).await.error(), Some(ErrorCode::FileTooLarge));
    assert_eq!(client.ask(retrieve(hash)).await.error(), Some(ErrorCode::FileNotFound));
    for (content, code) in [
        (r#"{"action":"retrieve","hash":"xyz"}"#, ErrorCode::InvalidHash),
        (r#"{"action":"retrieve"}"#, ErrorCode::InvalidRequest),
        (r#"{"action":"sing"}"#, ErrorCode::InvalidRequest),
        (r#"{"action":"store","data":"%%%"}"#, ErrorCode::InvalidRequest),
        ("no json", ErrorCode::InvalidRequest),
    ] {
        let mut draft = client.draft(retrieve(hash), None);
        draft.content = content.to_owned();
        let event = client.sign(draft);
        assert_eq!(client.ask_with(event).await.error(), Some(code), "{content}");
    }
    for seed in 0..4 {
        assert!(client.store(&blob(900, seed)).await.outcome.is_ok());
    }
    assert_eq!(client.store(&blob(900, 9)).await.error(), Some(ErrorCode::StorageFull));
    let event = client.request(inline(b"old"), None);
    scene.clock.advance(Duration::from_secs(121));
    assert_eq!(client.ask_with(event).await.error(), Some(ErrorCode::StaleRequest));
}

#[tokio::test(start_paused = true)]
async fn damaged_blob_is_never_sent() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (bytes, hash) = (blob(70_000, 1), BlobHash::of(&blob(70_000, 1)));
    client.store(&bytes).await;
    let path = scene
        .disk
        .paths()
        .into_iter()
        .find(|path| path.to_string_lossy().contains(&hash.to_string()))
        .unwrap();
    scene.disk.corrupt(&path, |file| file[100] ^= 1);
    let reply = client.ask(retrieve(hash)).await;
    assert_eq!((reply.error(), reply.chunks.len()), (Some(ErrorCode::IntegrityFailed), 0));
    assert_eq!(client.ask(retrieve(hash)).await.error(), Some(ErrorCode::IntegrityFailed), "and stays so");
    client.store(&bytes).await;
    assert_eq!(client.ask(retrieve(hash)).await.bytes(), bytes, "until it is stored again");
    scene.disk.corrupt(&path, |file| file.truncate(40_000));
    let last = Action::Retrieve { hashes: Hashes::One(hash), ranges: Some(ChunkSet::parse("2").unwrap()) };
    assert_eq!(client.ask_numbered(last).await.error(), Some(ErrorCode::ChunkMissing));
}

#[tokio::test(start_paused = true)]
async fn encrypted_store_gives_the_plain_bytes_back() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(40_000, 1);
    let Action::Store(store) = inline(&bytes) else { unreachable!() };
    client.ask(Action::Store(Store { encrypt: true, ..store })).await;
    let lies_plain = |path: &std::path::PathBuf| {
        crate::store::Disk::read(&*scene.disk, path).unwrap().windows(16).any(|part| part == &bytes[..16])
    };
    assert!(!scene.disk.paths().iter().any(lies_plain));
    assert_eq!(client.ask(retrieve(BlobHash::of(&bytes))).await.bytes(), bytes);
}

#[tokio::test(start_paused = true)]
async fn retrieve_of_some_chunks_sends_these_and_describes_the_whole() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (bytes, hash) = (blob(1_000_000, 1), BlobHash::of(&blob(1_000_000, 1)));
    client.store(&bytes).await;
    let set = ChunkSet::parse("0,3-20,30-99").unwrap();
    let ranges = Action::Retrieve { hashes: Hashes::One(hash), ranges: Some(set) };
    let reply = client.ask_numbered(ranges).await;
    let Ok(Answer::Available(info)) = reply.outcome else { panic!("{:?}", reply.outcome) };
    assert_eq!((info.size, info.chunks), (1_000_000, 31));
    let mut sent: Vec<u32> = reply.chunks.iter().map(|chunk| chunk.index.0).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0].into_iter().chain(3..=20).chain([30]).collect::<Vec<_>>());
    for chunk in reply.chunks {
        let at = chunk.index.0 as usize * 32_768;
        assert!(chunk.is_intact() && chunk.total == 31);
        assert_eq!(chunk.data, bytes[at..bytes.len().min(at + 32_768)]);
    }
}

#[tokio::test(start_paused = true)]
async fn batches_answer_in_the_order_of_their_hashes() {
    let scene = Scene::new().await;
    let (mut client, mut other) = (scene.client().await, scene.client().await);
    let hashes = [b"own", b"not", b"his"].map(|bytes| BlobHash::of(bytes));
    client.store(b"own").await;
    other.store(b"his").await;
    let expires = START.saturating_add(10 * DAY);
    let item = |expires| Some(Promise { size: 3, expires });
    let of = |of, items: [Option<Promise>; 3]| Ok(Answer::Items { of, items: items.to_vec() });
    let many = || Hashes::Many(hashes.to_vec());
    let stat = client.ask_numbered(Action::Stat(many())).await.outcome;
    assert_eq!(stat, of(ItemsOf::Stat, [item(expires), None, item(Timestamp(0))]));
    let reply = client.ask_numbered(Action::Retrieve { hashes: many(), ranges: None }).await;
    assert_eq!(reply.outcome, of(ItemsOf::Retrieve, [item(expires), None, item(expires)]));
    assert_eq!(reply.chunks.len(), 2);
    let renew = Action::Renew { hashes: many(), retention: Some(5 * DAY) };
    let renewed = client.ask_numbered(renew).await.outcome;
    assert_eq!(renewed, of(ItemsOf::Renew, [item(expires), None, item(START.saturating_add(5 * DAY))]));
    let deleted = client.ask_numbered(Action::Delete(many())).await.outcome;
    assert_eq!(deleted, of(ItemsOf::Delete, [item(expires), None, item(START.saturating_add(5 * DAY))]));
    assert!(other.ask(retrieve(hashes[2])).await.outcome.is_ok(), "the other's claim is untouched");
}

#[tokio::test(start_paused = true)]
async fn stat_and_renew_of_one_hash_answer_as_a_batch() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.store(b"one").await;
    let hash = BlobHash::of(b"one");
    let stat = client.ask_numbered(Action::Stat(Hashes::One(hash))).await.outcome;
    assert!(matches!(stat, Ok(Answer::Items { of: ItemsOf::Stat, items }) if items.len() == 1));
    let renew = Action::Renew { hashes: Hashes::One(BlobHash::of(b"no")), retention: None };
    let renewed = client.ask_numbered(renew).await.outcome;
    assert_eq!(renewed, Ok(Answer::Items { of: ItemsOf::Renew, items: vec![None] }));
}

#[tokio::test(start_paused = true)]
async fn retention_is_what_was_asked_for_and_at_most_the_announced() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for (asked, given) in [(Some(2 * DAY), 2 * DAY), (Some(99 * DAY), 10 * DAY), (None, 10 * DAY)] {
        let Action::Store(store) = quiet(inline(format!("{asked:?}").as_bytes())) else { unreachable!() };
        let reply = client.ask_numbered(Action::Store(Store { retention: asked, ..store })).await;
        let Ok(Answer::Stored(info)) = reply.outcome else { panic!("{:?}", reply.outcome) };
        assert_eq!(info.expires, START.saturating_add(given));
    }
}

#[tokio::test(start_paused = true)]
async fn list_pages_through_the_senders_claims() {
    let scene = Scene::new().await;
    let (mut client, mut other) = (scene.client().await, scene.client().await);
    other.store(b"another's").await;
    let mut hashes = Vec::new();
    for number in 0..5 {
        client.store(&[number]).await;
        hashes.push(BlobHash::of(&[number]));
    }
    hashes.sort();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let reply = client.ask_numbered(Action::List { after, limit: Some(2) }).await;
        let Ok(Answer::Listed { claims, more }) = reply.outcome else { panic!("{:?}", reply.outcome) };
        found.extend(claims.iter().map(|claim| claim.hash));
        after = found.last().copied();
        if !more {
            break;
        }
    }
    assert_eq!(found, hashes);
}

#[tokio::test(start_paused = true)]
async fn expired_blob_is_gone_for_the_base_protocol_and_can_be_saved_by_the_extensions() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let hash = BlobHash::of(b"late");
    client.store(b"late").await;
    for _ in 0..11 * 24 {
        scene.clock.advance(Duration::from_secs(3600));
        scene.provider().store().tick().unwrap();
    }
    assert_eq!(client.ask(retrieve(hash)).await.error(), Some(ErrorCode::FileNotFound));
    assert_eq!(client.ask_numbered(retrieve(hash)).await.bytes(), b"late");
    let renew = Action::Renew { hashes: Hashes::One(hash), retention: None };
    client.ask_numbered(renew).await;
    assert_eq!(client.ask(retrieve(hash)).await.bytes(), b"late");
}

#[tokio::test(start_paused = true)]
async fn provider_is_announced_at_the_start_and_to_relays_that_come_back() {
    let scene = Scene::new().await;
    let filter =
        Filter::new().kind(Kind::from(crate::wire::ANNOUNCEMENT_KIND)).author(scene.keys.public_key());
    let announced = |hub: &Hub| hub.stored(&filter).first().map(|event| event.created_at);
    let event = scene.hub.stored(&filter).remove(0);
    let announcement = Announcement::parse(&event).unwrap();
    // It has no direct path, and so no cipher for it.
    let spoken = Extension::ALL.into_iter().filter(|extension| *extension != Extension::Aes);
    assert_eq!(announcement.extensions, spoken.collect());
    assert_eq!((announcement.retention, announcement.max_file_size), (10 * DAY, BLOB_LEN_MAX));
    let first = announced(&scene.hub);
    scene.hub.disconnect();
    scene.clock.advance(Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(10)).await;
    scene.hub.reconnect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(announced(&scene.hub) > first);
    let mut client = scene.client().await;
    assert!(client.store(b"back again").await.outcome.is_ok());
}

#[tokio::test(start_paused = true)]
async fn stop_finishes_what_was_begun() {
    let mut scene = Scene::new().await;
    let mut client = scene.client().await;
    let event = client.request(inline(&blob(100_000, 1)), None);
    client.publish(event).await;
    tokio::task::yield_now().await;
    scene.provider.take().unwrap().stop().await;
    scene.start().await;
    assert!(client.ask(retrieve(BlobHash::of(&blob(100_000, 1)))).await.outcome.is_ok());
}
