//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the vault is broken.

use std::sync::{Arc, OnceLock};

use crate::crypt::{DeviceClass, VaultKeys, VaultSecret};
use crate::env::{Env, ManualClock};
use crate::format::chain::{Chain, ChainKeys};
use crate::format::codec::{Encoding, Reader, decode, encode};
use crate::format::{Body, Device, Place, PlacementItem, Promises, Record};
use crate::types::{DeviceId, ProviderId, Timestamp};
use crate::vault::capability::parse_capability;
use crate::vault::log::ChainLog;
use crate::vault::unfinished::{Header, WHAT, frames};
use crate::vault::{Sent, care, key_file, parse_secret, settings};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 7] = [
    ("vault_settings", settings),
    ("vault_care", care),
    ("vault_key", key),
    ("vault_capability", capability),
    ("vault_chain", chain),
    ("vault_log", log),
    ("vault_unfinished", unfinished),
];

const DEVICE: DeviceId = DeviceId::new([9; 16]);

/// Opened settings: what is read is written the same way again.
pub fn settings(bytes: &[u8]) {
    if let Ok(read) = settings::parse(bytes) {
        let again = settings::encode(&read).expect("settings can be written as JSON");
        assert_eq!(settings::parse(&again).expect("what was written can be read"), read);
    }
}

/// What a home remembers of its vault's health, opened: what is read is written the same way again.
pub fn care(bytes: &[u8]) {
    if let Some(read) = care::parse(bytes) {
        let again = care::encode(&read).expect("it can be written as JSON");
        assert_eq!(care::parse(&again).expect("what was written can be read"), read);
    }
}

/// The text of a key file: a key has one text, and an error repeats nothing of it.
pub fn key(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match parse_secret(text, "a file") {
        Ok(secret) => {
            let text = key_file::secret_text(&secret).expect("a key that was read can be shown");
            assert_eq!(parse_secret(&text, "a file").expect("as it can be read").expose(), secret.expose());
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
}

/// The text of a capability: what is read is written the same way again, and an error repeats nothing of it.
pub fn capability(bytes: &[u8]) {
    match parse_capability(bytes, "a file") {
        Ok(read) => {
            let text = read.to_text().expect("a capability that was read can be written");
            assert_eq!(str::from_utf8(bytes).map(str::trim), Ok(text.as_str()));
        }
        Err(error) => assert_eq!(error.to_string(), "a file holds no capability"),
    }
}

/// A chain with changes (position, mask) to its bytes: no changed record is accepted, nor any after it.
pub fn chain(changes: &[u8]) {
    let (keys, records) = valid_chain();
    let whole = records.concat();
    let mut bytes = whole.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    let mut chain = Chain::new(DEVICE);
    let mut input = Reader::new(&bytes, "a chain");
    while let Ok(record) = Record::read(&mut input) {
        if chain.accept(&record, keys).is_err() {
            break;
        }
        let accepted = usize::try_from(chain.count()).expect("as many as there are records");
        assert_eq!(record.as_bytes(), records[accepted - 1], "a record that nobody signed was accepted");
    }
    assert!(bytes != whole || chain.count() == records.len() as u64, "a good chain is accepted");
}

/// A log of any bytes: it is read up to where it is no log any more, and nothing of it is read twice.
pub fn log(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = ChainLog::open(folder.path(), DEVICE).expect("a log can be made");
    log.append(bytes, 0).expect("the log can be written");
    assert_eq!(log.synced_len().expect("readable"), bytes.len() as u64);
    let mut scan = log.scan(0);
    let mut read = Vec::new();
    while let Some(Ok(record)) = scan.next().expect("the log can be read") {
        read.extend_from_slice(record.as_bytes());
        assert_eq!(scan.offset(), read.len() as u64);
    }
    assert!(bytes.starts_with(&read));
}

/// The journal of what is sent: its frames are parts of it, and what opens in them has one encoding.
pub fn unfinished(bytes: &[u8]) {
    fn has_one_encoding<T: Encoding>(bytes: &[u8]) {
        if let Ok(value) = decode::<T>(bytes, WHAT) {
            assert_eq!(encode(&value).expect("what was read can be written"), bytes);
        }
    }
    let mut framed = Vec::new();
    for frame in frames(bytes) {
        framed.extend_from_slice(&u16::try_from(frame.len()).expect("as its length says").to_le_bytes());
        framed.extend_from_slice(frame);
        has_one_encoding::<Sent>(frame);
        has_one_encoding::<Header>(frame);
    }
    assert!(bytes.starts_with(&framed));
    has_one_encoding::<Sent>(bytes);
}

/// A chain of four records of one device, and what opens it.
fn valid_chain() -> &'static (ChainKeys, Vec<Vec<u8>>) {
    static CHAIN: OnceLock<(ChainKeys, Vec<Vec<u8>>)> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1))));
        let keys = VaultKeys::new(VaultSecret::new([7; 32])).expect("a fixed key that is one");
        let chain_keys = ChainKeys::new(&keys);
        let device_keys = keys.device_keys(DeviceClass::Full, &DEVICE);
        let genesis = Device::certify(DEVICE, DeviceClass::Full, Timestamp(1), Vec::new(), &keys);
        let mut items = vec![PlacementItem::Device(genesis)];
        items.extend((1..4).map(|number| {
            PlacementItem::Promises(Promises {
                provider: ProviderId::new([number; 32]),
                promises: Vec::new(),
            })
        }));
        let mut chain = Chain::new(DEVICE);
        let mut records = Vec::new();
        for item in items {
            let place = Place { device: DEVICE, sequence: chain.count(), previous: chain.last_hash() };
            let bodies = Body::of(&[item]).expect("a small item fits");
            let (vault, layer_key) = (chain_keys.vault, &chain_keys.placement);
            let record = Record::seal(&bodies[0], place, vault, layer_key, &device_keys, &mut env.rng());
            chain.accept(&record, &chain_keys).expect("what was sealed is accepted");
            records.push(record.as_bytes().to_vec());
        }
        (chain_keys, records)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Capability;

    #[test]
    fn laws_hold_for_samples() {
        let samples: [&[u8]; 7] = [
            b"",
            b"nsec1",
            b"0101010101010101010101010101010101010101010101010101010101010101",
            br#"{"version":1,"relays":["wss://r.example"],"providers":{},"heads_seen":{}}"#,
            br#"{"version":1,"version":1}"#,
            &[0, 0, 1, 200, 0, 255],
            &[1; 5_000],
        ];
        for (_, target) in TARGETS {
            samples.into_iter().for_each(target);
        }
    }

    #[test]
    fn laws_hold_for_random_bytes_and_small_changes() {
        use rand::Rng as _;
        let mut rng = Env::seeded(5, Arc::new(ManualClock::new(Timestamp(1)))).rng();
        let settings_text = br#"{"version":1,"relays":["wss://r.example"],"providers":{},"heads_seen":{}}"#;
        for round in 0..500 {
            let mut bytes = vec![0; rng.random_range(0..200)];
            rng.fill(bytes.as_mut_slice());
            for (_, target) in TARGETS.into_iter().filter(|(name, _)| *name != "vault_log" || round % 25 == 0)
            {
                target(&bytes);
            }
            let mut changed = settings_text.to_vec();
            let at = rng.random_range(0..changed.len());
            changed[at] = rng.random_range(b' '..=b'~');
            settings(&changed);
        }
        let keys = VaultKeys::new(VaultSecret::new([7; 32])).unwrap();
        let issued = Capability::issue(DEVICE, Timestamp(1), vec!["wss://r.example".into()], &keys);
        let text = issued.to_text().unwrap();
        capability(text.as_bytes());
        assert!(parse_capability(text.as_bytes(), "a file").is_ok());
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(parse_capability(&changed, "a file").is_err(), "byte {at}");
            capability(&changed);
        }
        let (_, records) = valid_chain();
        log(&records.concat());
        (0..=255).for_each(|at| chain(&[at, at % 3, 1]));
    }
}
