//! The exchange against providers in memory, over a relay in memory, on virtual time.

mod audit;
mod crowd;
mod forged;
pub(in crate::client) mod model;

use std::sync::Arc;
use std::time::Duration;

use nostr::Keys;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::exchange::{Exchange, ExchangeError, ExchangeOptions, StoreOptions};
use crate::client::{Directory, ProviderTerms};
use crate::env::{Env, ManualClock};
use crate::transport::Route;
use crate::transport::memory::{Faults, Hub};
use crate::types::limits::BLOB_LEN_MAX;
use crate::types::{BlobHash, ProviderId, Timestamp};
use crate::vault::Deed;
use crate::wire::{Announcement, ErrorCode, Extension, REQUEST_KIND};

use model::{LENGTHS, Manner, Model, PATIENCE, blob};

const NOW: Timestamp = Timestamp(1_790_000_000);

fn env(seed: u64) -> Env {
    Env::seeded(seed, Arc::new(ManualClock::new(NOW)))
}

async fn exchange(hub: &Hub, providers: &[&Model]) -> Exchange {
    let exchange = Exchange::new(hub.carrier(), ExchangeOptions::default(), env(1));
    for (number, provider) in (100..).zip(providers) {
        let keys = Keys::parse(&hex::encode([number; 32])).unwrap();
        exchange.add_provider(provider.terms.clone(), keys).await.unwrap();
    }
    exchange
}

#[tokio::test(start_paused = true)]
async fn blobs_of_every_length_go_to_a_provider_and_come_back() {
    for is_plain in [false, true] {
        let hub = Hub::new("relay", 1);
        let provider = Model::start(1, is_plain, Manner::Good, hub.carrier()).await;
        let exchange = exchange(&hub, &[&provider]).await;
        for len in LENGTHS {
            let blob = blob(len, len);
            let receipt = exchange.store(provider.id(), blob.clone(), StoreOptions::default()).await.unwrap();
            assert_eq!((receipt.hash, receipt.size), (BlobHash::of(&blob), len));
            for hint in [None, Some(len)] {
                assert_eq!(exchange.fetch(provider.id(), receipt.hash, hint).await.unwrap(), blob, "{len}");
            }
        }
        let total: u64 = LENGTHS.iter().sum();
        assert_eq!((exchange.stored_len(), exchange.fetched_len()), (total, total * 2));
    }
}

#[tokio::test(start_paused = true)]
async fn many_blobs_at_once_survive_a_relay_that_loses_repeats_and_reorders() {
    for (seed, is_plain) in [(1, false), (2, false), (3, true)] {
        let hub = Hub::new("relay", seed);
        let one = Model::start(1, is_plain, Manner::Good, hub.carrier()).await;
        let other = Model::start(2, is_plain, Manner::Good, hub.carrier()).await;
        let exchange = exchange(&hub, &[&one, &other]).await;
        let delay = Duration::from_millis(1)..Duration::from_millis(400);
        let loss = if is_plain { 10 } else { 60 };
        let (drop_permille, repeat_permille, delay_permille) = (loss, 50, 100);
        hub.set_faults(Faults { drop_permille, repeat_permille, delay_permille, delay, ..Faults::default() });
        let mut tasks = JoinSet::new();
        for number in 0..30 {
            let exchange = exchange.clone();
            let provider = if number % 2 == 0 { one.id() } else { other.id() };
            tasks.spawn(async move {
                let blob = blob(20_000 * (number % 15 + 1), number);
                let receipt = exchange.store(provider, blob.clone(), StoreOptions::default()).await?;
                assert_eq!(exchange.fetch(provider, receipt.hash, Some(receipt.size)).await?, blob);
                Ok::<_, ExchangeError>(())
            });
        }
        for outcome in timeout(PATIENCE, tasks.join_all()).await.expect("no hang") {
            outcome.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_fetches_of_one_blob_do_not_mix_providers() {
    for is_plain in [false, true] {
        let hub = Hub::new("relay", 1);
        let good = Model::start(1, is_plain, Manner::Good, hub.carrier()).await;
        let corrupt = Model::start(2, is_plain, Manner::Corrupt, hub.carrier()).await;
        let exchange = exchange(&hub, &[&good, &corrupt]).await;
        let blob = blob(200_000, 1);
        let hash = BlobHash::of(&blob);
        for provider in [&good, &corrupt] {
            exchange.store(provider.id(), blob.clone(), StoreOptions::default()).await.unwrap();
        }
        let fetch = |provider: &Model| {
            let (exchange, id) = (exchange.clone(), provider.id());
            tokio::spawn(async move { exchange.fetch(id, hash, None).await })
        };
        let fetches = [fetch(&good), fetch(&corrupt), fetch(&good), fetch(&corrupt)];
        for (number, fetch) in fetches.into_iter().enumerate() {
            match fetch.await.unwrap() {
                Ok(bytes) => assert!(number % 2 == 0 && bytes == blob),
                Err(ExchangeError::Corrupt { provider, .. }) => {
                    assert!(number % 2 == 1 && provider == corrupt.id());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silent_provider_is_given_up_after_the_stall_timeout() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Silent, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    let started = Instant::now();
    let refusal = exchange.store(provider.id(), blob(100_000, 1), StoreOptions::default()).await.unwrap_err();
    assert!(matches!(refusal, ExchangeError::Silent { .. }) && refusal.is_retryable());
    assert!(started.elapsed() < Duration::from_secs(31));
    let started = Instant::now();
    assert!(exchange.probe(provider.id(), Duration::from_secs(2)).await.is_err());
    assert!(started.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn refusals_and_lies_are_told_apart() {
    let hub = Hub::new("relay", 1);
    let full = Model::start(1, false, Manner::Full, hub.carrier()).await;
    let liar = Model::start(2, false, Manner::Liar, hub.carrier()).await;
    let exchange = exchange(&hub, &[&full, &liar]).await;
    for len in [10, 100_000] {
        let error = exchange.store(full.id(), blob(len, 1), StoreOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::StorageFull));
        let error = exchange.store(liar.id(), blob(len, 1), StoreOptions::default()).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Corrupt { .. }), "{error}");
    }
    let missing = exchange.fetch(full.id(), BlobHash::new([5; 32]), None).await.unwrap_err();
    assert_eq!(missing.code(), Some(&ErrorCode::FileNotFound));
    assert!(exchange.probe(full.id(), Duration::from_secs(5)).await.is_ok());
    let unknown = exchange.fetch(ProviderId::new([9; 32]), BlobHash::new([5; 32]), None).await;
    assert!(matches!(unknown, Err(ExchangeError::Unknown { .. })));
}

#[tokio::test(start_paused = true)]
async fn plain_provider_behind_relays_of_small_events_is_told_from_one_that_is_gone() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, true, Manner::Good, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    hub.set_faults(Faults {
        drop_if: Some(Arc::new(|event| event.kind.as_u16() == REQUEST_KIND && event.content.len() > 65_536)),
        ..Faults::default()
    });
    let error = exchange.store(provider.id(), blob(500_000, 1), StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, ExchangeError::NotCarried { event_len: 660_000..700_000, .. }), "{error}");
    assert!(exchange.store(provider.id(), blob(20_000, 1), StoreOptions::default()).await.is_ok());
    provider.state.lock().unwrap().manner = Manner::Silent;
    let error = exchange.store(provider.id(), blob(500_000, 1), StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Silent { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn batches_of_any_size_are_answered_in_order() {
    for is_plain in [false, true] {
        let hub = Hub::new("relay", 1);
        let provider = Model::start(1, is_plain, Manner::Good, hub.carrier()).await;
        let exchange = exchange(&hub, &[&provider]).await;
        let id = provider.id();
        let mut hashes = Vec::new();
        for number in 0..10 {
            hashes.push(
                exchange.store(id, blob(100 + number, number), StoreOptions::default()).await.unwrap().hash,
            );
        }
        hashes.extend(
            (0..if is_plain { 5 } else { 1_100 }).map(|number: u32| BlobHash::of(&number.to_le_bytes())),
        );
        let items = exchange.stat(id, &hashes).await.unwrap();
        let found: Vec<u64> = items.iter().flatten().map(|promise| promise.size).collect();
        assert_eq!((items.len(), found), (hashes.len(), (100..110).collect()));
        assert!(exchange.stat(id, &[]).await.unwrap().is_empty());
        let deleted = exchange.delete(id, &hashes[5..12]).await.unwrap();
        assert_eq!(deleted, [true, true, true, true, true, false, false]);
        if is_plain {
            let unsupported = exchange.renew(id, &hashes, None).await;
            assert!(matches!(unsupported, Err(ExchangeError::Unsupported { extension: "renew", .. })));
            assert!(matches!(
                exchange.list(id, 10).await,
                Err(ExchangeError::Unsupported { extension: "list", .. })
            ));
        } else {
            assert!(exchange.renew(id, &hashes[..5], None).await.unwrap().iter().all(Option::is_some));
            let mut listed: Vec<_> =
                exchange.list(id, 10).await.unwrap().iter().map(|claim| claim.hash).collect();
            listed.sort();
            hashes.truncate(5);
            hashes.sort();
            assert_eq!(listed, hashes);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn exchange_without_a_relay_says_so_and_recovers_with_it() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Good, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    hub.disconnect();
    let error = exchange.store(provider.id(), blob(10, 1), StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Transport(_)), "{error}");
    let store = exchange.store(provider.id(), blob(10, 1), StoreOptions::default());
    let (outcome, ()) = tokio::join!(store, async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        hub.reconnect();
    });
    outcome.unwrap();
}

#[tokio::test(start_paused = true)]
async fn flood_of_answers_from_a_provider_does_not_keep_a_conversation_alive() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Good, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    let hash = exchange.store(provider.id(), blob(100_000, 1), StoreOptions::default()).await.unwrap().hash;
    // Chunk 0 arrives again and again, the others never do.
    let is_other = |event: &nostr::Event| {
        event.kind.as_u16() == 24_212 && crate::wire::tags::value(event, "chunk_index") != Some("0")
    };
    hub.set_faults(Faults { drop_if: Some(Arc::new(is_other)), ..Faults::default() });
    let started = Instant::now();
    let error = exchange.fetch(provider.id(), hash, None).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Silent { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn list_without_an_end_is_cut_and_one_that_goes_round_is_a_lie() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Endless, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    assert_eq!(exchange.list(provider.id(), 100).await.unwrap().len(), 100);
    // After the last hash that begins with ff it names the same one again.
    let error = exchange.list(provider.id(), usize::MAX).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Corrupt { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn directory_takes_each_providers_newest_announcement() {
    let hub = Hub::new("relay", 1);
    let carrier = hub.carrier();
    let keys = Keys::parse(&hex::encode([1; 32])).unwrap();
    let id = ProviderId::new(keys.public_key().to_bytes());
    for (name, at) in [("old", 1), ("new", 2)] {
        let terms = ProviderTerms::base(id);
        let announcement = Announcement {
            name: name.into(),
            about: String::new(),
            max_file_size: BLOB_LEN_MAX,
            chunk_size: terms.chunk_size,
            chunk_len_max: terms.chunk_len_max,
            retention: terms.retention,
            extensions: [Extension::Directed].into(),
            documentation: String::new(),
            relays: Vec::new(),
            endpoints: Vec::new(),
        };
        carrier.publish(announcement.to_draft().sign(&keys, Timestamp(at)), Route::All).await.unwrap();
    }
    let deadline = Duration::from_secs(1);
    for directory in
        [Directory::discover(&*carrier, deadline).await, Directory::by_ids(&*carrier, &[id], deadline).await]
    {
        assert_eq!((directory.providers[&id].name.as_str(), directory.answered.len()), ("new", 1));
        assert!(directory.providers[&id].speaks(Extension::Directed));
    }
    let nobody = Directory::by_ids(&*carrier, &[ProviderId::new([7; 32])], deadline).await;
    assert!(nobody.providers.is_empty() && nobody.answered.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn conduct_of_every_kind_is_counted_once() {
    let hub = Hub::new("relay", 1);
    let good = Model::start(1, false, Manner::Good, hub.carrier()).await;
    let full = Model::start(2, false, Manner::Full, hub.carrier()).await;
    let silent = Model::start(3, false, Manner::Silent, hub.carrier()).await;
    let liar = Model::start(4, true, Manner::Liar, hub.carrier()).await;
    let exchange = exchange(&hub, &[&good, &full, &silent, &liar]).await;
    let blob = blob(100_000, 1);
    for provider in [&good, &full, &silent, &liar] {
        let _ = exchange.store(provider.id(), blob.clone(), StoreOptions::default()).await;
    }
    let hash = BlobHash::of(&blob);
    exchange.fetch(good.id(), hash, None).await.unwrap();
    exchange.stat(good.id(), &[hash]).await.unwrap();
    exchange.probe(full.id(), Duration::from_secs(2)).await.unwrap();
    assert!(exchange.fetch(full.id(), hash, None).await.is_err());
    exchange.note(good.id(), Deed::Lost);
    exchange.note(ProviderId::new([9; 32]), Deed::Lost);
    let records = exchange.take_records();
    let of = |provider: &Model| records[&provider.id()];
    assert_eq!(records.len(), 4, "a provider that was not added has no record");
    assert_eq!((of(&good).answered, of(&good).stored_bytes, of(&good).fetched_bytes), (3, 100_000, 100_000));
    assert_eq!((of(&good).lost, of(&good).throughput.is_some()), (1, true));
    assert_eq!((of(&full).answered, of(&full).refused), (2, 1), "a blob that nobody promised may be missing");
    assert_eq!((of(&silent).answered, of(&silent).silent), (0, 1));
    assert_eq!((of(&liar).answered, of(&liar).corrupt), (0, 1));
    assert!(exchange.take_records().is_empty(), "a deed is written down once");
}

#[tokio::test(start_paused = true)]
async fn what_connections_take_says_nothing_about_relays() {
    let hub = Hub::new("relay", 1);
    let provider = Model::start(1, false, Manner::Good, hub.carrier()).await;
    let exchange = exchange(&hub, &[&provider]).await;
    let link = exchange.link(provider.id()).unwrap();
    link.learn_latency(Duration::from_secs(1));
    for _ in 0..100 {
        link.learn_direct_latency(Duration::from_millis(1));
    }
    assert_eq!(link.pace(100).retry_first, Duration::from_secs(4));
    assert_eq!(link.latency(), Some(Duration::from_secs(1)), "there is no connection");
}
