//! How long the chunks of a transfer are.

use std::fmt;

use crate::types::limits::{CHUNK_LEN, CHUNK_LEN_MAX};

/// Bytes of every chunk of a transfer but the last: a multiple of [`CHUNK_LEN`], up to [`CHUNK_LEN_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkLen(u64);

impl ChunkLen {
    /// The base protocol's: it passes every relay.
    pub const BASE: Self = Self(CHUNK_LEN);
    /// The longest.
    pub const MAX: Self = Self(CHUNK_LEN_MAX);

    /// This length, if chunks may have it.
    pub fn new(len: u64) -> Option<Self> {
        let is_possible = (CHUNK_LEN..=CHUNK_LEN_MAX).contains(&len) && len.is_multiple_of(CHUNK_LEN);
        is_possible.then_some(Self(len))
    }

    /// The longest that is no longer than `len`; the base protocol's, if there is none.
    pub fn at_most(len: u64) -> Self {
        Self((len / CHUNK_LEN * CHUNK_LEN).clamp(CHUNK_LEN, CHUNK_LEN_MAX))
    }

    /// The length in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// How many chunks a blob of `len` bytes has; none if it is empty. `None` beyond every limit.
    pub fn count(self, len: u64) -> Option<u32> {
        u32::try_from(len.div_ceil(self.0)).ok()
    }
}

impl Default for ChunkLen {
    fn default() -> Self {
        Self::BASE
    }
}

impl fmt::Display for ChunkLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.0 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_multiples_of_the_base_up_to_the_longest() {
        let possible = |len| ChunkLen::new(len).map(ChunkLen::bytes);
        for len in
            [0, 1, CHUNK_LEN - 1, CHUNK_LEN + 1, 3 * CHUNK_LEN / 2, CHUNK_LEN_MAX + CHUNK_LEN, u64::MAX]
        {
            assert_eq!(possible(len), None, "{len}");
        }
        for len in (CHUNK_LEN..=CHUNK_LEN_MAX).step_by(32_768) {
            assert_eq!(possible(len), Some(len));
            assert_eq!(ChunkLen::at_most(len + CHUNK_LEN - 1).bytes(), len);
        }
        assert_eq!(ChunkLen::at_most(0), ChunkLen::BASE);
        assert_eq!(ChunkLen::at_most(u64::MAX), ChunkLen::MAX);
    }
}
