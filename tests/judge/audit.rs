//! Audits, asked and verified by a client that knows only docs/protocol.md.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secp256k1::rand::RngCore;
use secp256k1::rand::rngs::OsRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::raw::{Client, Event, discover, kind, sha256_hex};
use crate::support::{World, noise};

const LEAF: usize = 1_024;

/// A request and the answer to it.
struct Audit {
    request: Event,
    answer: Event,
}

async fn audit(client: &mut Client, nonce: &[u8; 32], hashes: &[String]) -> Audit {
    let body = json!({
        "action": "audit", "nonce": hex::encode(nonce), "hashes": hashes, "req": "00000000000000ab",
    });
    let request = client.request(&body);
    let answers = json!({"kinds": [kind::AUDIT, kind::STATUS], "#e": [request.id]});
    client.link.subscribe("audit", &[answers]).await;
    client.link.publish(&request).await;
    let answer = client.link.next_event().await;
    client.link.unsubscribe("audit").await;
    Audit { request, answer }
}

fn fresh_nonce() -> [u8; 32] {
    let mut nonce = [0; 32];
    OsRng.fill_bytes(&mut nonce);
    nonce
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

/// RFC 6962 §2.1, as it is written there.
fn tree_hash(leaves: &[&[u8]]) -> Vec<u8> {
    match leaves {
        [leaf] => sha256(&[&[0], leaf]),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], &tree_hash(left), &tree_hash(right)])
        }
    }
}

/// The root over a leaf at `position` of `count`, from its path (RFC 6962 §2.1.1 backwards).
fn climb(leaf: &[u8], position: usize, count: usize, path: &[&[u8]]) -> Option<Vec<u8>> {
    if count == 1 {
        return path.is_empty().then(|| sha256(&[&[0], leaf]));
    }
    let (sibling, below) = path.split_last()?;
    let half = count.next_power_of_two() / 2;
    if position < half {
        Some(sha256(&[&[1], &climb(leaf, position, half, below)?, sibling]))
    } else {
        Some(sha256(&[&[1], sibling, &climb(leaf, position - half, count - half, below)?]))
    }
}

/// Whether a sample proves that the provider has `blob`.
fn is_proof(sample: &Value, blob: &[u8], index: u32, nonce: &[u8; 32]) -> bool {
    let Some(text) = sample.as_str() else { return false };
    let proof = BASE64.decode(text).expect("a proof is base64");
    let (path, leaf) = proof[1..].split_at(usize::from(proof[0]) * 32);
    let leaves: Vec<&[u8]> = blob.chunks(LEAF).collect();
    let digest = sha256(&[nonce, &index.to_be_bytes(), &sha256(&[blob])]);
    let number = u64::from_be_bytes(digest[..8].try_into().unwrap());
    let position = usize::try_from(number % leaves.len() as u64).unwrap();
    let path: Vec<&[u8]> = path.chunks(32).collect();
    leaf == leaves[position] && climb(leaf, position, leaves.len(), &path) == Some(tree_hash(&leaves))
}

fn samples(audit: &Audit, nonce: &[u8; 32]) -> Vec<Value> {
    assert_eq!(audit.answer.kind, kind::AUDIT, "{:?}", audit.answer);
    assert_eq!(audit.answer.tag("p"), Some(audit.request.pubkey.as_str()));
    let content: Value = serde_json::from_str(&audit.answer.content).expect("an answer is JSON");
    assert_eq!(content["nonce"], hex::encode(nonce));
    assert_eq!(content["req"], "00000000000000ab");
    content["samples"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_is_answered_with_proofs_for_less_than_two_and_a_half_kilobytes_a_sample() {
    let world = World::start(1);
    let provider = world.providers[0].id.clone();
    let announcement = discover(&world.relay).await.remove(0);
    assert!(announcement.tags.iter().any(|tag| *tag == ["ext", "audit"]), "{announcement:?}");
    let mut client = Client::connect(&world.relay, &provider).await;
    let blobs: Vec<Vec<u8>> =
        [512 << 10, 1, LEAF, LEAF + 1, 100_000].map(|len: usize| noise(len, len as u64)).into();
    for blob in &blobs {
        client.store(blob).await.unwrap();
    }
    let hashes: Vec<String> = blobs.iter().map(|blob| sha256_hex(blob)).collect();
    for (count, of) in [(blobs.len(), blobs.len()), (28, 1)] {
        let asked: Vec<String> = hashes[..of].iter().cloned().cycle().take(count).collect();
        let nonce = fresh_nonce();
        let audit = audit(&mut client, &nonce, &asked).await;
        let samples = samples(&audit, &nonce);
        assert_eq!(samples.len(), count);
        for ((index, sample), blob) in (0..).zip(&samples).zip(blobs[..of].iter().cycle()) {
            assert!(is_proof(sample, blob, index, &nonce), "{index}");
        }
        let moved = audit.request.json().to_string().len() + audit.answer.json().to_string().len();
        assert!(moved < 2_500 * count, "{moved} bytes for {count} samples");
        if count == 28 {
            let other = fresh_nonce();
            let by_chance =
                (0..).zip(&samples).filter(|(index, sample)| is_proof(sample, &blobs[0], *index, &other));
            assert!(by_chance.count() < 6, "512 leaves are 512 answers");
            println!("{} bytes a sample", moved / count);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_proves_nothing_of_what_it_has_lost() {
    let world = World::start(1);
    let mut client = Client::connect(&world.relay, &world.providers[0].id).await;
    let blobs = [1, 2, 3].map(|seed| noise(100_000, seed));
    for blob in &blobs {
        client.store(blob).await.unwrap();
    }
    let hashes = blobs.clone().map(|blob| sha256_hex(&blob));
    let file = |hash: &String| world.providers[0].store.join("blobs").join(hash);
    fs::remove_file(file(&hashes[0])).unwrap();
    let mut damaged = fs::read(file(&hashes[1])).unwrap();
    damaged[99_999] ^= 1;
    fs::write(file(&hashes[1]), damaged).unwrap();
    for _ in 0..3 {
        let nonce = fresh_nonce();
        let audit = audit(&mut client, &nonce, &hashes).await;
        let samples = samples(&audit, &nonce);
        assert_eq!(samples[..2], [Value::Null, Value::Null]);
        assert!(is_proof(&samples[2], &blobs[2], 2, &nonce));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_without_a_nonce_or_of_too_much_is_refused() {
    let world = World::start(1);
    let mut client = Client::connect(&world.relay, &world.providers[0].id).await;
    let hash = sha256_hex(b"whatever");
    for body in [
        json!({"action": "audit", "hashes": [hash]}),
        json!({"action": "audit", "hashes": [hash], "nonce": "00"}),
        json!({"action": "audit", "hashes": [], "nonce": "00".repeat(32)}),
        json!({"action": "audit", "hashes": vec![&hash; 29], "nonce": "00".repeat(32)}),
    ] {
        let failure = client.ask(&body, &hash).await.unwrap_err();
        assert_eq!(failure.code, "INVALID_REQUEST", "{body}");
    }
}
