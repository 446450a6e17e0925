//! What is late is raced: uploads and downloads with one provider that freezes, on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nostr::Keys;
use rand::RngCore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::exchange::tests::model::{Manner, Model};
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::placement::{Candidate, Placement, Score};
use crate::client::upload::{Kept, Shards, Uploader};
use crate::client::{ClientError, Exchange, ExchangeOptions, Member, Roster, Standing, Unwatched};
use crate::env::{Env, ManualClock};
use crate::erasure::Scheme;
use crate::format::pack::EncodedPack;
use crate::format::{Coding, PackBuilder};
use crate::transport::memory::{Faults, Hub, MemoryCarrier};
use crate::types::{BlobHash, PackId, ShardIndex, Timestamp};

const STALL: Duration = Duration::from_secs(15);
/// What a frozen provider may add.
const ADDED_MAX: Duration = Duration::from_secs(1);

fn env() -> Env {
    Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1_790_000_000))))
}

/// Everything takes so long, and nothing is overtaken.
fn delayed(millis: u64) -> Faults {
    let delay = Duration::from_millis(millis);
    Faults { delay_permille: 1_000, delay: delay..delay, ..Faults::default() }
}

/// Providers, in the order in which they are preferred, and a client.
struct Scene {
    hub: Hub,
    /// A relay at which the first provider alone listens, if it has one of its own.
    own_hub: Option<Hub>,
    providers: Vec<Model>,
    exchange: Exchange,
}

impl Scene {
    async fn start(count: u8) -> Self {
        Self::build(count, None).await
    }

    async fn build(count: u8, own_hub: Option<Hub>) -> Self {
        let hub = Hub::new("relay", 1);
        let hubs = own_hub.iter().cloned().chain([hub.clone()]).collect();
        let options = ExchangeOptions { stall_timeout: STALL, ..ExchangeOptions::default() };
        let exchange = Exchange::new(Arc::new(MemoryCarrier::new(hubs)), options, env());
        let mut providers = Vec::new();
        for number in 1..=count {
            let home = own_hub.as_ref().filter(|_| number == 1).unwrap_or(&hub);
            let provider = Model::start(number, false, Manner::Good, home.carrier()).await;
            let keys = Keys::parse(&hex::encode([100 + number; 32])).unwrap();
            exchange.add_provider(provider.terms.clone(), keys).await.unwrap();
            exchange.probe(provider.id(), Duration::from_secs(9)).await.unwrap();
            providers.push(provider);
        }
        Self { hub, own_hub, providers, exchange }
    }

    fn uploader(&self, spread: usize) -> Uploader {
        let candidate = |(cost, provider): (u32, &Model)| Candidate {
            provider: provider.id(),
            standing: Standing::Known,
            score: Score { blame: 0, cost },
            operator: None,
            relays: BTreeSet::new(),
        };
        let placement = Placement::plan((0..).zip(&self.providers).map(candidate).collect(), spread).unwrap();
        Uploader::new(placement, Timestamp(0), self.exchange.clone(), Arc::new(Unwatched))
    }

    fn fetcher(&self) -> Fetcher {
        let mut roster = Roster::default();
        for provider in &self.providers {
            let member = Member {
                terms: provider.terms.clone(),
                latency: Duration::ZERO,
                standing: Standing::Known,
                score: Score::default(),
                operator: None,
            };
            roster.members.insert(provider.id(), member);
        }
        Fetcher::new(&roster, BTreeSet::new(), self.exchange.clone(), Arc::new(Unwatched))
    }

    fn freeze(&self, index: usize) {
        self.providers[index].state.lock().unwrap().manner = Manner::Silent;
    }

    /// How many shards each provider keeps for this client.
    fn claims(&self, index: usize) -> BTreeSet<BlobHash> {
        let state = self.providers[index].state.lock().unwrap();
        state.stored.iter().map(|(_, hash)| *hash).collect()
    }
}

fn pack(number: u64) -> EncodedPack {
    let mut rng = Env::seeded(number, Arc::new(ManualClock::new(Timestamp(1)))).rng();
    let mut builder = PackBuilder::new(Scheme::new(2, 3).unwrap());
    let mut sealed = vec![0; 200_000];
    rng.fill_bytes(&mut sealed);
    builder.push(&sealed, &mut rng);
    builder.close(&mut rng).unwrap().encode()
}

fn shards(encoded: &EncodedPack) -> Shards {
    let names = encoded.pack.coding.shards.iter().map(|shard| shard.hash);
    Shards { pack: encoded.pack.id, blobs: names.zip(encoded.shards.iter().cloned()).collect() }
}

/// Stores packs, all at once or one after another, while provider 0 freezes after `freeze_at`.
async fn store(
    scene: &Scene,
    count: u64,
    freeze_at: Option<Duration>,
    at_once: bool,
) -> (Vec<Kept>, Duration) {
    let (uploader, started) = (scene.uploader(3), Instant::now());
    let freezing = async {
        if let Some(at) = freeze_at {
            sleep(at).await;
            scene.freeze(0);
        }
    };
    let storing = async {
        let mut all = Vec::new();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (uploader, shards) = (uploader.clone(), shards(&pack(number)));
            tasks.spawn(async move { uploader.store(shards).await.unwrap() });
            if !at_once {
                all.extend(tasks.join_next().await.unwrap().unwrap());
            }
        }
        all.extend(tasks.join_all().await.into_iter().flatten());
        let took = started.elapsed();
        uploader.settle().await;
        (all, took)
    };
    tokio::join!(storing, freezing).0
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_freezes_at_any_point_delays_uploads_by_less_than_a_second() {
    for at_once in [true, false] {
        let scene = Scene::start(4).await;
        scene.hub.set_faults(delayed(5));
        let (_, base) = store(&scene, 8, None, at_once).await;
        for step in 0..12 {
            let scene = Scene::start(4).await;
            scene.hub.set_faults(delayed(5));
            let (kept, took) = store(&scene, 8, Some(base * step / 10), at_once).await;
            assert!(took < base + ADDED_MAX, "frozen at {step} of 10: {took:?} instead of {base:?}");
            let mut holders: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
            for shard in &kept {
                holders.entry(shard.hash).or_default().insert(shard.provider);
            }
            assert_eq!(
                (kept.len(), holders.len()),
                (24, 24),
                "every shard has one provider that is recorded"
            );
            for (index, provider) in scene.providers.iter().enumerate().skip(1) {
                let recorded = kept.iter().filter(|shard| shard.provider == provider.id());
                assert_eq!(scene.claims(index), recorded.map(|shard| shard.hash).collect());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_while_all_are_equally_slow() {
    for delay in [5, 100, 400, 900] {
        let scene = Scene::start(5).await;
        scene.hub.set_faults(delayed(delay));
        for provider in &scene.providers {
            scene.exchange.probe(provider.id(), Duration::from_secs(9)).await.unwrap();
        }
        let (kept, _) = store(&scene, 12, None, true).await;
        assert_eq!(kept.len(), 36);
        assert_eq!(scene.claims(3).len() + scene.claims(4).len(), 0, "{delay} ms: spares got nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_copy_that_came_too_late_is_deleted_again() {
    let own = Hub::new("distant", 1);
    let scene = Scene::build(4, Some(own)).await;
    scene.own_hub.as_ref().unwrap().set_faults(delayed(2_000));
    let uploader = scene.uploader(3);
    let started = Instant::now();
    for number in 0..4 {
        let kept = uploader.store(shards(&pack(number))).await.unwrap();
        assert!(kept.iter().all(|shard| shard.provider != scene.providers[0].id()));
    }
    assert!(started.elapsed() < ADDED_MAX, "{:?}", started.elapsed());
    let distant = &scene.providers[0].state;
    let was_there = async {
        while distant.lock().unwrap().stored.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), was_there).await.expect("the late copy arrives all the same");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(scene.claims(0).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_late_gets_little_until_it_has_done_better() {
    let scene = Scene::start(4).await;
    let uploader = scene.uploader(3);
    uploader.store(shards(&pack(0))).await.unwrap();
    scene.freeze(0);
    let mut slow = 0;
    for number in 1..100 {
        let started = Instant::now();
        uploader.store(shards(&pack(number))).await.unwrap();
        slow += u32::from(started.elapsed() > Duration::from_millis(10));
        sleep(Duration::from_millis(200)).await;
    }
    assert!((2..=4).contains(&slow), "{slow} of 100 packs tried a provider that is frozen");
    scene.providers[0].state.lock().unwrap().manner = Manner::Good;
    sleep(Duration::from_secs(60)).await;
    for number in 100..104 {
        uploader.store(shards(&pack(number))).await.unwrap();
    }
    assert!(scene.claims(0).len() >= 3, "who does better is used again");
}

#[tokio::test(start_paused = true)]
async fn without_a_spare_an_upload_ends_within_its_patience() {
    let scene = Scene::start(3).await;
    let uploader = scene.uploader(3);
    scene.freeze(1);
    let started = Instant::now();
    let Err(error) = uploader.store(shards(&pack(1))).await else { panic!("two of three are enough") };
    assert!(matches!(error, ClientError::SpreadNotReached { have: 2, wanted: 3, .. }), "{error}");
    assert!(started.elapsed() < STALL + ADDED_MAX * 2, "{:?}", started.elapsed());
    assert_eq!(scene.claims(0).len() + scene.claims(2).len(), 0, "nothing of it stays behind");
}

/// Packs that are stored, one shard at each of the first providers.
async fn stored(scene: &Scene, count: u64) -> Vec<(PackId, Coding, Vec<Holder>)> {
    let uploader = scene.uploader(3);
    let mut packs = Vec::new();
    for number in 0..count {
        let encoded = pack(number);
        let kept = uploader.store(shards(&encoded)).await.unwrap();
        let holders = kept.iter().map(|shard| (shard.shard, shard.provider)).collect();
        packs.push((encoded.pack.id, encoded.pack.coding, holders));
    }
    packs
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_freezes_at_any_point_delays_downloads_by_less_than_a_second() {
    for is_narrow in [false, true] {
        for step in 0..10 {
            let scene = Scene::start(3).await;
            let packs = stored(&scene, 8).await;
            scene.hub.set_faults(delayed(5));
            let (fetcher, started) = (scene.fetcher(), Instant::now());
            let fetching = async {
                for (id, coding, holders) in &packs {
                    let found = if is_narrow {
                        fetcher.some_shards(&[ShardIndex(0)].into(), *id, coding, holders).await
                    } else {
                        fetcher.shards(*id, coding, holders).await
                    };
                    assert!(!found.unwrap().is_empty());
                }
            };
            let freezing = async {
                sleep(Duration::from_millis(20 * step)).await;
                scene.freeze(0);
            };
            tokio::join!(fetching, freezing);
            // Eight packs one after another, each some ten deliveries.
            let base = Duration::from_millis(8 * 100);
            assert!(started.elapsed() < base + ADDED_MAX, "step {step}: {:?}", started.elapsed());
            assert!(fetcher.blemishes().is_empty(), "silence is no blemish");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_twice_while_all_are_equally_slow() {
    let scene = Scene::start(3).await;
    let packs = stored(&scene, 6).await;
    scene.hub.set_faults(delayed(400));
    for provider in &scene.providers {
        scene.exchange.probe(provider.id(), Duration::from_secs(9)).await.unwrap();
    }
    let before = scene.exchange.fetched_len();
    let fetcher = scene.fetcher();
    for (id, coding, holders) in &packs {
        fetcher.shards(*id, coding, holders).await.unwrap();
    }
    let each = u64::from(packs[0].1.shard_len());
    assert_eq!(scene.exchange.fetched_len() - before, 6 * 2 * each);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_wrong_is_a_blemish_of_who_promised_it() {
    let scene = Scene::start(3).await;
    let packs = stored(&scene, 1).await;
    let (id, coding, holders) = &packs[0];
    scene.providers[0].state.lock().unwrap().blobs.clear();
    scene.providers[1].state.lock().unwrap().manner = Manner::Corrupt;
    let fetcher = scene.fetcher();
    let Err(error) = fetcher.shards(*id, coding, holders).await else { panic!("one of two is enough") };
    assert!(matches!(error, ClientError::TooFewShards { have: 1, need: 2, .. }), "{error}");
    let mut found: Vec<_> =
        fetcher.blemishes().iter().map(|blemish| (blemish.provider, blemish.is_corrupt)).collect();
    found.sort();
    let mut expected = vec![(scene.providers[0].id(), false), (scene.providers[1].id(), true)];
    expected.sort();
    assert_eq!(found, expected);
}
