//! Chunks in a provider's name that it has not signed.

use nostr::EventId;

use super::*;
use crate::client::exchange::drive::{Drive, now};
use crate::client::exchange::switch::{Chunks, Delivery};
use crate::session::{FetchOptions, FetchSession, Pace, Try};
use crate::transport::Incoming;
use crate::types::{ChunkIndex, ChunkLen, ClientId};
use crate::wire::{Chunk, Direction, Status, StatusKind};

/// A request that is under way.
const REQUEST: [u8; 32] = [9; 32];

/// The first of two chunks of a blob, and the same with other bytes.
fn true_and_forged(hash: BlobHash) -> [nostr::Event; 2] {
    let direction =
        Direction { request: EventId::from_byte_array(REQUEST), requester: ClientId::new([1; 32]) };
    let chunk = Chunk {
        hash,
        index: ChunkIndex(0),
        total: 2,
        chunk_hash: [0; 32],
        expiration: None,
        direction: Some(direction),
        data: blob(32_768, 1),
    };
    let event = chunk.to_draft().sign(&keys(), NOW);
    let mut forged = event.clone();
    forged.content.replace_range(..4, if event.content.starts_with("AAAA") { "BBBB" } else { "AAAA" });
    [event, forged]
}

/// Those of [`Model::start`] with seed 1.
fn keys() -> Keys {
    Keys::parse(&"01".repeat(32)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn forged_chunk_does_not_say_that_a_provider_is_there() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Silent, hub.carrier()).await;
    let link = exchange(&hub, &[&provider]).await.link(provider.id()).unwrap();
    let mut line = link.switch.line(Chunks::Named, 8);
    line.expect(EventId::from_byte_array(REQUEST), Try(0));
    assert!(link.hush_unless_heard(now()));
    let [genuine, forged] = true_and_forged(BlobHash::new([2; 32]));
    for (event, is_quiet) in [(forged, true), (genuine, false)] {
        link.take(Incoming { event, relay: hub.url() });
        assert_eq!(link.is_quiet(), is_quiet);
        assert!(line.inbox.try_recv().is_ok(), "the conversation judges for itself");
    }
}

#[tokio::test(start_paused = true)]
async fn chunk_does_not_say_that_the_way_is_a_good_one_and_counts_only_where_it_is_wanted() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Silent, hub.carrier()).await;
    let link = exchange(&hub, &[&provider]).await.link(provider.id()).unwrap();
    let (hash, to) = (BlobHash::new([2; 32]), Some(Try(0)));
    let options = FetchOptions {
        chunk_count: Some(2),
        chunk_len: ChunkLen::BASE,
        window: 2,
        takes_ranges: true,
        wants_promise: true,
    };
    let mut session = &mut FetchSession::new(hash, options, Pace::default(), 1, now());
    let counted = std::sync::atomic::AtomicU64::new(0);
    let count = || counted.load(std::sync::atomic::Ordering::Relaxed);
    let mut drive = Drive::new(&link, link.switch.line(Chunks::Named, 2), hash).metered(Some(&counted));
    let [genuine, forged] = true_and_forged(hash);
    drive.take(Delivery { event: forged, to }, &mut session);
    assert_eq!((session.have_count(), count()), (0, 0));
    drive.take(Delivery { event: genuine, to }, &mut session);
    assert!(session.have_count() == 1 && count() > 43_000, "{}", count());
    assert!(!drive.is_heard);
    let request = EventId::from_byte_array(REQUEST);
    let (requester, kind) = (ClientId::new([1; 32]), StatusKind::Processing);
    let status = Status { request, requester, number: None, kind, text: String::new() };
    drive.take(Delivery { event: status.to_draft().sign(&keys(), NOW), to }, &mut session);
    assert!(drive.is_heard);
}
