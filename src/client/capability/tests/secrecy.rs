//! Nothing that a capability's machine holds opens contents or names them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;
use crate::format::ContentItem;
use crate::vault::{read_capability, write_capability};

/// The ways to write bytes down that a search should find.
fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut spelled =
        vec![bytes.to_vec(), hex::encode(bytes).into_bytes(), hex::encode_upper(bytes).into_bytes()];
    for skipped in 0..3_usize {
        // Of base64 of something longer, the characters that these bytes alone decide.
        let shifted = [&vec![0; skipped], bytes].concat();
        let (from, whole) = ((skipped * 8).div_ceil(6), shifted.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            spelled.push(engine.encode(&shifted).as_bytes()[from..whole].to_vec());
        }
    }
    spelled
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Everything that opens, names or is contents.
fn secrets_of(client: &Client) -> Vec<(&'static str, Vec<u8>)> {
    let keys = client.vault.keys().unwrap();
    let mut secrets = vec![
        ("the vault's secret", keys.secret().expose().to_vec()),
        ("the content key", keys.content_key().expose().to_vec()),
        ("the segment tag key", keys.segment_tag_key().expose().to_vec()),
        ("the tree tag key", keys.tree_tag_key().expose().to_vec()),
        ("the seen tag key", keys.seen_tag_key().expose().to_vec()),
        ("the cutter's seed", keys.cut_seed().to_le_bytes().to_vec()),
        ("the full devices' local key", keys.actor().local_key().expose().to_vec()),
        ("the full devices' head author", keys.actor().head_author().secret_key().to_secret_bytes().to_vec()),
        ("a file's name", FILE_NAME.as_bytes().to_vec()),
        ("a file's content", CONTENT.to_vec()),
        ("a label", LABEL.as_bytes().to_vec()),
        ("a host", HOST.as_bytes().to_vec()),
    ];
    for end in client.vault.chain_ends() {
        let full = keys.device_keys(DeviceClass::Full, &end.device);
        secrets.push(("a full device's key", full.secret_key().to_secret_bytes().to_vec()));
        let records = client.vault.record_bytes(end.device, 0, end.sequence).unwrap();
        let mut input = crate::format::codec::Reader::new(&records, "a chain");
        while input.remaining() > 0 {
            let record = crate::format::Record::read(&mut input).unwrap();
            let Ok(items) = record.open::<ContentItem>(keys.vault_id(), &keys.content_key()) else {
                continue;
            };
            for item in items {
                if let ContentItem::Segment(segment) = item {
                    secrets.push(("a segment's key", segment.key.expose().to_vec()));
                    secrets.push(("a segment's tag", segment.tag.as_bytes().to_vec()));
                }
            }
        }
    }
    secrets
}

#[tokio::test]
async fn a_capability_and_its_home_hold_nothing_that_opens_or_names_contents() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    let file = scene.net.path().join("capability");
    write_capability(&file, &capability).unwrap();
    let read = read_capability(&file).unwrap();
    let mut verify = scene.verify(&read).await;
    verify.catch_up().await.unwrap();
    let full = scene.full("a").await;
    assert_eq!(packs(&verify), packs(&full));
    let snapshots = full.vault.snapshots_with_needs().unwrap();
    assert_eq!(verify.vault.snapshots_with_needs().unwrap(), snapshots);
    for snapshot in &snapshots {
        assert_eq!(verify.vault.needs(snapshot).unwrap(), full.vault.needs(snapshot).unwrap());
        assert_eq!(verify.vault.resolve_id(&snapshot.to_string()[..8]).unwrap(), *snapshot);
    }
    assert_eq!(shards(&verify), shards(&full));
    assert!(matches!(verify.vault.snapshots(), Err(VaultError::ContentsSealed)));
    assert!(matches!(verify.vault.keys(), Err(VaultError::ContentsSealed)));
    drop(verify);

    let secrets = secrets_of(&full);
    assert!(secrets.iter().any(|(what, _)| *what == "a segment's key"));
    let mut places = files(&scene.verify_home(&capability));
    assert!(places.iter().any(|place| place.ends_with("catalog.redb")), "{places:?}");
    places.push(file.clone());
    for place in places {
        let bytes = fs::read(&place).unwrap();
        for (what, secret) in &secrets {
            let found = spellings(secret).iter().any(|spelling| contains(&bytes, spelling));
            assert!(!found, "{what} is in {}", place.display());
        }
    }
    // The search finds what is there.
    let text = fs::read(&file).unwrap();
    let placement = spellings(full.vault.access().placement_key().expose());
    assert!(placement.iter().any(|spelling| contains(&text, spelling)));
}
