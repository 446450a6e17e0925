//! GF(2^8) as docs/format.md has it: the library's field, with shards multiplied many bytes at a time.
//!
//! The library looks each byte of a shard up in a table. Here a constant times a byte is a sum of doublings, without a
//! table and without a branch on the byte, so the compiler turns it into the vector instructions of any machine: six
//! times as fast for the constants 2 and 3 of the 2-of-3 code, and about as fast for the worst.

use reed_solomon_erasure::Field;
use reed_solomon_erasure::galois_8::Field as Tables;

/// Bytes that are multiplied at a time: a few vector registers.
const LANES: usize = 64;
/// x^8, reduced by the field's polynomial.
const REDUCED: u8 = 0x1d;

/// GF(2^8), polynomial 0x11d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gf256;

impl Field for Gf256 {
    const ORDER: usize = Tables::ORDER;
    type Elem = u8;

    fn add(a: u8, b: u8) -> u8 {
        Tables::add(a, b)
    }

    fn mul(a: u8, b: u8) -> u8 {
        Tables::mul(a, b)
    }

    fn div(a: u8, b: u8) -> u8 {
        Tables::div(a, b)
    }

    fn exp(a: u8, n: usize) -> u8 {
        Tables::exp(a, n)
    }

    fn zero() -> u8 {
        Tables::zero()
    }

    fn one() -> u8 {
        Tables::one()
    }

    fn nth_internal(n: usize) -> u8 {
        Tables::nth_internal(n)
    }

    fn mul_slice(constant: u8, input: &[u8], out: &mut [u8]) {
        out.fill(0);
        Self::mul_slice_add(constant, input, out);
    }

    fn mul_slice_add(constant: u8, input: &[u8], out: &mut [u8]) {
        assert_eq!(input.len(), out.len(), "shards are of equal length");
        let (blocks, rest) = input.as_chunks();
        let (sums, sums_rest) = out.as_chunks_mut();
        for (block, sum) in blocks.iter().zip(sums) {
            add_product(constant, block, sum);
        }
        // What is left, filled up with zeros.
        let (mut block, mut sum) = ([0; LANES], [0; LANES]);
        block[..rest.len()].copy_from_slice(rest);
        sum[..rest.len()].copy_from_slice(sums_rest);
        add_product(constant, &block, &mut sum);
        sums_rest.copy_from_slice(&sum[..rest.len()]);
    }
}

/// Adds `constant` times each byte to the sum in its place: those doublings of it whose bit in `constant` is set. Only the
/// constant, which is public, decides what is done.
///
/// Written without iterators, because without optimisation, as in tests, these take ten times as long.
#[inline]
fn add_product(mut constant: u8, bytes: &[u8; LANES], sums: &mut [u8; LANES]) {
    let mut doubled = *bytes;
    loop {
        if constant & 1 == 1 {
            let mut lane = 0;
            while lane < LANES {
                sums[lane] ^= doubled[lane];
                lane += 1;
            }
        }
        constant >>= 1;
        if constant == 0 {
            return;
        }
        let mut lane = 0;
        while lane < LANES {
            let byte = doubled[lane];
            let carry = byte.cast_signed() >> 7;
            doubled[lane] = (byte << 1) ^ (carry.cast_unsigned() & REDUCED);
            lane += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes, and lengths with and without a rest.
    fn inputs() -> impl Iterator<Item = Vec<u8>> {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        [0, 1, LANES - 1, LANES, LANES + 1, 256].map(move |len| bytes[256 - len..].to_vec()).into_iter()
    }

    #[test]
    fn products_are_those_of_the_tables() {
        for input in inputs() {
            for constant in 0..=u8::MAX {
                let expected: Vec<u8> = input.iter().map(|byte| Tables::mul(constant, *byte)).collect();
                let mut out = vec![0xa5; input.len()];
                Gf256::mul_slice(constant, &input, &mut out);
                assert_eq!(out, expected, "times {constant}");
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_tables() {
        for input in inputs() {
            for constant in 0..=u8::MAX {
                let expected: Vec<u8> =
                    input.iter().map(|byte| 0xa5 ^ Tables::mul(constant, *byte)).collect();
                let mut out = vec![0xa5; input.len()];
                Gf256::mul_slice_add(constant, &input, &mut out);
                assert_eq!(out, expected, "plus {constant} times");
            }
        }
    }
}
