//! Who may delete what: only the owner of a claim, once, and only what was stored before.

use std::time::Duration;

use serde_json::json;

use crate::raw::{Client, Event, Link, Proxy, Rule, kind, next_second, now, sha256_hex};
use crate::support::{World, noise};

/// A provider whose every message from the relay passes a proxy that can slip in others.
async fn provider_behind_a_proxy(providers: usize) -> (World, Vec<Proxy>) {
    let mut world = World::start(0);
    let relay = world.relay.clone();
    let mut proxies = Vec::new();
    for _ in 0..providers {
        let proxy = Proxy::start(&relay, Rule::Pass).await;
        world.relay.clone_from(&proxy.url);
        world.add_provider(&[]);
        proxies.push(proxy);
    }
    world.relay = relay;
    (world, proxies)
}

/// Restarts a provider at its proxy.
fn revive_behind(world: &mut World, index: usize, proxy: &Proxy) {
    let relay = std::mem::replace(&mut world.relay, proxy.url.clone());
    world.revive(index);
    world.relay = relay;
}

/// Brings an event to the provider on every way there is, and leaves it the time to act on it.
async fn replay(world: &World, proxy: &Proxy, event: &Event) {
    for _ in 0..3 {
        Link::open(&world.relay).await.publish_acknowledged(event).await;
        proxy.slip_in(event.json().to_string());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_copies_a_blob_and_deletes_it_takes_nothing_from_its_owner() {
    let mut world = World::start(1);
    let provider = world.providers[0].id.clone();
    let file = noise(50_000, 1);
    let hash = sha256_hex(&file);
    let mut owner = Client::connect(&world.relay, &provider).await;
    let mut stranger = Client::connect(&world.relay, &provider).await;
    owner.store(&file).await.unwrap();
    stranger.store(&file).await.unwrap();
    assert_eq!(stranger.delete(&hash).await.unwrap().content["status"], "deleted");
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file);
    assert_eq!(stranger.delete(&hash).await.unwrap_err().code, "FILE_NOT_FOUND", "the claim is gone");
    world.kill(0);
    world.revive(0);
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file);
    owner.delete(&hash).await.unwrap();
    assert_eq!(owner.retrieve(&hash).await.unwrap_err().code, "FILE_NOT_FOUND", "nobody has a claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_only_the_hash_cannot_delete() {
    let world = World::start(1);
    let provider = &world.providers[0].id;
    let file = noise(50_000, 1);
    let hash = sha256_hex(&file);
    let mut owner = Client::connect(&world.relay, provider).await;
    let mut stranger = Client::connect(&world.relay, provider).await;
    owner.store(&file).await.unwrap();
    assert_eq!(stranger.retrieve(&hash).await.unwrap(), file);
    for _ in 0..3 {
        assert_eq!(stranger.delete(&hash).await.unwrap_err().code, "FILE_NOT_FOUND");
    }
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_delete_does_nothing_also_after_a_restart() {
    let (mut world, proxies) = provider_behind_a_proxy(1).await;
    let mut owner = Client::connect(&world.relay, &world.providers[0].id).await;
    let file = noise(50_000, 1);
    let hash = sha256_hex(&file);
    owner.store(&file).await.unwrap();
    let delete = owner.delete(&hash).await.unwrap().request;
    // In the very second of the delete, if the machine is quick.
    owner.store(&file).await.unwrap();
    replay(&world, &proxies[0], &delete).await;
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file, "replayed after a second store");
    next_second().await;
    owner.store(&file).await.unwrap();
    replay(&world, &proxies[0], &delete).await;
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file, "replayed after a third store");
    world.kill(0);
    revive_behind(&mut world, 0, &proxies[0]);
    replay(&world, &proxies[0], &delete).await;
    assert_eq!(owner.retrieve(&hash).await.unwrap(), file, "replayed after a restart");
    let mut stranger = Client::connect(&world.relay, &world.providers[0].id).await;
    stranger.store(&file).await.unwrap();
    replay(&world, &proxies[0], &delete).await;
    owner.delete(&hash).await.unwrap();
    assert_eq!(stranger.retrieve(&hash).await.unwrap(), file, "the stranger's claim is the stranger's");
    replay(&world, &proxies[0], &delete).await;
    assert_eq!(stranger.retrieve(&hash).await.unwrap(), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_or_stale_or_altered_delete_does_nothing() {
    let (world, proxies) = provider_behind_a_proxy(1).await;
    let mut owner = Client::connect(&world.relay, &world.providers[0].id).await;
    let stranger = Client::connect(&world.relay, &world.providers[0].id).await;
    let (file, other) = (noise(50_000, 1), noise(100, 2));
    let hash = sha256_hex(&file);
    owner.store(&file).await.unwrap();
    owner.store(&other).await.unwrap();
    let body = json!({"action": "delete", "hash": hash});
    let tags = owner.request(&body).tags;
    let tags: Vec<Vec<&str>> = tags.iter().map(|tag| tag.iter().map(String::as_str).collect()).collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    next_second().await;
    let mut forged = stranger.request(&body);
    forged.pubkey.clone_from(&owner.keys.public);
    let stale = owner.keys.sign_at(now() - 600, kind::REQUEST, &tags, &body.to_string());
    let early = owner.keys.sign_at(now() + 600, kind::REQUEST, &tags, &body.to_string());
    let mut altered = owner.request(&json!({"action": "delete", "hash": sha256_hex(&other)}));
    altered.content = body.to_string();
    for event in [&forged, &stale, &early, &altered] {
        replay(&world, &proxies[0], event).await;
        assert_eq!(owner.retrieve(&hash).await.unwrap(), file, "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_for_one_provider_does_nothing_at_another() {
    let (world, proxies) = provider_behind_a_proxy(2).await;
    let file = noise(50_000, 1);
    let hash = sha256_hex(&file);
    let mut here = Client::connect(&world.relay, &world.providers[0].id).await;
    let mut there = Client::connect(&world.relay, &world.providers[1].id).await.with_keys_of(&here);
    here.store(&file).await.unwrap();
    there.store(&file).await.unwrap();
    next_second().await;
    let delete = here.delete(&hash).await.unwrap().request;
    replay(&world, &proxies[1], &delete).await;
    assert_eq!(there.retrieve(&hash).await.unwrap(), file);
}
