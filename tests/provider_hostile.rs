//! A hundred thousand events that mean no good: the provider's memory stays where it was, every bounded thing within
//! its bound, and an honest client is served as before (invariant I9).

use std::time::Duration;

use blobdvm::client::{Directory, Exchange, ExchangeOptions, StoreOptions};
use blobdvm::env::Env;
use blobdvm::provider::{Gauges, Provider, ProviderOptions};
use blobdvm::transport::memory::Hub;
use blobdvm::transport::{Carrier, Route};
use blobdvm::types::limits::{
    JOB_COUNT_MAX, REMEMBERED_ANSWER_COUNT_MAX, REPLY_QUEUE_COUNT_MAX, SEEN_EVENT_COUNT_MAX,
    UPLOAD_COUNT_MAX, UPLOADS_LEN_MAX,
};
use blobdvm::types::{BlobHash, ProviderId};
use blobdvm::wire::{CHUNK_KIND, REQUEST_KIND, UPLOAD_KIND, tags};
use nostr::{Event, EventBuilder, Keys, Kind, Tag};

const EVENT_COUNT: u64 = 100_000;
/// After so many the memory of ids is full, and what the allocator keeps is kept.
const WARM_UP_COUNT: u64 = 10_000;
const MEMORY_GROWTH_MAX: u64 = 10 * 1024 * 1024;

#[tokio::test]
async fn hundred_thousand_hostile_events_leave_memory_and_service_as_they_were() {
    let (hub, folder) = (Hub::new("hub", 1), tempfile::tempdir().unwrap());
    let provider = Provider::open(folder.path(), ProviderOptions::default(), hub.carrier(), Env::system());
    let provider = provider.await.unwrap();
    let exchange = honest_client(&hub, provider.id()).await;
    let crowd = Crowd::new(provider.id());
    let carrier = hub.carrier();
    send(&crowd, 0..WARM_UP_COUNT, &*carrier, &provider).await;
    let before = resident_len();
    send(&crowd, WARM_UP_COUNT..WARM_UP_COUNT + EVENT_COUNT, &*carrier, &provider).await;
    if let (Some(before), Some(after)) = (before, resident_len()) {
        let growth = after.saturating_sub(before);
        assert!(growth <= MEMORY_GROWTH_MAX, "resident memory grew from {before} to {after} bytes");
    }
    let blob = vec![7; 300_000];
    let receipt = exchange.store(provider.id(), blob.clone().into(), StoreOptions::default()).await.unwrap();
    assert_eq!(exchange.fetch(provider.id(), receipt.hash, None).await.unwrap(), blob);
    assert_eq!(provider.stats().blob_count, 1, "nothing else was stored");
    provider.stop().await;
}

async fn honest_client(hub: &Hub, provider: ProviderId) -> Exchange {
    let carrier = hub.carrier();
    let directory = Directory::by_ids(&*carrier, &[provider], Duration::from_secs(5)).await;
    let exchange = Exchange::new(carrier, ExchangeOptions::default(), Env::system());
    let terms = directory.providers.into_values().next().unwrap();
    exchange.add_provider(terms, Keys::generate()).await.unwrap();
    exchange
}

async fn send(crowd: &Crowd, numbers: std::ops::Range<u64>, carrier: &dyn Carrier, provider: &Provider) {
    for number in numbers {
        // A forged event does not get past the carrier; whether it is refused is the carrier's business.
        let _ = carrier.publish(crowd.event(number), Route::All).await;
        if number % 500 == 0 {
            assert_bounded(provider.gauges());
        }
    }
    while provider.gauges().job_count > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_bounded(provider.gauges());
}

fn assert_bounded(gauges: Gauges) {
    let is_bounded = gauges.job_count <= JOB_COUNT_MAX
        && gauges.client_count <= JOB_COUNT_MAX
        && gauges.upload_count <= UPLOAD_COUNT_MAX
        && gauges.upload_len <= UPLOADS_LEN_MAX
        && gauges.seen_count <= SEEN_EVENT_COUNT_MAX
        && gauges.answered_count <= REMEMBERED_ANSWER_COUNT_MAX + JOB_COUNT_MAX
        && gauges.reply_count <= REPLY_QUEUE_COUNT_MAX;
    assert!(is_bounded, "{gauges:?}");
}

/// Many keys, and all that they can think of.
struct Crowd {
    keys: Vec<Keys>,
    provider: ProviderId,
    address: Tag,
}

impl Crowd {
    fn new(provider: ProviderId) -> Self {
        let address = Tag::parse(["a", &tags::address(provider)]).unwrap();
        Self { keys: (0..50).map(|_| Keys::generate()).collect(), provider, address }
    }

    fn event(&self, number: u64) -> Event {
        let keys = &self.keys[usize::try_from(number % 50).unwrap()];
        let builder = match number % 8 {
            0 | 1 => self.chunk(number),
            2 => self.request(format!("{number}").repeat(20)),
            3 => self.request(format!(r#"{{"action":"delete","hash":"{number:064x}","req":"{number:x}"}}"#)),
            4 => self.request(format!(r#"{{"action":"retrieve","hash":"{number:064x}","ranges":"0-319"}}"#)),
            5 => self.request(format!(
                r#"{{"action":"store","hash":"{number:064x}","size":10485760,"chunks":320}}"#
            )),
            6 => self.request(format!(
                r#"{{"action":"store","hash":"{number:064x}","size":{},"chunks":1}}"#,
                u64::MAX
            )),
            _ => self.request(format!(r#"{{"action":"store","data":"{}"}}"#, "%".repeat(5_000))),
        };
        // One of a hundred is a copy that somebody changed on the way.
        let mut event = builder.sign_with_keys(keys).unwrap();
        if number % 100 == 99 {
            "forged".clone_into(&mut event.content);
        }
        event
    }

    fn request(&self, content: String) -> EventBuilder {
        EventBuilder::new(Kind::from(REQUEST_KIND), content).tag(self.address.clone())
    }

    fn chunk(&self, number: u64) -> EventBuilder {
        let (hash, index) = (BlobHash::of(&number.to_le_bytes()), number.wrapping_mul(77).to_string());
        let kind = if number.is_multiple_of(3) { CHUNK_KIND } else { UPLOAD_KIND };
        let provider = self.provider.to_string();
        let named =
            [["p", &provider], ["x", &hash.to_string()], ["chunk_index", &index], ["chunk_total", "9"]];
        EventBuilder::new(Kind::from(kind), "AAAA").tags(named.map(|tag| Tag::parse(tag).unwrap()))
    }
}

/// Resident memory of this process in bytes, where the system tells.
fn resident_len() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
