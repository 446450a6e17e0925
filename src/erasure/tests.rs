//! Laws of the code: published cases, and every pattern of loss.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::*;

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn all_shards(data: &[u8], scheme: Scheme) -> Vec<Vec<u8>> {
    let shard_len = data.len() / usize::from(scheme.need());
    let parity = Codec::new(scheme).encode(data);
    data.chunks(shard_len).chain(parity.chunks(shard_len)).map(<[u8]>::to_vec).collect()
}

#[test]
fn parity_is_that_of_backblaze_and_klauspost() {
    // The "one encode" case of both libraries' tests: 5 data shards, 5 parity shards.
    let scheme = Scheme::new(5, 10).unwrap();
    let parity = Codec::new(scheme).encode(&[0, 1, 4, 5, 2, 3, 6, 7, 8, 9]);
    assert_eq!(parity, [12, 13, 10, 11, 14, 15, 90, 91, 94, 95]);
}

/// Multiplication in GF(2^8) with polynomial 0x11d, bit by bit.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
        b >>= 1;
    }
    product
}

/// The documented matrix, computed another way: shard r is the value at x = r of the polynomial that runs through the
/// data at x = 0..need.
fn interpolated_shard(data: &[&[u8]], row: u8) -> Vec<u8> {
    let inverse = |a: u8| (1..=u8::MAX).find(|b| multiply(a, *b) == 1).unwrap();
    let columns = 0..u8::try_from(data.len()).unwrap();
    let mut shard = vec![0; data[0].len()];
    for (source, column) in data.iter().zip(columns.clone()) {
        let others = || columns.clone().filter(|other| *other != column);
        let above = others().fold(1, |product, other| multiply(product, row ^ other));
        let below = others().fold(1, |product, other| multiply(product, column ^ other));
        let weight = multiply(above, inverse(below));
        for (out, byte) in shard.iter_mut().zip(*source) {
            *out ^= multiply(weight, *byte);
        }
    }
    shard
}

#[test]
fn every_shard_lies_on_the_polynomial_through_the_data() {
    for (need, total) in [(1, 4), (2, 3), (3, 5), (4, 12), (17, 40), (60, 255)] {
        let scheme = Scheme::new(need, total).unwrap();
        let data = random(usize::from(need) * 3, u64::from(total));
        let columns: Vec<&[u8]> = data.chunks(3).collect();
        for (shard, row) in all_shards(&data, scheme).into_iter().zip(0..=u8::MAX) {
            assert_eq!(shard, interpolated_shard(&columns, row), "shard {row}, {scheme}");
        }
    }
}

/// All 2^n patterns of loss, for every scheme up to n = 12.
#[test]
fn any_need_of_total_shards_bring_the_data_back() {
    for total in 1..=12u8 {
        for need in 1..=total {
            let scheme = Scheme::new(need, total).unwrap();
            let codec = Codec::new(scheme);
            let data = random(usize::from(need) * 2, u64::from(total));
            let shards = all_shards(&data, scheme);
            for pattern in 0..1u32 << total {
                let found: Vec<Option<&[u8]>> = (0..)
                    .zip(&shards)
                    .map(|(index, shard)| (pattern >> index & 1 == 1).then_some(shard.as_slice()))
                    .collect();
                let have = u8::try_from(pattern.count_ones()).unwrap();
                let expected = if have >= need {
                    Ok(data.clone())
                } else {
                    Err(CodecError::TooFewShards { have, need })
                };
                assert_eq!(codec.reconstruct(&found), expected, "{scheme}, shards {pattern:b}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_need_of_many_shards_bring_the_data_back(total in 13..=80u8, need in 1..=80u8, seed: u64) {
        let need = need.min(total);
        let scheme = Scheme::new(need, total).unwrap();
        let data = random(usize::from(need), seed);
        let shards = all_shards(&data, scheme);
        let mut places: Vec<usize> = (0..usize::from(total)).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        for i in (1..places.len()).rev() {
            places.swap(i, usize::try_from(rng.next_u64() % (i as u64 + 1)).unwrap());
        }
        let kept = &places[..usize::from(need)];
        let found: Vec<Option<&[u8]>> =
            (0..shards.len()).map(|i| kept.contains(&i).then_some(shards[i].as_slice())).collect();
        prop_assert_eq!(Codec::new(scheme).reconstruct(&found), Ok(data));
    }
}
