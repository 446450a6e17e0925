//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the format is broken.
//!
//! The law of every decoder: no panic, no more memory than the limits allow, and whatever is accepted encodes again to
//! the bytes that it came from.

use bytes::Bytes;

use crate::crypt::MaskKey;
use crate::erasure::{Codec, Scheme};
use crate::types::limits::{HEAD_LEN_CLASSES, RECORD_BODY_LEN_MAX, SEGMENT_LEN_MAX, SEGMENT_LEN_MIN};
use crate::types::merkle::{self, LEAF_LEN};
use crate::types::{BlobHash, MerkleRoot, ShardIndex, merkle_root};

use super::codec::{Encoding, Reader, decode, encode};
use super::placement::{Coding, ShardName};
use super::record::{Item, read_body};
use super::{ContentItem, Cutter, Entry, Head, PlacementItem, Record, RunIndex, compress};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 9] = [
    ("format_record", record),
    ("format_placement", body::<PlacementItem>),
    ("format_content", body::<ContentItem>),
    ("format_entry", canonical::<Entry>),
    ("format_run_index", canonical::<RunIndex>),
    ("format_head", head),
    ("format_packed", packed),
    ("format_pack", pack),
    ("format_cut", cut),
];

/// A chain of records, as far as it can be read.
pub fn record(bytes: &[u8]) {
    let mut chain = Reader::new(bytes, "a chain");
    let mut read = Vec::new();
    while let Ok(record) = Record::read(&mut chain) {
        read.extend_from_slice(record.as_bytes());
    }
    assert!(bytes.starts_with(&read));
}

/// An opened body.
pub fn body<T: Item>(bytes: &[u8]) {
    let Ok(items) = read_body::<T>(bytes) else { return };
    for item in &items {
        let encoding = encode(item).expect("what was read can be written");
        let again: T = decode(&encoding, "an item").expect("what was written can be read");
        assert_eq!(encode(&again), Ok(encoding));
    }
}

/// One value.
pub fn canonical<T: Encoding>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes, "a value") {
        assert_eq!(encode(&value).as_deref(), Ok(bytes));
    }
}

/// An opened head.
pub fn head(bytes: &[u8]) {
    if let Ok((head, signed, _)) = Head::read_padded(bytes) {
        assert_eq!(encode(&head).as_deref(), Ok(signed));
        assert!(head.sealed_len().is_ok_and(|len| HEAD_LEN_CLASSES.contains(&len)));
    }
}

/// Packed data, and data to be packed.
pub fn packed(bytes: &[u8]) {
    if let Ok(data) = compress::unpack(bytes, RECORD_BODY_LEN_MAX, "packed data") {
        assert!(data.len() <= RECORD_BODY_LEN_MAX);
    }
    let packed = compress::pack(bytes, 0);
    assert!(packed.len() <= 1 + bytes.len());
    assert_eq!(compress::unpack(&packed, bytes.len(), "packed data").as_deref(), Ok(bytes));
}

/// A pack of which some shards are lost: two bytes choose the scheme, two say which shards are there.
pub fn pack(bytes: &[u8]) {
    let [need, total, pattern @ ..] = bytes else { return };
    let Ok(scheme) = Scheme::new(need % 12 + 1, total % 12 + 1) else { return };
    let Some((pattern, data)) = pattern.split_first_chunk::<2>() else { return };
    let shard_len = data.len() / usize::from(scheme.need());
    if shard_len == 0 {
        return;
    }
    let data = &data[..shard_len * usize::from(scheme.need())];
    let parity = Codec::new(scheme).encode(data);
    let shards: Vec<&[u8]> = data.chunks(shard_len).chain(parity.chunks(shard_len)).collect();
    let pattern = u16::from_le_bytes(*pattern);
    let found: Vec<_> =
        (0..).zip(&shards).map(|(i, shard)| (pattern >> i & 1 == 1).then_some(*shard)).collect();
    let enough = found.iter().flatten().count() >= usize::from(scheme.need());
    match Codec::new(scheme).reconstruct(&found) {
        Ok(reconstructed) => assert!(enough && reconstructed == data),
        Err(_) => assert!(!enough),
    }
    strange_shards(scheme, data);
}

/// Bytes that claim to be a shard are used only under their own name.
fn strange_shards(scheme: Scheme, data: &[u8]) {
    let name = ShardName { hash: BlobHash::of(data), root: MerkleRoot::new([0; 32]) };
    let mask = (scheme.need() == 1).then(|| MaskKey::new([0; 32]));
    let shards = vec![name; usize::from(scheme.total())];
    let coding = Coding { scheme, sealed_len: 1, mask, shards };
    let verified = coding.verify(ShardIndex(0), Bytes::copy_from_slice(data));
    assert_eq!(verified.is_ok(), data.len() == coding.shard_len() as usize);
}

/// A file, cut; and the Merkle tree over it.
pub fn cut(bytes: &[u8]) {
    if let Some(len) = Cutter::new(bytes.len() as u64).cut(bytes) {
        assert!(len <= bytes.len() && (SEGMENT_LEN_MIN as usize..=SEGMENT_LEN_MAX as usize).contains(&len));
    }
    let root = merkle_root(bytes);
    let leaf_count = bytes.chunks(LEAF_LEN).count();
    for (index, leaf) in bytes.chunks(LEAF_LEN).enumerate() {
        let path = merkle::prove(bytes, index).expect("the leaf is there");
        assert!(merkle::verify(leaf, index as u64, leaf_count as u64, &path, &root));
    }
    assert!(merkle::prove(bytes, leaf_count).is_none());
}
