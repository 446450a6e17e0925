//! Chunks that are longer than the base protocol's: only where the relays pass them, as was measured and is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobdvm::client::{
    CarrierChoice, Client, Destination, Directory, Exchange, ExchangeOptions, GetOptions, PutOptions,
    StoreOptions, Unwatched,
};
use blobdvm::env::{Env, ManualClock};
use blobdvm::erasure::Scheme;
use blobdvm::provider::ProviderOptions;
use blobdvm::relay::{Relay, RelayOptions};
use blobdvm::testing::{DiskKind, Net, NetOptions, RelayKind};
use blobdvm::transport::memory::Faults;
use blobdvm::types::{ChunkLen, ProviderId, Timestamp};
use blobdvm::vault::{Home, Passage};
use bytes::Bytes;
use nostr::{Keys, RelayUrl};
use tokio::task::JoinSet;

const KIB: u64 = 1024;
const WAIT: Duration = Duration::from_secs(20);
const NOW: Timestamp = Timestamp(1_800_000_000);
/// What 64 KiB become in an event, and something.
const CONTENT_OF_64_KIB: usize = 90_000;

fn noise(len: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// Providers and hubs on virtual time, and what the hubs saw.
struct Scene {
    net: Net,
    env: Env,
    /// Length of the longest content that was published.
    longest: Arc<Mutex<usize>>,
}

impl Scene {
    async fn new(relay_count: usize, provider: ProviderOptions) -> Self {
        let env = Env::seeded(1, Arc::new(ManualClock::new(NOW)));
        let (provider_count, relay_kind, disks) = (1, RelayKind::Memory(1), DiskKind::Memory);
        let env_of_net = env.clone();
        let options = NetOptions {
            provider_count,
            relay_count,
            relay_kind,
            disks,
            provider,
            env: env_of_net,
            ..NetOptions::default()
        };
        let scene = Self { net: Net::start(options).await, env, longest: Arc::default() };
        (0..relay_count).for_each(|relay| scene.limit(relay, usize::MAX));
        scene
    }

    /// From now on the relay loses events with longer content.
    fn limit(&self, relay: usize, content_len_max: usize) {
        let longest = self.longest.clone();
        let drop_if = move |event: &nostr::Event| {
            let mut longest = longest.lock().unwrap();
            *longest = event.content.len().max(*longest);
            event.content.len() > content_len_max
        };
        let hub = self.net.hub(relay).unwrap();
        hub.set_faults(Faults { drop_if: Some(Arc::new(drop_if)), ..Faults::default() });
    }

    async fn exchange(&self, chunk_len_max: ChunkLen) -> (Exchange, ProviderId) {
        let carrier = self.net.carrier().await;
        let options = ExchangeOptions { chunk_len_max, ..ExchangeOptions::default() };
        let found = Directory::discover(&*carrier, Duration::from_secs(1)).await;
        let exchange = Exchange::new(carrier, options, self.env.clone());
        let (id, terms) = found.providers.into_iter().next().unwrap();
        exchange.add_provider(terms, Keys::generate()).await.unwrap();
        (exchange, id)
    }

    /// Moves a megabyte, so that it is worth measuring, and waits until that is done.
    async fn warm_up(&self, exchange: &Exchange, provider: ProviderId) {
        round_trip(exchange, provider, 0).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    fn passage(&self, relay: usize, len: u64) -> (RelayUrl, Passage) {
        (self.net.relay_urls()[relay].clone(), Passage { chunk_len: len, at: NOW, is_lossy: false })
    }

    fn take_longest(&self) -> usize {
        std::mem::take(&mut *self.longest.lock().unwrap())
    }
}

async fn round_trip(exchange: &Exchange, provider: ProviderId, seed: u64) {
    let blob = noise(524_288, seed * 1000 + 1);
    let receipt = exchange.store(provider, blob.clone(), StoreOptions::default()).await.unwrap();
    assert_eq!(exchange.fetch(provider, receipt.hash, Some(524_288)).await.unwrap(), blob);
    assert_eq!(exchange.fetch(provider, receipt.hash, None).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn relay_is_measured_and_then_chunks_are_as_long_as_it_passes() {
    for (content_len_max, longest) in
        [(usize::MAX, 512), (512_000, 256), (200_000, 128), (102_400, 64), (65_536, 32)]
    {
        let scene = Scene::new(1, ProviderOptions::default()).await;
        scene.limit(0, content_len_max);
        let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
        scene.warm_up(&exchange, provider).await;
        let relay = scene.net.relay_urls()[0].clone();
        let measured = exchange.take_passages();
        let expected = Passage { chunk_len: longest * KIB, at: NOW, is_lossy: false };
        assert_eq!(measured, BTreeMap::from([(relay, expected)]));
        assert!(exchange.take_passages().is_empty(), "each answer once");
        scene.take_longest();
        round_trip(&exchange, provider, 9).await;
        let content_len = usize::try_from(longest * KIB).unwrap().div_ceil(3) * 4;
        assert_eq!(scene.take_longest(), content_len, "{longest} KiB");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_where_no_longer_chunks_could_be_used_or_little_is_moved() {
    let no_larger = ProviderOptions { chunk_len_max: ChunkLen::BASE, ..ProviderOptions::default() };
    for (provider, wanted) in [(no_larger, ChunkLen::MAX), (ProviderOptions::default(), ChunkLen::BASE)] {
        let scene = Scene::new(1, provider).await;
        let (exchange, provider) = scene.exchange(wanted).await;
        scene.warm_up(&exchange, provider).await;
        assert!(exchange.take_passages().is_empty());
        assert!(scene.take_longest() < 65_536);
    }
    let scene = Scene::new(1, ProviderOptions::default()).await;
    let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
    exchange.store(provider, noise(524_288, 1), StoreOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(exchange.take_passages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_measured_and_the_smallest_of_the_relays_counts() {
    for (lens, longest) in [([512, 512], 512), ([512, 64], 64), ([128, 256], 128)] {
        let scene = Scene::new(2, ProviderOptions::default()).await;
        let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
        let known = [scene.passage(0, lens[0] * KIB), scene.passage(1, lens[1] * KIB)];
        exchange.learn_passages(known.into());
        scene.warm_up(&exchange, provider).await;
        let content_len = usize::try_from(longest * KIB).unwrap().div_ceil(3) * 4;
        assert_eq!(scene.take_longest(), content_len, "{lens:?}");
        assert!(exchange.take_passages().is_empty());
    }
    let scene = Scene::new(2, ProviderOptions::default()).await;
    let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
    exchange.learn_passages([scene.passage(0, 512 * KIB)].into());
    exchange.store(provider, noise(524_288, 1), StoreOptions::default()).await.unwrap();
    assert!(scene.take_longest() < 65_536, "one of two is not known");
}

#[tokio::test(start_paused = true)]
async fn no_longer_chunks_are_asked_for_than_the_provider_announces() {
    let chunk_len_max = ChunkLen::new(128 * KIB).unwrap();
    let scene = Scene::new(1, ProviderOptions { chunk_len_max, ..ProviderOptions::default() }).await;
    let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
    exchange.learn_passages([scene.passage(0, 512 * KIB)].into());
    round_trip(&exchange, provider, 1).await;
    assert_eq!(scene.take_longest(), (128 * 1024_usize).div_ceil(3) * 4);
}

#[tokio::test(start_paused = true)]
async fn relay_that_loses_long_chunks_after_all_gets_short_ones_and_that_is_remembered() {
    let scene = Scene::new(1, ProviderOptions::default()).await;
    scene.limit(0, CONTENT_OF_64_KIB);
    let (exchange, provider) = scene.exchange(ChunkLen::MAX).await;
    for is_put in [true, false] {
        exchange.learn_passages([scene.passage(0, 512 * KIB)].into());
        let blob = noise(524_288, 7);
        if is_put {
            exchange.store(provider, blob.clone(), StoreOptions::default()).await.unwrap();
        } else {
            let hash = blobdvm::types::BlobHash::of(&blob);
            assert_eq!(exchange.fetch(provider, hash, Some(524_288)).await.unwrap(), blob);
        }
        let relay = scene.net.relay_urls()[0].clone();
        let lost = Passage { chunk_len: 32 * KIB, at: NOW, is_lossy: true };
        assert_eq!(exchange.take_passages(), BTreeMap::from([(relay, lost)]));
        scene.take_longest();
        round_trip(&exchange, provider, 8).await;
        assert!(scene.take_longest() < 65_536);
    }
}

/// A vault of its own folder that puts and gets over a real relay.
async fn client(net: &Net, env: &Env) -> Client {
    let home = net.home_dir("home");
    let vault = Home::open(&home, env).or_else(|_none| Home::init_fresh(&home, env)).unwrap();
    let client = Client::new(vault, net.carrier().await, Arc::new(Unwatched), WAIT, env.clone());
    client.going(CarrierChoice::Relay, ChunkLen::MAX)
}

/// Puts and gets back so many megabytes in a run of its own; how many events the relay took for each.
async fn put_and_get(net: &Net, env: &Env, seed: u64, published: impl Fn() -> u64) -> (u64, u64) {
    let name = format!("file-{seed}");
    let (source, out) = (net.path().join(&name), net.path().join(format!("out-{seed}")));
    fs::write(&source, noise(8 << 20, seed)).unwrap();
    let mut client = client(net, env).await;
    let (providers, host) = (BTreeSet::new(), String::new());
    let options = PutOptions {
        providers,
        name: Some(name.clone()),
        host,
        ..PutOptions::new(Scheme::new(2, 3).unwrap())
    };
    let before = published();
    client.put(std::slice::from_ref(&source), &options).await.unwrap();
    let between = published();
    let snapshot = client.vault.latest_snapshot(&name).unwrap().unwrap();
    client.get(&snapshot, &GetOptions::all_to(Destination::Path(out.clone()))).await.unwrap();
    assert!(fs::read(&out).unwrap() == fs::read(&source).unwrap());
    (between - before, published() - between)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_relay_is_measured_in_one_run_and_carries_long_chunks_in_the_next() {
    let env = Env::system();
    let net = Net::start(NetOptions::default()).await;
    let monitor = net.relay_monitor(0).unwrap();
    put_and_get(&net, &env, 1, || monitor.counts().published).await;
    let known = client(&net, &env).await.vault.settings().passages.clone();
    assert_eq!(known.values().map(|passage| passage.chunk_len).collect::<Vec<_>>(), [512 * KIB]);
    let (put, get) = put_and_get(&net, &env, 2, || monitor.counts().published).await;
    assert!(put < 200, "{put} events: 12 MiB in chunks of 32 KiB are 384 alone");
    assert!(get < 150, "{get} events: 8 MiB in chunks of 32 KiB are 256 alone");
    assert_eq!(client(&net, &env).await.vault.settings().passages, known, "it was not measured again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_that_closes_the_connection_over_64_kib_gets_short_chunks_and_that_is_remembered() {
    let listen = ([127, 0, 0, 1], 0).into();
    let options = RelayOptions { listen, message_len_max: 65_536, ..RelayOptions::default() };
    let relay = Relay::bind(options).await.unwrap();
    let (url, monitor, mut tasks) = (relay.url(), relay.monitor(), JoinSet::new());
    tasks.spawn(relay.run_until(std::future::pending()));
    let relay_kind = RelayKind::Elsewhere(url.clone());
    let net = Net::start(NetOptions { relay_kind, provider_count: 3, ..NetOptions::default() }).await;
    let env = Env::system();
    let (put, get) = put_and_get(&net, &env, 1, || monitor.counts().published).await;
    assert!(put > 384 && get > 256, "{put} {get}");

    let carrier = net.carrier().await;
    let options = ExchangeOptions { chunk_len_max: ChunkLen::MAX, ..ExchangeOptions::default() };
    let exchange = Exchange::new(carrier.clone(), options, env.clone());
    let (provider, terms) = Directory::discover(&*carrier, WAIT).await.providers.pop_first().unwrap();
    exchange.add_provider(terms, Keys::generate()).await.unwrap();
    let measured = tokio::time::timeout(WAIT, async {
        for seed in 0.. {
            round_trip(&exchange, provider, seed).await;
            if let Some(passage) = exchange.take_passages().remove(&url) {
                return passage;
            }
        }
        unreachable!("seeds are many")
    });
    let passage = measured.await.expect("it is measured");
    assert_eq!((passage.chunk_len, passage.is_lossy), (32 * KIB, false));
    assert_eq!(carrier.connected(), [url], "the connection of the transfers was left alone");
    round_trip(&exchange, provider, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_that_has_begun_to_close_the_connection_over_long_events_gets_short_chunks() {
    let listen = ([127, 0, 0, 1], 0).into();
    let options = RelayOptions { listen, message_len_max: 65_536, ..RelayOptions::default() };
    let relay = Relay::bind(options).await.unwrap();
    let (url, mut tasks) = (relay.url(), JoinSet::new());
    tasks.spawn(relay.run_until(std::future::pending()));
    let relay_kind = RelayKind::Elsewhere(url.clone());
    let net = Net::start(NetOptions { relay_kind, provider_count: 1, ..NetOptions::default() }).await;
    let (env, carrier) = (Env::system(), net.carrier().await);
    let options =
        ExchangeOptions { chunk_len_max: ChunkLen::MAX, stall_timeout: WAIT, ..ExchangeOptions::default() };
    let exchange = Exchange::new(carrier.clone(), options, env.clone());
    let measured_before = Passage { chunk_len: 512 * KIB, at: env.now(), is_lossy: false };
    exchange.learn_passages(BTreeMap::from([(url.clone(), measured_before)]));
    let (provider, terms) = Directory::discover(&*carrier, WAIT).await.providers.pop_first().unwrap();
    exchange.add_provider(terms, Keys::generate()).await.unwrap();
    round_trip(&exchange, provider, 1).await;
    let found_out = exchange.take_passages()[&url];
    assert!(found_out.chunk_len < 64 * KIB, "{found_out:?}");
}
