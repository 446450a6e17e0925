//! A client that knows only the base protocol, at our provider, through our relay.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::raw::{BLOB_LEN_MAX, CHUNK_LEN, Client, Failure, discover, now, sha256_hex};
use crate::support::{World, noise};

async fn client(world: &World) -> Client {
    Client::connect(&world.relay, &world.providers[0].id).await
}

/// Checks that a refusal says its code to programs and to people.
fn assert_code(failure: &Failure, code: &str) {
    assert_eq!(failure.code, code, "{failure:?}");
    let tags = &failure.event.tags;
    assert!(
        tags.iter().any(|tag| tag.iter().skip(1).any(|part| part == code)),
        "the code in a tag: {tags:?}"
    );
    assert!(failure.event.content.len() > code.len(), "a person is told more than the code");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_client_stores_retrieves_and_deletes_files_of_every_size() {
    let world = World::start(1);
    let mut client = client(&world).await;
    let lens = [1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 1 << 20, BLOB_LEN_MAX];
    let files: Vec<Vec<u8>> = lens.iter().map(|&len| noise(len, len as u64)).collect();
    for file in &files {
        let hash = sha256_hex(file);
        let receipt = client.store(file).await.unwrap();
        let expected = json!({
            "hash": hash, "size": file.len(), "chunks": file.len().div_ceil(CHUNK_LEN), "status": "stored",
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&receipt.content[name], value, "{name} of {}", receipt.content);
        }
        let expires = receipt.content["expires"].as_u64().expect("the response says until when");
        assert!(expires > now() + 3_600, "{expires}");
        assert_eq!(receipt.response.tag("file_hash"), Some(hash.as_str()));
        assert_eq!(receipt.response.tag("expires"), Some(expires.to_string().as_str()));
        let echo = receipt.chunks.into_values().collect::<Vec<_>>().concat();
        assert!(echo == *file, "a store publishes the chunks of {} bytes", file.len());
    }
    for file in &files {
        assert!(client.retrieve(&sha256_hex(file)).await.unwrap() == *file);
    }
    for file in &files {
        let hash = sha256_hex(file);
        let receipt = client.delete(&hash).await.unwrap();
        assert_eq!(receipt.content["status"], "deleted");
        assert_eq!(receipt.content["hash"], hash);
        assert_eq!(receipt.response.tag("file_hash"), Some(hash.as_str()));
        assert_code(&client.retrieve(&hash).await.unwrap_err(), "FILE_NOT_FOUND");
    }
    assert_eq!(world.blobs(0).len(), 0, "the bytes are gone with the last claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_base_client_retrieves_what_the_first_one_stored_even_after_a_restart() {
    let mut world = World::start(1);
    let file = noise(100_000, 7);
    client(&world).await.store(&file).await.unwrap();
    assert_eq!(client(&world).await.retrieve(&sha256_hex(&file)).await.unwrap(), file);
    world.kill(0);
    world.revive(0);
    assert_eq!(client(&world).await.retrieve(&sha256_hex(&file)).await.unwrap(), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_announcement_says_everything_that_the_base_asks_for() {
    let world = World::start_with(1, &["--name", "the cellar", "--max-file-size", "1MiB"]);
    let announcements = discover(&world.relay).await;
    assert_eq!(announcements.len(), 1, "{announcements:?}");
    let announcement = &announcements[0];
    assert_eq!(announcement.pubkey, world.providers[0].id);
    let expected = [
        ("d", "blob-storage-v1"),
        ("k", "24210"),
        ("response_kind", "24211"),
        ("name", "the cellar"),
        ("max_file_size", "1048576"),
        ("chunk_size", "32768"),
    ];
    for (name, value) in expected {
        assert_eq!(announcement.tag(name), Some(value), "{name}");
    }
    assert!(announcement.tag("retention_hours").and_then(|text| text.parse::<u64>().ok()) > Some(0));
    for name in ["about", "documentation"] {
        assert!(announcement.tag(name).is_some_and(|text| !text.is_empty()), "{name}");
    }
    let schemas: Value = serde_json::from_str(&announcement.content).expect("the content is JSON");
    let variants = schemas["input_schema"]["oneOf"].as_array().expect("requests are one of several");
    let named =
        |action: &str| variants.iter().find(|variant| variant["properties"].to_string().contains(action));
    assert!(named(r#""store""#).is_some_and(|store| store["properties"]["data"].is_object()));
    for action in [r#""retrieve""#, r#""delete""#] {
        let hash = named(action).map(|variant| variant["properties"]["hash"].to_string());
        assert!(hash.is_some_and(|hash| hash.contains("^[a-f0-9]{64}$")), "{action}: {variants:?}");
    }
    assert!(schemas["output_schema"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_is_none_is_invalid_and_an_unknown_one_is_not_found() {
    let world = World::start(1);
    let mut client = client(&world).await;
    for action in ["retrieve", "delete"] {
        for hash in ["", "xyz", &"A".repeat(64), &"g".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            let failure = client.ask(&json!({"action": action, "hash": hash}), hash).await.unwrap_err();
            assert_code(&failure, "INVALID_HASH");
        }
        let hash = sha256_hex(b"never stored");
        let failure = client.ask(&json!({"action": action, "hash": hash}), &hash).await.unwrap_err();
        assert_code(&failure, "FILE_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_beyond_the_announced_maximum_is_too_large_and_one_at_it_is_not() {
    let world = World::start_with(1, &["--max-file-size", "100KiB"]);
    let mut small = client(&world).await;
    assert_code(&small.store(&noise(102_401, 1)).await.unwrap_err(), "FILE_TOO_LARGE");
    small.store(&noise(102_400, 2)).await.unwrap();
    let world = World::start(1);
    let mut large = client(&world).await;
    assert_code(&large.store(&noise(BLOB_LEN_MAX + 1, 3)).await.unwrap_err(), "FILE_TOO_LARGE");
    assert_eq!(world.blobs(0).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_provider_says_so_and_has_room_again_after_a_delete() {
    let world = World::start_with(1, &["--quota", "1MiB"]);
    let mut client = client(&world).await;
    let files: Vec<Vec<u8>> = (0..40).map(|seed| noise(60_000, seed)).collect();
    let mut kept = Vec::new();
    let mut failure = None;
    for file in &files {
        match client.store(file).await {
            Ok(_) => kept.push(sha256_hex(file)),
            Err(refusal) => {
                failure = Some((refusal, file));
                break;
            }
        }
    }
    let (failure, refused) = failure.expect("40 × 60,000 bytes are more than the quota");
    assert_code(&failure, "STORAGE_FULL");
    assert!(!kept.is_empty(), "something fits");
    assert_code(&client.retrieve(&sha256_hex(refused)).await.unwrap_err(), "FILE_NOT_FOUND");
    client.delete(&kept.remove(0)).await.unwrap();
    client.store(refused).await.unwrap();
    for hash in &kept {
        client.retrieve(hash).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_the_disk_has_changed_is_never_passed_off_as_the_right_one() {
    let mut world = World::start(1);
    let mut client = client(&world).await;
    let (changed, cut) = (noise(90_000, 1), noise(80_000, 2));
    for file in [&changed, &cut] {
        client.store(file).await.unwrap();
    }
    world.kill(0);
    for path in world.blobs(0) {
        let mut bytes = fs::read(&path).unwrap();
        if bytes.len() >= changed.len() {
            bytes[50_000] ^= 1;
        } else {
            bytes.truncate(40_000);
        }
        fs::write(path, bytes).unwrap();
    }
    world.revive(0);
    let codes: BTreeSet<&str> = ["INTEGRITY_FAILED", "CHUNK_MISSING", "FILE_NOT_FOUND"].into();
    let failure = client.retrieve(&sha256_hex(&changed)).await.unwrap_err();
    assert_code(&failure, "INTEGRITY_FAILED");
    let failure = client.retrieve(&sha256_hex(&cut)).await.unwrap_err();
    assert!(codes.contains(failure.code.as_str()), "{failure:?}");
    // Whoever has the bytes can repair it.
    client.store(&changed).await.unwrap();
    assert_eq!(client.retrieve(&sha256_hex(&changed)).await.unwrap(), changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_to_be_encrypted_at_rest_is_so_and_comes_back_plain() {
    let mut world = World::start(1);
    let mut client = client(&world).await;
    let (file, plain) = (noise(100_000, 1), noise(100_000, 2));
    let hash = sha256_hex(&file);
    let body = json!({"action": "store", "data": BASE64.encode(&file), "encrypt": true});
    client.ask(&body, &hash).await.unwrap();
    client.store(&plain).await.unwrap();
    let on_disk = world.blobs(0).into_iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>().concat();
    let has = |part: &[u8]| on_disk.windows(part.len()).any(|window| window == part);
    assert!(has(&plain[1_000..1_032]) && !has(&file[1_000..1_032]));
    world.kill(0);
    world.revive(0);
    assert_eq!(client.retrieve(&hash).await.unwrap(), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_understood_is_answered_with_an_error() {
    let world = World::start(1);
    let mut client = client(&world).await;
    let bodies = [
        json!({}),
        json!([]),
        json!({"action": "explode"}),
        json!({"action": "store"}),
        json!({"action": "store", "data": "no base64!"}),
        json!({"action": "retrieve"}),
        json!({"action": 1}),
    ];
    for body in bodies {
        let failure = client.ask(&body, "").await.unwrap_err();
        assert!(!failure.code.is_empty(), "{body}: {failure:?}");
    }
}
