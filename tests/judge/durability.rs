//! A provider that is killed in the middle of its work keeps every blob that it has acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::raw::{Client, kind, sha256_hex};
use crate::support::{World, noise};

/// How often the provider is killed.
const ROUNDS: u64 = 5;
/// Stores under way at any time.
const WINDOW: usize = 24;

/// Stores of one round: what was sent by request id, and which of it was acknowledged.
#[derive(Default)]
struct Storm {
    sent: BTreeMap<String, Vec<u8>>,
    acknowledged: Vec<String>,
}

impl Storm {
    /// Keeps a window of stores under way until `end`.
    async fn rage(&mut self, client: &mut Client, round: u64, end: Instant) {
        let answers = json!({"kinds": [kind::RESPONSE], "#p": [client.keys.public]});
        client.link.subscribe("answers", &[answers]).await;
        while Instant::now() < end {
            while self.sent.len() - self.acknowledged.len() < WINDOW {
                let seed = round << 32 | self.sent.len() as u64;
                let bytes = noise(1 + (seed.wrapping_mul(7_919) % 90_000) as usize, seed);
                let request = client.request(&json!({"action": "store", "data": BASE64.encode(&bytes)}));
                client.link.publish(&request).await;
                self.sent.insert(request.id, bytes);
            }
            self.listen(client, end).await;
        }
    }

    /// Takes one acknowledgement in, if one comes before `end`.
    async fn listen(&mut self, client: &mut Client, end: Instant) {
        let Ok(event) = timeout_at(end, client.link.next_event()).await else { return };
        let id = event.tag("e").expect("a response names its request").to_owned();
        assert!(event.content.contains("stored") && self.sent.contains_key(&id), "{event:?}");
        self.acknowledged.push(id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_killed_during_concurrent_stores_keeps_what_it_acknowledged() {
    let mut world = World::start(1);
    let mut kept: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut client = Client::connect(&world.relay, &world.providers[0].id).await;
        let mut storm = Storm::default();
        // A different moment each time: in the first writes, or when there is much behind it.
        let end = Instant::now() + Duration::from_millis(150 + 233 * round);
        storm.rage(&mut client, round, end).await;
        world.kill(0);
        // What it said before it died.
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            storm.listen(&mut client, end).await;
        }
        world.revive(0);
        let mut reader = Client::connect(&world.relay, &world.providers[0].id).await;
        for (id, bytes) in &storm.sent {
            let hash = sha256_hex(bytes);
            let found = reader.retrieve(&hash).await;
            if storm.acknowledged.contains(id) {
                assert!(found.expect("an acknowledged blob is there") == *bytes, "round {round}");
                kept.push(hash);
            } else if let Err(failure) = found {
                assert_eq!(failure.code, "FILE_NOT_FOUND", "what was not acknowledged is whole or not there");
            }
        }
    }
    assert!(kept.len() > 20, "the provider was busy when it was killed: {} blobs", kept.len());
    let mut reader = Client::connect(&world.relay, &world.providers[0].id).await;
    for hash in &kept {
        reader.retrieve(hash).await.expect("it outlives every later crash");
    }
}
