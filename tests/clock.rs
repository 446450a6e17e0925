//! Promises and time: a put over promises that have lapsed, or soon will, brings the full spread again or fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Client, ClientError, Destination, GetOptions, PutOptions, PutOutcome, Unwatched};
use blobdvm::env::{Env, ManualClock};
use blobdvm::erasure::Scheme;
use blobdvm::provider::{Provider, ProviderOptions};
use blobdvm::transport::memory::Hub;
use blobdvm::types::Timestamp;
use blobdvm::vault::Home;

const DAY: Duration = Duration::from_secs(86_400);

/// Three providers and a client in one process, on one clock.
struct Net {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    env: Env,
    hub: Hub,
    providers: Vec<Provider>,
}

impl Net {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let env = Env::seeded(1, clock.clone());
        let hub = Hub::new("relay", 1);
        let dir = tempfile::tempdir().unwrap();
        let mut net = Self { dir, clock, env, hub, providers: Vec::new() };
        for index in 0..3 {
            let provider = net.provider(index).await;
            net.providers.push(provider);
        }
        net
    }

    async fn provider(&self, index: usize) -> Provider {
        let store = self.dir.path().join(format!("provider-{index}"));
        Provider::open(&store, ProviderOptions::default(), self.hub.carrier(), self.env.clone())
            .await
            .unwrap()
    }

    /// Time goes by in steps of less than a day: over a longer one, providers let no promise lapse.
    async fn advance(&mut self, days: u32) {
        for _ in 0..days * 2 {
            for provider in self.providers.drain(..) {
                provider.stop().await;
            }
            self.clock.advance(DAY / 2);
            for index in 0..3 {
                let provider = self.provider(index).await;
                self.providers.push(provider);
            }
        }
    }

    fn client(&self) -> Client {
        let home = self.dir.path().join("home");
        let vault = Home::open(&home, &self.env).or_else(|_| Home::init_fresh(&home, &self.env)).unwrap();
        Client::new(vault, self.hub.carrier(), Arc::new(Unwatched), Duration::from_secs(5), self.env.clone())
    }

    fn file(&self, len: usize) -> PathBuf {
        let path = self.dir.path().join("file.bin");
        let bytes: Vec<u8> =
            (0..len).map(|index| u8::try_from(index * index % 251).expect("below 251")).collect();
        fs::write(&path, bytes).unwrap();
        path
    }

    async fn put(&self, file: &Path) -> Result<PutOutcome, ClientError> {
        let scheme = Scheme::new(2, 3).unwrap();
        let (providers, host) = (BTreeSet::new(), "here".to_owned());
        let options = PutOptions { providers, host, ..PutOptions::new(scheme) };
        self.client().put(&[file.to_owned()], &options).await
    }

    async fn restores(&self, file: &Path) {
        let client = self.client();
        let snapshot = client.vault.latest_snapshot("file.bin").unwrap().unwrap();
        let out = self.dir.path().join("out");
        let destination = Destination::Path(out.clone());
        let options = GetOptions::all_to(destination);
        client.get(&snapshot, &options).await.unwrap();
        assert!(fs::read(out).unwrap() == fs::read(file).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_within_the_promises_sends_no_pack_again() {
    let mut net = Net::start().await;
    let file = net.file(2_000_000);
    net.put(&file).await.unwrap();
    net.advance(1).await;
    let again = net.put(&file).await.unwrap();
    assert_eq!(again.packs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_that_end_soon_are_renewed_by_the_next_put() {
    let mut net = Net::start().await;
    let file = net.file(2_000_000);
    net.put(&file).await.unwrap();
    net.advance(80).await;
    let again = net.put(&file).await.unwrap();
    assert_eq!(again.packs, 0, "renewed, not sent again");
    let kept_until = net.env.now().saturating_add(DAY * 89);
    let client = net.client();
    let snapshot = client.vault.latest_snapshot("file.bin").unwrap().unwrap();
    for pack in client.vault.needs(&snapshot.id).unwrap() {
        let entry = client.vault.pack(&pack).unwrap().unwrap();
        assert_eq!(entry.promises.len(), 3);
        assert!(entry.promises.iter().all(|(_, _, expires)| *expires >= kept_until), "{:?}", entry.promises);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_after_the_promises_have_lapsed_brings_the_full_spread_again() {
    let mut net = Net::start().await;
    let file = net.file(2_000_000);
    net.put(&file).await.unwrap();
    net.advance(91).await;
    net.put(&file).await.unwrap();
    let client = net.client();
    let snapshot = client.vault.latest_snapshot("file.bin").unwrap().unwrap();
    for pack in client.vault.needs(&snapshot.id).unwrap() {
        let entry = client.vault.pack(&pack).unwrap().unwrap();
        let kept =
            entry.promises.iter().filter(|(_, _, expires)| *expires > net.env.now().saturating_add(DAY * 30));
        assert_eq!(kept.count(), 3, "{:?}", entry.promises);
    }
    drop(client);
    net.restores(&file).await;
}
