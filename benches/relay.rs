//! How fast events go from one publisher through the embedded relay to one reader, all in this process: events that
//! carry one 32 KiB chunk each, signed beforehand, verified by the relay and by the reader.
//!
//! `cargo bench --bench relay [-- EVENT_COUNT]`

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blobdvm::env::Env;
use blobdvm::relay::{Relay, RelayOptions};
use blobdvm::transport::{Carrier, ConnectOptions, Relays, Route};
use nostr::{Event, EventBuilder, Filter, Keys, Kind};
use rand::RngCore;
use tokio::time::{Instant, timeout};

const EVENT_COUNT: u32 = 4_000;
const ROUND_COUNT: usize = 3;
/// Bytes of one chunk (docs/protocol.md, "Base").
const CHUNK_LEN: u32 = 32_768;
const CHUNK: Kind = Kind::Custom(24_212);

#[tokio::main]
async fn main() {
    let event_count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(EVENT_COUNT);
    let options = RelayOptions { listen: ([127, 0, 0, 1], 0).into(), ..RelayOptions::default() };
    let relay = Relay::bind(options).await.expect("a free port");
    let (url, monitor) = (relay.url(), relay.monitor());
    let serving = tokio::spawn(relay.run_until(std::future::pending()));
    let connect = || Relays::connect(std::slice::from_ref(&url), ConnectOptions::default());
    let publisher = connect().await.expect("the relay listens");
    let reader = connect().await.expect("the relay listens");
    let mut subscription = reader.subscribe(vec![Filter::new().kind(CHUNK)]).await.expect("a subscription");
    let keys = Keys::generate();
    println!("{event_count} events of 32 KiB, {ROUND_COUNT} rounds");
    for _ in 0..ROUND_COUNT {
        let events = sign(event_count, &keys);
        let started = Instant::now();
        let publishing = async {
            for event in events {
                publisher.publish(event, Route::All).await.expect("the relay is there");
            }
        };
        let reading = async {
            for number in 0..event_count {
                let Ok(next) = timeout(Duration::from_secs(5), subscription.next()).await else {
                    let (lost, counts) = (subscription.lost_count(), monitor.counts());
                    panic!("event {number} does not come; lost at the reader: {lost}; {counts:?}");
                };
                next.expect("the carrier is there");
            }
        };
        tokio::join!(publishing, reading);
        let events_per_second = f64::from(event_count) / started.elapsed().as_secs_f64();
        let megabytes_per_second = events_per_second * f64::from(CHUNK_LEN) / 1e6;
        println!("{megabytes_per_second:.0} MB/s of chunks, {events_per_second:.0} events/s");
    }
    println!("lost at the reader: {}; {:?}", subscription.lost_count(), monitor.counts());
    serving.abort();
}

fn sign(count: u32, keys: &Keys) -> Vec<Event> {
    let mut chunk = vec![0; CHUNK_LEN as usize];
    let mut rng = Env::system().rng();
    let mut sign_one = || {
        rng.fill_bytes(&mut chunk);
        EventBuilder::new(CHUNK, STANDARD.encode(&chunk)).sign_with_keys(keys).expect("keys sign")
    };
    (0..count).map(|_| sign_one()).collect()
}
