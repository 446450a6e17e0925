//! What the network for tests promises to tests.

use nostr::{Filter, Kind};

use super::{Net, NetOptions, RelayKind};
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
