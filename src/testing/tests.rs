//! What the network for tests promises to tests.

use nostr::{Filter, Kind};

use super::{DiskKind, Net, NetOptions, RelayKind, Spoil};
use crate::store::{AtRest, Change, EventMark, Promise, Unsynced};
use crate::types::{BlobHash, ClientId, Timestamp};
use crate::wire::ANNOUNCEMENT_KIND;

async fn announced(net: &Net) -> usize {
    let filter = Filter::new().kind(Kind::from(ANNOUNCEMENT_KIND));
    let found = net.carrier().await.query(filter, std::time::Duration::from_secs(5)).await;
    assert_eq!(found.len(), net.relay_urls().len());
    found.into_values().map(|events| events.len()).min().unwrap()
}

#[tokio::test]
async fn providers_are_announced_at_every_relay() {
    for relay_kind in [RelayKind::Embedded, RelayKind::Memory(1)] {
        let options = NetOptions { relay_count: 2, provider_count: 2, relay_kind, ..NetOptions::default() };
        let net = Net::start(options).await;
        assert_eq!(announced(&net).await, 2);
    }
}

#[tokio::test]
async fn provider_that_is_killed_comes_back_under_its_key_and_one_that_is_wiped_does_not() {
    let mut net = Net::start(NetOptions { provider_count: 2, ..NetOptions::default() }).await;
    let before = net.provider_ids();
    net.kill(0);
    net.wipe(1).unwrap();
    net.revive(0).await;
    net.revive(1).await;
    let after = net.provider_ids();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

#[tokio::test]
async fn announcements_survive_the_relay() {
    let mut net = Net::start(NetOptions { provider_count: 1, ..NetOptions::default() }).await;
    net.kill(0);
    net.kill_relay(0).await;
    net.revive_relay(0).await;
    assert_eq!(announced(&net).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_on_a_disk_in_memory_outlives_a_crash_and_is_spoiled_behind_its_back() {
    let (relay_kind, disks) = (RelayKind::Memory(1), DiskKind::Memory);
    let mut net =
        Net::start(NetOptions { provider_count: 1, relay_kind, disks, ..NetOptions::default() }).await;
    let (id, blob) = (net.provider_ids()[0], vec![7; 5_000]);
    let change = Change { at: Timestamp(1), mark: EventMark([0; 8]) };
    let promise = Promise { client: ClientId::new([1; 32]), change, expires: Timestamp(u64::MAX / 2) };
    net.provider(0).store().put(BlobHash::of(&blob), &blob, promise, AtRest::Plain).unwrap();
    net.crash(0, Unsynced::Lost);
    net.revive(0).await;
    assert_eq!(net.provider_ids(), [id]);
    assert_eq!(net.intact(0), [BlobHash::of(&blob)]);
    for how in Spoil::ALL {
        assert_eq!(net.spoil(0, how), 1);
        assert!(net.intact(0).is_empty(), "{how:?}");
    }
    net.wipe(0).unwrap();
    net.revive(0).await;
    assert_ne!(net.provider_ids(), [id]);
}
