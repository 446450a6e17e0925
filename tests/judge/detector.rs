//! Finds markers in whatever a program lets out: as they are, in hexadecimal digits, in base64 at every alignment, and
//! below any layers of JSON, base64, hexadecimal digits and Zstandard.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Layers that are taken off one after another.
const DEPTH_MAX: usize = 10;
/// Bytes of a pattern that are looked up at once.
const PREFIX_LEN: usize = 8;
/// Bytes that a Zstandard frame may give.
const UNPACKED_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Something that must not be found.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

/// Looks for markers, and remembers which it has found where.
pub(crate) struct Detector {
    markers: Vec<Marker>,
    /// Marker and bytes of each pattern, by its first bytes.
    patterns: HashMap<[u8; PREFIX_LEN], Vec<(usize, Vec<u8>)>>,
    /// Whether any pattern begins with these two bytes.
    beginnings: Vec<bool>,
    examined: HashSet<[u8; 32]>,
    /// Where each marker that was found was found first.
    pub(crate) found: BTreeMap<String, String>,
}

impl Detector {
    /// Looks for `markers`, each of at least 12 bytes.
    pub(crate) fn new(markers: Vec<Marker>) -> Self {
        let mut detector = Self {
            patterns: HashMap::new(),
            beginnings: vec![false; 1 << 16],
            examined: HashSet::new(),
            found: BTreeMap::new(),
            markers: Vec::new(),
        };
        for (index, marker) in markers.iter().enumerate() {
            assert!(marker.bytes.len() >= 12, "{} could be found by chance", marker.what);
            for pattern in spellings(&marker.bytes) {
                let prefix = pattern[..PREFIX_LEN].try_into().expect("a pattern is longer");
                detector.beginnings[usize::from(u16::from_be_bytes([pattern[0], pattern[1]]))] = true;
                detector.patterns.entry(prefix).or_default().push((index, pattern));
            }
        }
        detector.markers = markers;
        detector
    }

    /// Looks into `bytes` and into every layer below.
    pub(crate) fn examine(&mut self, bytes: &[u8], place: &str) {
        self.examine_layer(bytes, place, 0);
    }

    /// Names of the markers that were not found.
    pub(crate) fn missed(&self) -> BTreeSet<&str> {
        let names = self.markers.iter().map(|marker| marker.what.as_str());
        names.filter(|what| !self.found.contains_key(*what)).collect()
    }

    fn examine_layer(&mut self, bytes: &[u8], place: &str, depth: usize) {
        if depth > DEPTH_MAX
            || bytes.len() < PREFIX_LEN
            || !self.examined.insert(Sha256::digest(bytes).into())
        {
            return;
        }
        self.search(bytes, place);
        for layer in unzipped(bytes) {
            self.examine_layer(&layer, place, depth + 1);
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let text = text.trim();
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            self.examine_value(&value, place, depth + 1);
        } else if text.contains('\n') {
            for line in text.lines() {
                self.examine_layer(line.as_bytes(), place, depth + 1);
            }
        }
        let bases = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        let decoded = bases.iter().find_map(|base| base.decode(text).ok());
        for layer in [decoded, hex::decode(text).ok()].into_iter().flatten() {
            self.examine_layer(&layer, place, depth + 1);
        }
    }

    fn examine_value(&mut self, value: &Value, place: &str, depth: usize) {
        match value {
            Value::String(text) => self.examine_layer(text.as_bytes(), place, depth),
            Value::Array(items) => {
                let byte = |item: &Value| item.as_u64().and_then(|number| u8::try_from(number).ok());
                if let Some(bytes) = items.iter().map(byte).collect::<Option<Vec<u8>>>() {
                    self.examine_layer(&bytes, place, depth);
                }
                for item in items {
                    self.examine_value(item, place, depth);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.examine_layer(name.as_bytes(), place, depth);
                    self.examine_value(field, place, depth);
                }
            }
            _ => {}
        }
    }

    fn search(&mut self, bytes: &[u8], place: &str) {
        for (at, pair) in bytes.windows(2).enumerate() {
            if !self.beginnings[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                continue;
            }
            let Some(prefix) = bytes[at..].first_chunk::<PREFIX_LEN>() else { return };
            for (index, pattern) in self.patterns.get(prefix).into_iter().flatten() {
                if bytes[at..].starts_with(pattern) {
                    self.found.entry(self.markers[*index].what.clone()).or_insert_with(|| place.to_owned());
                }
            }
        }
    }
}

/// All ways in which a marker may stand in a text or in bytes.
fn spellings(marker: &[u8]) -> Vec<Vec<u8>> {
    let digits = hex::encode(marker);
    let mut spellings = vec![marker.to_vec(), digits.to_uppercase().into_bytes(), digits.into_bytes()];
    for base in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            let shifted = [vec![0; shift], marker.to_vec()].concat();
            // Only the characters that do not depend on what stands before or behind the marker.
            let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
            spellings.push(base.encode(&shifted).as_bytes()[first..last].to_vec());
        }
    }
    spellings
}

/// What the Zstandard frames give that begin somewhere in `bytes`.
fn unzipped(bytes: &[u8]) -> Vec<Vec<u8>> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut layers = Vec::new();
    for (at, _) in bytes.windows(4).enumerate().filter(|(_, window)| *window == MAGIC) {
        let mut layer = Vec::new();
        if let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(&bytes[at..]) {
            // An error behind the frame takes nothing from what came before.
            let _ = decoder.single_frame().take(UNPACKED_LEN_MAX).read_to_end(&mut layer);
        }
        layers.push(layer);
    }
    layers
}

#[test]
fn a_marker_is_found_below_every_layer() {
    let marker = Marker { what: "the marker".into(), bytes: crate::support::noise(16, 99) };
    let bytes = &marker.bytes;
    let packed = zstd::bulk::compress(&[b"aaaa".repeat(100), bytes.clone()].concat(), 3).unwrap();
    let json = serde_json::json!({"content": {"data": [STANDARD.encode(bytes)]}});
    let hidden: Vec<Vec<u8>> = vec![
        [b"before", bytes.as_slice(), b"behind"].concat(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        format!("no JSON: {}", STANDARD.encode([b"1", bytes.as_slice(), b"23"].concat())).into_bytes(),
        format!("no JSON: {}", URL_SAFE.encode([b"12", bytes.as_slice()].concat())).into_bytes(),
        serde_json::json!({"key": bytes}).to_string().into_bytes(),
        serde_json::json!([json.to_string()]).to_string().into_bytes(),
        STANDARD.encode(format!("{{\"x\":\"{}\"}}", STANDARD.encode(json.to_string()))).into_bytes(),
        [b"before".to_vec(), packed.clone(), b"behind".to_vec()].concat(),
        serde_json::json!(["EVENT", {"content": STANDARD.encode(packed)}]).to_string().into_bytes(),
        format!("a line\n{json}\n").into_bytes(),
    ];
    for (index, bytes) in hidden.iter().enumerate() {
        let mut detector = Detector::new(vec![marker.clone()]);
        detector.examine(bytes, "here");
        assert!(detector.missed().is_empty(), "not found in {index}: {:?}", String::from_utf8_lossy(bytes));
    }
    let mut detector = Detector::new(vec![marker.clone()]);
    detector.examine(&crate::support::noise(1 << 20, 1), "noise");
    assert_eq!(detector.missed().len(), 1, "nothing is found where nothing is");
}
