//! Our client at providers that know only the base protocol.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::raw::{BLOB_LEN_MAX, BaseProvider, Proxy, Rule, sha256_hex};
use crate::support::{World, stderr, text};

/// Most relays pass no more.
const EVENT_LEN_MAX: usize = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn upload_download_delete_and_list_servers_work_at_a_base_provider() {
    let world = World::start(0);
    let provider = BaseProvider::start(&world.relay).await;
    let listed = world.json(&["list-servers"]).to_string();
    assert!(listed.contains(&provider.id), "{listed}");
    for (seed, len) in [1, 32_767, 32_768, 32_769, 1 << 20, BLOB_LEN_MAX].into_iter().enumerate() {
        let path = world.file("a.bin", len, seed as u64);
        let hash = sha256_hex(&fs::read(&path).unwrap());
        let upload = world.run(&["upload", text(&path), "--server", &provider.id]);
        assert!(upload.status.success(), "{len} bytes: {}", stderr(&upload));
        assert!(provider.has(&hash));
        let out = world.path("out.bin");
        let download = world.run(&["download", &hash, "-o", text(&out)]);
        assert!(download.status.success(), "{len} bytes: {}", stderr(&download));
        assert!(fs::read(&out).unwrap() == fs::read(&path).unwrap(), "{len} bytes come back");
        let delete = world.run(&["delete", &hash, "--server", &provider.id]);
        assert!(delete.status.success(), "{len} bytes: {}", stderr(&delete));
        assert!(!provider.has(&hash));
        fs::remove_file(&out).unwrap();
        let download = world.run(&["download", &hash, "-o", text(&out)]);
        assert_eq!(download.status.code(), Some(3), "nothing is found: {}", stderr(&download));
        assert!(!out.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn put_and_get_use_three_base_providers_and_need_two() {
    let world = World::start(0);
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(BaseProvider::start(&world.relay).await);
    }
    let file = world.file("a.bin", 3_000_000, 1);
    let put = world.json(&["put", "--accept-short", "--spread", "3", text(&file)]);
    let used: BTreeSet<&str> =
        put["providers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let there: BTreeSet<&str> = providers.iter().map(|provider| provider.id.as_str()).collect();
    assert_eq!(used, there, "{put}");
    assert!(providers.iter().all(|provider| provider.blob_count() > 0));
    for left in [3, 2] {
        providers.truncate(left);
        let out = world.path(&format!("out-{left}"));
        let got = world.json(&["get", "a.bin", "-o", text(&out)]);
        assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap(), "{got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_provider_takes_part_beside_our_own() {
    let mut world = World::start(2);
    let provider = BaseProvider::start(&world.relay).await;
    let file = world.file("a.bin", 3_000_000, 1);
    let put = world.json(&["put", "--accept-short", "--spread", "3", text(&file)]);
    assert!(put["providers"].to_string().contains(&provider.id), "{put}");
    assert!(provider.blob_count() > 0);
    // With one of ours gone, nothing comes back without the base provider.
    world.destroy(0);
    let out = world.path("out");
    world.json(&["get", "a.bin", "-o", text(&out)]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn base_providers_that_promise_a_day_are_not_used_unless_that_is_accepted() {
    let world = World::start(0);
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(BaseProvider::start(&world.relay).await);
    }
    let file = world.file("a.bin", 100_000, 1);
    let put = world.run(&["put", "--spread", "3", text(&file)]);
    assert_eq!(put.status.code(), Some(4), "{}", stderr(&put));
    assert!(stderr(&put).contains("accept-short"), "{}", stderr(&put));
    assert!(providers.iter().all(|provider| provider.blob_count() == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn put_says_that_the_relay_loses_large_events_where_it_does() {
    let mut world = World::start(0);
    let proxy = Proxy::start(&world.relay, Rule::Lose(EVENT_LEN_MAX)).await;
    world.relay.clone_from(&proxy.url);
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(BaseProvider::start(&world.relay).await);
    }
    let file = world.file("a.bin", 2_000_000, 1);
    let put = world.run(&["--timeout", "5s", "put", "--accept-short", "--spread", "3", text(&file)]);
    let said = stderr(&put).to_lowercase();
    assert!(!put.status.success(), "{said}");
    assert!(said.contains("relay") && said.contains("event"), "the cause is named: {said}");
    assert!(said.contains("large") || said.contains("bytes"), "the cause is named: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_providers_need_no_large_events() {
    let mut world = World::start(0);
    let proxy = Proxy::start(&world.relay, Rule::Lose(EVENT_LEN_MAX)).await;
    world.relay.clone_from(&proxy.url);
    for _ in 0..3 {
        world.add_provider(&[]);
    }
    let file = world.file("a.bin", 3_000_000, 1);
    world.json(&["put", "--spread", "3", text(&file)]);
    world.destroy(2);
    let out = world.path("out");
    world.json(&["get", "a.bin", "-o", text(&out)]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    let file = world.file("b.bin", 1 << 20, 2);
    let upload = world.run(&["upload", text(&file), "--server", &world.providers[0].id]);
    assert!(upload.status.success(), "{}", stderr(&upload));
}
