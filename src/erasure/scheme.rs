//! How a pack is coded: how many shards there are, and how many of them are enough.

use std::fmt;

use crate::types::limits::{PACK_LEN_MAX, SHARD_LEN_MAX, SHARD_LEN_MIN};

/// Numbers that are no scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{need} of {total} is not a coding: 1 <= need <= total <= 255")]
pub struct SchemeError {
    /// Shards that should be enough.
    pub need: u8,
    /// Shards in all.
    pub total: u8,
}

/// `need` of `total`: 1 ≤ need ≤ total ≤ 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheme {
    need: u8,
    total: u8,
}

impl Scheme {
    /// The scheme in which any `need` of `total` shards are enough.
    pub const fn new(need: u8, total: u8) -> Result<Self, SchemeError> {
        if need >= 1 && need <= total { Ok(Self { need, total }) } else { Err(SchemeError { need, total }) }
    }

    /// What `--spread` alone chooses: need = max(1, ⌊2 · total / 3⌋), so 1 of 2, 2 of 3, 2 of 4, 3 of 5.
    pub const fn for_spread(total: u8) -> Result<Self, SchemeError> {
        let two_thirds = total - total.div_ceil(3);
        Self::new(if two_thirds == 0 { 1 } else { two_thirds }, total)
    }

    /// The scheme of the manifest's own packs, which have more parity than data:
    /// total = min(spread, 16), need = max(1, ⌊(total − 1) / 2⌋).
    pub const fn for_manifest(spread: u8) -> Result<Self, SchemeError> {
        let total = if spread < 16 { spread } else { 16 };
        let need = total.saturating_sub(1) / 2;
        Self::new(if need == 0 { 1 } else { need }, total)
    }

    /// Shards that are enough; the data shards.
    pub const fn need(self) -> u8 {
        self.need
    }

    /// Shards in all.
    pub const fn total(self) -> u8 {
        self.total
    }

    /// Shards that may be lost; the parity shards.
    pub const fn parity(self) -> u8 {
        self.total - self.need
    }

    /// Most bytes that a pack of this scheme holds: need × the largest size class that keeps it within `PACK_LEN_MAX`.
    pub const fn pack_capacity(self) -> u32 {
        let mut class = SHARD_LEN_MAX;
        while self.need as u32 * class > PACK_LEN_MAX {
            class /= 2;
        }
        self.need as u32 * class
    }

    /// Length of each shard of a pack that holds `len` bytes: the smallest size class (4 KiB × 2^i) that has room.
    ///
    /// # Panics
    /// If `len` is more than [`pack_capacity`](Self::pack_capacity).
    pub fn shard_len(self, len: u32) -> u32 {
        assert!(len <= self.pack_capacity(), "a pack of {len} bytes does not fit {self}");
        let mut class = SHARD_LEN_MIN;
        while u32::from(self.need) * class < len {
            class *= 2;
        }
        class
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.need, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn need_is_between_one_and_total() {
        for need in 0..=u8::MAX {
            for total in 0..=u8::MAX {
                assert_eq!(
                    Scheme::new(need, total).is_ok(),
                    (1..=total).contains(&need),
                    "{need} of {total}"
                );
            }
        }
    }

    #[test]
    fn spread_alone_chooses_two_thirds() {
        let chosen = |total| Scheme::for_spread(total).unwrap().need();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 9, 255].map(chosen), [1, 1, 2, 2, 3, 4, 4, 6, 170]);
        for total in 1..=u8::MAX {
            assert_eq!(u16::from(chosen(total)), (2 * u16::from(total) / 3).max(1));
        }
        assert!(Scheme::for_spread(0).is_err());
    }

    #[test]
    fn manifest_packs_have_more_parity_than_data() {
        for spread in 3..=u8::MAX {
            let scheme = Scheme::for_manifest(spread).unwrap();
            assert!(scheme.parity() > scheme.need() && scheme.total() <= 16, "{scheme}");
        }
        assert_eq!(Scheme::for_manifest(1), Scheme::new(1, 1));
        assert_eq!(Scheme::for_manifest(2), Scheme::new(1, 2));
        assert!(Scheme::for_manifest(0).is_err());
    }

    #[test]
    fn every_pack_up_to_capacity_has_a_size_class() {
        for need in 1..=u8::MAX {
            let scheme = Scheme::new(need, need).unwrap();
            let capacity = scheme.pack_capacity();
            assert!(capacity <= PACK_LEN_MAX && capacity / u32::from(need) <= SHARD_LEN_MAX);
            assert_eq!(scheme.shard_len(capacity) * u32::from(need), capacity);
            assert_eq!(scheme.shard_len(1), SHARD_LEN_MIN);
            assert_eq!(scheme.shard_len(u32::from(need) * SHARD_LEN_MIN + 1), 2 * SHARD_LEN_MIN);
        }
    }
}
