//! After a flood of hostile events, provider and relay are as large as before it, and serve.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::mob::{Attack, Mob};
use crate::raw::{Client, Failure, Proxy, Rule, sha256_hex};
use crate::support::{World, noise};

/// Hostile events, unless `BLOBDVM_HOSTILE_EVENTS` says otherwise. An unoptimised program takes longer for each.
const EVENTS: usize = if cfg!(debug_assertions) { 25_000 } else { 100_000 };
/// Connections over which they come.
const CONNECTIONS: usize = 4;
/// Attacks that stay on one connection, in order.
const ROUND: usize = 16;
/// Resident memory may grow by so much.
const GROWTH_KIB_MAX: u64 = 10 * 1024;
/// What was only under way is given back within so long, and by the allocator (its decay time is 10 s).
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// When a client asks again that hears nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it takes at most until it is served.
const SERVED_MAX: Duration = Duration::from_secs(60);
/// How long everything together may take for one event.
const TIME_PER_EVENT: Duration = Duration::from_millis(5);

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

/// A connection that does not listen, and comes back when it is thrown out.
struct Hose {
    url: String,
    sink: Sink,
    readers: JoinSet<()>,
}

impl Hose {
    async fn open(url: &str) -> Self {
        let mut readers = JoinSet::new();
        let sink = Self::connect(url, &mut readers).await;
        Self { url: url.to_owned(), sink, readers }
    }

    async fn connect(url: &str, readers: &mut JoinSet<()>) -> Sink {
        let (stream, _) =
            connect_async_with_config(url, None, true).await.expect("the relay takes everybody");
        let (sink, mut source) = stream.split();
        readers.spawn(async move { while let Some(Ok(_)) = source.next().await {} });
        sink
    }

    async fn send(&mut self, text: String) {
        if self.sink.send(Message::text(text)).await.is_err() {
            self.readers.abort_all();
            self.sink = Self::connect(&self.url, &mut self.readers).await;
        }
    }
}

/// Sends the attacks of these numbers, and a few messages that are larger than any relay takes.
async fn attack(mob: &Arc<Mob>, relay: &str, proxy: &Arc<Proxy>, numbers: std::ops::Range<usize>) {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (mob, proxy, numbers) = (Arc::clone(mob), Arc::clone(proxy), numbers.clone());
        let mut hose = Hose::open(relay).await;
        tasks.spawn(async move {
            for number in numbers.filter(|number| number / ROUND % CONNECTIONS == connection) {
                match mob.attack(number) {
                    Attack::Published(message) => hose.send(message).await,
                    Attack::SlippedIn(event) => {
                        while proxy.backlog() > 256 {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        proxy.slip_in(event);
                    }
                }
            }
            hose.send(mob.giant()).await;
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.expect("the attacker is well");
    }
}

/// An honest client is served, whatever else goes on.
async fn assert_serves(world: &World, known: &[String]) {
    let mut client = Client::connect(&world.relay, &world.providers[0].id).await;
    for hash in known {
        until_answered(async || client.retrieve(hash).await).await;
    }
    let file = noise(200_000, 77);
    until_answered(async || client.store(&file).await).await;
    assert_eq!(until_answered(async || client.retrieve(&sha256_hex(&file)).await).await, file);
    until_answered(async || client.delete(&sha256_hex(&file)).await).await;
}

/// Asks as docs/protocol.md wants it: while the provider is busy, or nothing is heard, again and as a new event. What
/// arrives in the middle of a flood finds no place, and no place for a word about it either.
async fn until_answered<T>(mut ask: impl AsyncFnMut() -> Result<T, Failure>) -> T {
    let end = Instant::now() + SERVED_MAX;
    while Instant::now() < end {
        match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(failure)) if failure.code == "BUSY" => tokio::time::sleep(Duration::from_secs(1)).await,
            Ok(Err(failure)) => panic!("{failure:?}"),
            Err(_) => {}
        }
    }
    panic!("nobody is served for {SERVED_MAX:?}");
}

/// Names of the relay and the provider, with their resident memory in KiB (`VmRSS` in proc(5)).
fn memory(world: &World) -> Vec<(String, u64)> {
    let resident = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    world.servers().into_iter().map(|(name, pid)| (name, resident(pid))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_hostile_events_leaves_memory_and_service_as_they_were() {
    let count =
        std::env::var("BLOBDVM_HOSTILE_EVENTS").map_or(EVENTS, |text| text.parse().expect("a number"));
    let start = Instant::now();
    let mut world = World::start(0);
    let relay = world.relay.clone();
    let proxy = Arc::new(Proxy::start(&relay, Rule::Pass).await);
    world.relay.clone_from(&proxy.url);
    world.add_provider(&[]);
    world.relay = relay.clone();
    let mut owner = Client::connect(&relay, &world.providers[0].id).await;
    let (mut known, mut answered) = (Vec::new(), Vec::new());
    for (seed, len) in [300, 200_000].into_iter().enumerate() {
        let receipt = owner.store(&noise(len, seed as u64)).await.unwrap();
        known.push(receipt.content["hash"].as_str().unwrap().to_owned());
        answered.push(receipt.request);
    }
    let gone = owner.store(&noise(100, 5)).await.unwrap();
    answered.push(owner.delete(gone.content["hash"].as_str().unwrap()).await.unwrap().request);
    let mob = Arc::new(Mob::gather(500, &world.providers[0].id, known.clone(), answered));
    assert_serves(&world, &known).await;
    let before = memory(&world);
    attack(&mob, &relay, &proxy, 0..count).await;
    assert_serves(&world, &known).await;
    let at_once = memory(&world);
    let grown = |world: &World| {
        let pairs = memory(world).into_iter().zip(&before);
        pairs
            .filter(|((_, after), (_, before))| *after > *before + GROWTH_KIB_MAX)
            .map(|((name, after), (_, before))| (name, *before, after))
            .collect::<Vec<_>>()
    };
    let settled = Instant::now() + SETTLE_MAX;
    while !grown(&world).is_empty() && Instant::now() < settled {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!(
        "{count} hostile events in {:?}: {before:?}, at once {at_once:?}, then {:?}",
        start.elapsed(),
        memory(&world)
    );
    assert!(grown(&world).is_empty(), "KiB before and after: {:?}", grown(&world));
    assert!(
        start.elapsed() < SETTLE_MAX + TIME_PER_EVENT * u32::try_from(count).unwrap(),
        "{:?}",
        start.elapsed()
    );
}
