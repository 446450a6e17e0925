//! What the store knows of a blob's bytes, to notice when a file has changed on its own disk. PURE.

use std::hash::Hasher;
use std::num::NonZeroU64;

use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;

use crate::types::BlobHash;

/// Bytes that two sums are made of in turns: they stay near the processor that long.
const PART_LEN: usize = 16 * 1024;

/// XXH3 with 64 bits (the xxHash specification, <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>) of a
/// blob whose SHA-256 was compared with its name when it came.
///
/// A disk that rots does not choose its errors: one in 2^64 passes. Whoever chooses them is met by the client, who
/// compares the SHA-256 again. This takes a tenth of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(NonZeroU64);

impl Checksum {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::some(XxHash3_64::oneshot(bytes))
    }

    /// That of these bytes and their name, in one pass.
    pub(super) fn and_name_of(bytes: &[u8]) -> (Self, BlobHash) {
        let (mut checksum, mut name) = (XxHash3_64::new(), Sha256::new());
        for part in bytes.chunks(PART_LEN) {
            checksum.write(part);
            name.update(part);
        }
        (Self::some(checksum.finish()), BlobHash::new(name.finalize().into()))
    }

    fn some(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
    }

    /// As it is written down: 0 stands for none.
    pub(super) fn number(this: Option<Self>) -> u64 {
        this.map_or(0, |checksum| checksum.0.get())
    }

    /// As it was written down.
    pub(super) fn of_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_is_specified() {
        // The reference implementation's values for no bytes and for these, without a seed.
        assert_eq!(Checksum::number(Some(Checksum::of(b""))), 0x2d06_8005_38d3_94c2);
        assert_eq!(Checksum::number(Some(Checksum::of(b"abc"))), 0x78af_5f94_892f_3950);
    }

    #[test]
    fn one_pass_is_as_good_as_two() {
        for len in [0, 1, 1_000, PART_LEN, PART_LEN + 1, 5 * PART_LEN - 1] {
            let blob: Vec<u8> = (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect();
            assert_eq!(
                Checksum::and_name_of(&blob),
                (Checksum::of(&blob), BlobHash::of(&blob)),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let blob: Vec<u8> = (0..700_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
        for bit in 0..blob.len() * 8 {
            let mut rotten = blob.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Checksum::of(&rotten), Checksum::of(&blob), "bit {bit}");
        }
    }

    #[test]
    fn what_is_written_down_comes_back() {
        for checksum in [None, Some(Checksum::of(b"abc"))] {
            assert_eq!(Checksum::of_number(Checksum::number(checksum)), checksum);
        }
    }
}
