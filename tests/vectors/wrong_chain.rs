//! Chains that are almost right: how they were made.

use blobdvm::crypt::{Aad, DeviceClass, Layer, Purpose, SealedKind, seal_salted, sign};
use blobdvm::format::codec::{Writer, encode};
use blobdvm::format::*;
use blobdvm::types::DeviceId;
use serde_json::Value;

use super::make::{chain, device, placement_items, rng, secret_keys};
use super::wrong::{changed, wrong};

/// All wrong chains.
pub(crate) fn make() -> Vec<Value> {
    [links(), beginnings(), envelopes(), bodies()].concat()
}

/// A record at `place` of a device of `class`, with this plaintext as its body.
fn record(plain: &[u8], place: Place, layer: Layer, class: DeviceClass) -> Vec<u8> {
    let keys = secret_keys();
    let extra = [place.sequence.to_le_bytes().as_slice(), &place.previous.0].concat();
    let (vault, device) = (keys.vault_id(), place.device);
    let key = if layer == Layer::Content { keys.content_key() } else { keys.placement_key() };
    let aad = Aad { kind: SealedKind::Record, vault, device, layer, extra: &extra };
    let sealed = seal_salted(plain, &aad, &key, &mut rng(1));
    let mut out = Writer::new();
    out.raw(&[1, layer.code()]);
    out.raw(device.as_bytes());
    out.raw(&extra);
    out.u32(u32::try_from(sealed.len()).unwrap());
    out.raw(&sealed);
    let signature = sign::sign(out.as_bytes(), Purpose::Record, &keys.device_keys(class, &device));
    out.raw(&signature.0);
    out.into_bytes()
}

/// The plaintext of a body with one placement item.
fn body_of(item: &PlacementItem) -> Vec<u8> {
    [&[1, 0, 1, 0, 0, 0], encode(item).unwrap().as_slice()].concat()
}

fn chain_vector(law: &str, records: &[&[u8]]) -> Value {
    wrong(law, "chain", records.concat())
}

fn links() -> Vec<Value> {
    let records = chain();
    let [first, second, third] = [0, 1, 2].map(|i: usize| records[i].as_bytes().to_vec());
    let next = records[1].place();
    let needs = body_of(&placement_items()[5]);
    let stranger = Place { device: DeviceId::new([2; 16]), ..next };
    let fork = Place { previous: RecordHash([9; 32]), ..next };
    let at = |place| record(&needs, place, Layer::Placement, DeviceClass::Full);
    vec![
        chain_vector("no record is missing", &[&first, &third]),
        chain_vector("no record comes twice", &[&first, &second, &second]),
        chain_vector("a record follows the one before", &[&first, &at(fork)]),
        chain_vector("a chain has one device", &[&first, &at(stranger)]),
        chain_vector("a record is signed", &[&first, &changed(&second, |b| *b.last_mut().unwrap() ^= 1)]),
        chain_vector("a signature covers the sealed body", &[&first, &changed(&second, |b| b[100] ^= 1)]),
    ]
}

fn beginnings() -> Vec<Value> {
    let records = chain();
    let [first, second] = [0, 1].map(|i: usize| records[i].as_bytes().to_vec());
    let start = records[0].place();
    let begin = |item: &PlacementItem| record(&body_of(item), start, Layer::Placement, DeviceClass::Full);
    let uncertified = Device { class: DeviceClass::Verify, ..device(1, DeviceClass::Full, Vec::new()) };
    let items = placement_items();
    let again = record(&body_of(&items[0]), records[1].place(), Layer::Placement, DeviceClass::Full);

    let verify =
        |item: &PlacementItem, place| record(&body_of(item), place, Layer::Placement, DeviceClass::Verify);
    let start_of_two = Place { device: DeviceId::new([2; 16]), ..start };
    let verifier = verify(&items[1], start_of_two);
    let previous = Record::decode(&verifier).unwrap().hash();
    let beyond = verify(&items[5], Place { sequence: 1, previous, ..start_of_two });
    vec![
        chain_vector("a chain has a beginning", &[]),
        chain_vector("a chain begins with record 0", &[&second]),
        chain_vector("a chain begins with its device", &[&begin(&items[5])]),
        chain_vector("a device begins its own chain", &[&begin(&items[1])]),
        chain_vector("a device is certified by the vault", &[&begin(&PlacementItem::Device(uncertified))]),
        chain_vector("a device begins its chain once", &[&first, &again]),
        chain_vector("a verify device records promises only", &[&verifier, &beyond]),
    ]
}

fn envelopes() -> Vec<Value> {
    let records = chain();
    let [first, second] = [0, 1].map(|i: usize| records[i].as_bytes().to_vec());
    let no_body = changed(&first, |b| b[58..62].copy_from_slice(&[53, 0, 0, 0]));
    vec![
        chain_vector("a record's version is known", &[&changed(&first, |b| b[0] = 2)]),
        chain_vector("a record's layer is known", &[&changed(&first, |b| b[1] = 0)]),
        chain_vector("the first record has no predecessor", &[&changed(&first, |b| b[26] = 1)]),
        chain_vector("a later record has a predecessor", &[&first, &changed(&second, |b| b[26..58].fill(0))]),
        chain_vector("a record has a body", &[&no_body]),
        chain_vector("a sealed body is within its limit", &[&changed(&first, |b| b[61] = 1)]),
        chain_vector("a record is complete", &[&first, &second[..second.len() - 1]]),
        chain_vector("a first record's body authenticates", &[&changed(&first, |b| b[100] ^= 1)]),
    ]
}

fn bodies() -> Vec<Value> {
    let records = chain();
    let (first, next) = (records[0].as_bytes(), records[1].place());
    let needs = body_of(&placement_items()[5]);
    let vector = |law, layer, plain: Vec<u8>| {
        chain_vector(law, &[first, &record(&plain, next, layer, DeviceClass::Full)])
    };
    let body = |law, change: fn(&mut Vec<u8>)| vector(law, Layer::Placement, changed(&needs, change));
    vec![
        body("a body's version is known", |b| b[0] = 2),
        body("a body's packing is known", |b| b[1] = 2),
        body("a body's count is true", |b| b[2] = 2),
        body("a body ends where it ends", |b| b.push(0)),
        vector("a content record has content items", Layer::Content, needs.clone()),
    ]
}
