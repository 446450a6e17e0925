//! Packs and shards.

use bytes::Bytes;
use proptest::prelude::*;

use super::sample::{bytes, rng};
use crate::erasure::{CodecError, Scheme};
use crate::format::*;
use crate::types::{BlobHash, ShardIndex, merkle_root};

/// A pack of one sealed text.
fn encode(sealed: &[u8], scheme: Scheme) -> EncodedPack {
    let mut builder = PackBuilder::new(scheme);
    let pushed = builder.push(sealed, &mut rng(1));
    let filled = pushed.filled.into_iter().next().or_else(|| builder.close(&mut rng(2))).unwrap();
    filled.encode()
}

fn verified(encoded: &EncodedPack, indexes: impl IntoIterator<Item = u8>) -> Vec<VerifiedShard> {
    let verify = |index| {
        encoded.pack.coding.verify(ShardIndex(index), encoded.shards[usize::from(index)].clone()).unwrap()
    };
    indexes.into_iter().map(verify).collect()
}

/// All 2^n patterns of loss, with and without masks.
#[test]
fn any_need_of_total_shards_bring_the_pack_back() {
    for (need, total) in [(1, 1), (1, 2), (1, 3), (2, 3), (2, 2), (3, 5), (4, 12)] {
        let scheme = Scheme::new(need, total).unwrap();
        let sealed = bytes(9_000, u64::from(total));
        let encoded = encode(&sealed, scheme);
        let shards = verified(&encoded, 0..total);
        for pattern in 0..1u32 << total {
            let found: Vec<_> =
                shards.iter().filter(|shard| pattern >> shard.index().0 & 1 == 1).cloned().collect();
            let expected = if found.len() >= usize::from(need) {
                Ok(sealed.clone())
            } else {
                let have = u8::try_from(found.len()).unwrap();
                Err(FormatError::Codec(CodecError::TooFewShards { have, need }))
            };
            assert_eq!(encoded.pack.coding.decode(&found), expected, "{scheme}, shards {pattern:b}");
        }
    }
}

#[test]
fn rebuilt_shards_are_the_same_blobs() {
    for (need, total) in [(1, 3), (2, 3), (3, 5)] {
        let encoded = encode(&bytes(20_000, 1), Scheme::new(need, total).unwrap());
        let some = verified(&encoded, total - need..total);
        assert_eq!(encoded.pack.coding.rebuild(&some).unwrap(), encoded.shards);
    }
}

#[test]
fn no_two_shards_are_the_same_blob() {
    for (need, total) in [(1, 4), (2, 3), (3, 3)] {
        let encoded = encode(&[0; 20], Scheme::new(need, total).unwrap());
        let mut names: Vec<_> = encoded.pack.coding.shards.iter().map(|shard| shard.hash).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), usize::from(total));
    }
}

#[test]
fn shards_have_size_classes_and_true_names() {
    let scheme = Scheme::new(2, 3).unwrap();
    for (sealed_len, shard_len) in
        [(1, 4096), (8192, 4096), (8193, 8192), (600_000, 524_288), (1 << 20, 524_288)]
    {
        let encoded = encode(&bytes(sealed_len, 4), scheme);
        for (shard, name) in encoded.shards.iter().zip(&encoded.pack.coding.shards) {
            assert_eq!(shard.len(), shard_len);
            assert_eq!((name.hash, name.root), (BlobHash::of(shard), merkle_root(shard)));
        }
    }
}

#[test]
fn data_shards_are_the_sealed_bytes_then_random_ones() {
    let sealed = bytes(5000, 3);
    let encoded = encode(&sealed, Scheme::new(2, 3).unwrap());
    let data = [encoded.shards[0].as_ref(), encoded.shards[1].as_ref()].concat();
    assert_eq!(data[..5000], sealed);
    assert!(data[5000..].chunks(16).all(|part| part.iter().any(|byte| *byte != 0)));
}

#[test]
fn blob_that_is_not_the_shard_is_refused() {
    let encoded = encode(&bytes(5000, 3), Scheme::new(2, 3).unwrap());
    let coding = &encoded.pack.coding;
    let wrong = |index, shard: Bytes| coding.verify(ShardIndex(index), shard).unwrap_err();
    let mut flipped = encoded.shards[0].to_vec();
    flipped[4095] ^= 0x80;
    let expected = FormatError::WrongShard { index: ShardIndex(0), wanted: coding.shards[0].hash };
    assert_eq!(wrong(0, flipped.into()), expected);
    assert_eq!(wrong(0, encoded.shards[1].clone()), expected);
    assert_eq!(wrong(0, encoded.shards[0].slice(..4095)), expected);
    assert_eq!(wrong(0, Bytes::new()), expected);
    assert!(matches!(wrong(3, encoded.shards[0].clone()), FormatError::TooMany { count: 4, max: 3, .. }));
}

#[test]
fn shard_of_another_pack_is_not_used() {
    let scheme = Scheme::new(2, 3).unwrap();
    let (encoded, other) = (encode(&bytes(5000, 3), scheme), encode(&bytes(5000, 4), scheme));
    let mixed = [verified(&encoded, [0]), verified(&other, [1])].concat();
    assert!(matches!(encoded.pack.coding.decode(&mixed), Err(FormatError::WrongShard { .. })));
}

#[test]
fn the_same_shard_twice_counts_once() {
    let encoded = encode(&bytes(5000, 3), Scheme::new(2, 3).unwrap());
    let expected = FormatError::Codec(CodecError::TooFewShards { have: 1, need: 2 });
    assert_eq!(encoded.pack.coding.decode(&verified(&encoded, [1, 1])), Err(expected));
}

#[test]
fn bytes_lie_in_the_data_shards_that_are_named() {
    let encoded = encode(&bytes(9000, 3), Scheme::new(3, 5).unwrap());
    let coding = &encoded.pack.coding;
    assert_eq!(coding.shards_of(0, 4096), Some(0..=0));
    assert_eq!(coding.shards_of(4095, 2), Some(0..=1));
    assert_eq!(coding.shards_of(4096, 4904), Some(1..=2));
    for (offset, len) in [(0, 0), (0, 9001), (9000, 1), (u32::MAX, 2)] {
        assert_eq!(coding.shards_of(offset, len), None, "{len} bytes at {offset}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn pieces_end_to_end_are_the_sealed_segments(
        lens in prop::collection::vec(18..900_000usize, 1..4),
        need in 1..=2u8,
    ) {
        let scheme = Scheme::new(need, need).unwrap();
        let mut builder = PackBuilder::new(scheme);
        let mut random = rng(1);
        let segments: Vec<Vec<u8>> = lens.iter().map(|len| bytes(*len, *len as u64)).collect();
        let (mut pieces, mut packs) = (Vec::new(), Vec::new());
        for sealed in &segments {
            let pushed = builder.push(sealed, &mut random);
            pieces.push(pushed.pieces);
            packs.extend(pushed.filled);
        }
        packs.extend(builder.close(&mut random));
        prop_assert!(builder.close(&mut random).is_none() && builder.open_len() == 0);
        let total: usize = lens.iter().sum();
        prop_assert_eq!(packs.len(), total.div_ceil(scheme.pack_capacity() as usize));

        let decoded: Vec<_> = packs.into_iter().map(|pack| {
            let encoded = pack.encode();
            let sealed = encoded.pack.coding.decode(&verified(&encoded, 0..need)).unwrap();
            (encoded.pack.id, sealed)
        }).collect();
        for (sealed, pieces) in segments.iter().zip(pieces) {
            let joined: Vec<u8> = pieces.iter().flat_map(|piece| {
                let (_, pack) = decoded.iter().find(|(id, _)| *id == piece.pack).unwrap();
                piece.of(pack).unwrap()
            }).copied().collect();
            prop_assert_eq!(&joined, sealed);
        }
    }
}
