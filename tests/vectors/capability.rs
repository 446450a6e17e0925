//! Capabilities as text, and the items that tell of them: right ones and wrong ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use blobdvm::crypt::{DeviceClass, PublicKey};
use blobdvm::format::codec::encode;
use blobdvm::format::*;
use blobdvm::types::{DeviceId, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::make::{device, rng, secret_keys};
use super::wrong::{changed, read, wrong};
use super::{describe, text};

const DEVICE: DeviceId = DeviceId::new([0xd0; 16]);
const PREFIX: &str = "blobdvm-verify1:";

fn issue(relays: &[&str]) -> Capability {
    let relays = relays.iter().map(ToString::to_string).collect();
    Capability::issue(DEVICE, Timestamp(1_800_000_000), relays, &secret_keys())
}

/// What a capability gives, and what it says.
fn described(capability: &Capability) -> Value {
    let access = capability.access();
    let key = PublicKey::from(&access.actor().device_keys(&capability.device));
    json!({
        "device": capability.device,
        "created": capability.created.0.to_string(),
        "relays": capability.relays,
        "vault_id": access.vault_id(),
        "vault_key": hex::encode(access.vault_key().0),
        "placement_key": hex::encode(access.placement_key().expose()),
        "full_author": hex::encode(access.full_author().0),
        "device_key": hex::encode(key.0),
        "head_author": hex::encode(PublicKey::from(&access.actor().head_author()).0),
    })
}

pub(crate) fn make() -> Vec<Value> {
    [issue(&[]), issue(&["wss://relay.example", "ws://127.0.0.1:7777"])]
        .iter()
        .map(|capability| json!({ "text": *capability.to_text().unwrap(), "described": described(capability) }))
        .collect()
}

pub(crate) fn check(vector: &Value) {
    let capability = Capability::parse(text(vector, "text")).unwrap();
    assert_eq!(described(&capability), vector["described"]);
    assert_eq!(capability.to_text().unwrap().as_str(), text(vector, "text"));
    let of_vault = issue(&capability.relays.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        of_vault.to_text().unwrap().as_str(),
        text(vector, "text"),
        "the vault's secret gives the same"
    );
}

pub(crate) fn items() -> Vec<Value> {
    let granted = |label| PlacementItem::Grant(issue(&[]).grant(label));
    let items = [granted("a shelf"), granted(""), PlacementItem::Revoke(Revoke { device: DEVICE })];
    let vector = |item: &PlacementItem| {
        json!({
            "layer": "placement",
            "encoding": hex::encode(encode(item).unwrap()),
            "described": describe::placement(item),
        })
    };
    items.iter().map(vector).collect()
}

/// The text around bytes that are a capability, or nearly.
fn text_of(bytes: &[u8]) -> String {
    let check: [u8; 32] = Sha256::digest(bytes).into();
    format!("{PREFIX}{}", BASE64.encode([bytes, &check[..8]].concat()))
}

pub(crate) fn make_wrong() -> Vec<Value> {
    let with_error = |mut vector: Value| {
        vector["error"] = read(&vector).expect_err(text(&vector, "law")).into();
        vector
    };
    [wrong_texts(), wrong_items(), wrong_chains()].into_iter().flatten().map(with_error).collect()
}

fn wrong_texts() -> Vec<Value> {
    let right = issue(&["wss://relay.example"]).to_text().unwrap();
    let encoded = right.strip_prefix(PREFIX).unwrap();
    let whole = BASE64.decode(encoded).unwrap();
    let bytes = &whole[..whole.len() - 8];
    assert_eq!(text_of(bytes), *right);
    // Device, created, vault id, vault key, placement key, secret, author, certificate, count, length of a relay.
    let (secret, vault, relays) = (16 + 8 + 16 + 32 + 32, 24, 16 + 8 + 16 + 32 + 32 + 32 + 32 + 64);
    let of = |law, text: String| wrong(law, "capability", text);
    let with = |law, change: fn(&mut Vec<u8>, usize), at| {
        of(law, text_of(&changed(bytes, |bytes| change(bytes, at))))
    };
    vec![
        of("a capability has its name in front", encoded.to_owned()),
        of("a capability's version is known", right.replace("verify1:", "verify2:")),
        of("a capability's version is written in one way", right.replace("verify1:", "verify01:")),
        of("a capability's version is not 0", right.replace("verify1:", "verify0:")),
        of("a colon ends a capability's version", right.replace(':', "")),
        of("a capability is base64", right.replacen(&encoded[..1], "*", 1)),
        of("a capability has no padding", format!("{}=", *right)),
        of("a capability is complete", right[..right.len() - 4].to_owned()),
        of("a capability is one line", format!("{}\n{}", *right, *right)),
        of(
            "a capability is whole to its check",
            format!("{PREFIX}{}", BASE64.encode(changed(&whole, |b| b[90] ^= 1))),
        ),
        with("a capability's device is certified for its secret", |bytes, at| bytes[at] ^= 1, secret),
        with("a capability's device is certified for its vault", |bytes, at| bytes[at] ^= 1, vault),
        with("a capability's device is certified under its id", |bytes, at| bytes[at] ^= 1, 0),
        with("a capability has at most 32 relays", |bytes, at| bytes[at] = 33, relays),
        with("a capability's relay has at most 255 bytes", |bytes, at| bytes[at + 1] = 1, relays + 4),
        with("a capability ends where it ends", |bytes, _| bytes.push(0), 0),
        with("a capability is not empty", |bytes, _| bytes.clear(), 0),
    ]
}

fn wrong_items() -> Vec<Value> {
    let grant = encode(&PlacementItem::Grant(issue(&[]).grant("a shelf"))).unwrap();
    let revoke = encode(&PlacementItem::Revoke(Revoke { device: DEVICE })).unwrap();
    let item = |law, bytes: Vec<u8>| wrong(law, "placement item", bytes);
    // A grant: type, device, created, author, length of the label.
    let label = 1 + 16 + 8 + 32;
    vec![
        item("type 9 is no item", changed(&revoke, |bytes| bytes[0] = 9)),
        item("a grant is complete", changed(&grant, |bytes| bytes.truncate(bytes.len() - 1))),
        item("a grant ends where it ends", changed(&grant, |bytes| bytes.push(0))),
        item("a grant's label has at most 255 bytes", changed(&grant, |bytes| bytes[label + 1] = 1)),
        item("a grant's label is UTF-8", changed(&grant, |bytes| bytes[label + 4] = 0xff)),
        item("a revocation is complete", changed(&revoke, |bytes| bytes.truncate(bytes.len() - 1))),
        item("a revocation ends where it ends", changed(&revoke, |bytes| bytes.push(0))),
    ]
}

/// Chains of a verify device that grant or revoke, or hold contents.
fn wrong_chains() -> Vec<Value> {
    let (keys, first) = (secret_keys(), device(2, DeviceClass::Verify, Vec::new()));
    let signer = keys.device_keys(DeviceClass::Verify, &first.id);
    let seal =
        |body: &Body, place, key| Record::seal(body, place, keys.vault_id(), key, &signer, &mut rng(1));
    let start = Place { device: first.id, sequence: 0, previous: RecordHash::NONE };
    let (placement, content) = (keys.placement_key(), keys.content_key());
    let begun = seal(&Body::of(&[PlacementItem::Device(first.clone())]).unwrap()[0], start, &placement);
    let next = Place { sequence: 1, previous: begun.hash(), ..start };
    let chain = |law, record: Record| wrong(law, "chain", [begun.as_bytes(), record.as_bytes()].concat());
    let item = |item: PlacementItem| seal(&Body::of(&[item]).unwrap()[0], next, &placement);
    let list = RefList::new(Vec::new(), &keys.tree_tag_key()).unwrap();
    let contents = Body::of(&[ContentItem::RefList(list)]).unwrap();
    vec![
        chain("a verify device grants nothing", item(PlacementItem::Grant(issue(&[]).grant("")))),
        chain("a verify device revokes nobody", item(PlacementItem::Revoke(Revoke { device: DEVICE }))),
        chain("a verify device records no contents", seal(&contents[0], next, &content)),
    ]
}
