//! A relay that puts chunks into others' mouths can cost time, and nothing else.

use std::fs;

use serde_json::Value;

use crate::raw::{Proxy, Rule, sha256_hex};
use crate::support::{World, text};

/// A relay and providers, with a forging proxy between the relay and everybody.
async fn forging_world(providers: usize) -> (World, Proxy) {
    let mut world = World::start(0);
    let proxy = Proxy::start(&world.relay, Rule::ForgeChunks).await;
    world.relay.clone_from(&proxy.url);
    for _ in 0..providers {
        world.add_provider(&[]);
    }
    (world, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_chunks_neither_spoil_a_backup_nor_blame_a_provider() {
    let (world, proxy) = forging_world(3).await;
    let file = world.file("a.bin", 2_500_000, 1);
    let out = world.path("out");
    let world = tokio::task::spawn_blocking(move || {
        let put = world.json(&["put", text(&file)]);
        let stored_forged = proxy.forged_count();
        assert!(stored_forged > 3, "{stored_forged}");
        assert_eq!(put["providers"].as_array().unwrap().len(), 3, "{put}");
        world.json(&["get", "a.bin", "-o", text(&out)]);
        assert!(proxy.forged_count() > stored_forged + 2, "{}", proxy.forged_count());
        assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
        let check = world.json(&["check", "--read"]);
        assert!(check["packs"].as_u64().unwrap() > 0);
        assert_eq!((&check["degraded"], &check["lost"]), (&Value::from(0), &Value::from(0)), "{check}");
        world
    })
    .await
    .unwrap();
    for index in 0..3 {
        for path in world.blobs(index) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(sha256_hex(&fs::read(&path).unwrap()), name);
        }
    }
}
