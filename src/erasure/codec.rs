//! Reed-Solomon over GF(2^8), systematic: the first `need` shards are the data as it is.
//!
//! Field: polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), generator 2. Matrix: V · T^-1, where V is the Vandermonde
//! matrix V[row][column] = row^column (0^0 = 1) with `total` rows and `need` columns, and T its upper square. These are
//! the matrices of Backblaze's and klauspost's libraries (docs/format.md, "Reed-Solomon").

use reed_solomon_erasure::ReedSolomon;

use super::Scheme;
use super::field::Gf256;

/// Shards that cannot be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Fewer than `need` shards are there.
    #[error("{have} of {need} shards found")]
    TooFewShards {
        /// Different shards that were given.
        have: u8,
        /// Shards that are enough.
        need: u8,
    },
}

/// The code of one scheme.
#[derive(Debug)]
pub struct Codec {
    scheme: Scheme,
    /// None where there is no parity.
    code: Option<ReedSolomon<Gf256>>,
}

impl Codec {
    /// The code of `scheme`.
    pub fn new(scheme: Scheme) -> Self {
        let (need, parity) = (usize::from(scheme.need()), usize::from(scheme.parity()));
        let code =
            (parity > 0).then(|| ReedSolomon::new(need, parity).expect("a scheme has at most 255 shards"));
        Self { scheme, code }
    }

    /// Computes the parity shards, end to end, of the data shards, end to end.
    ///
    /// # Panics
    /// If `data` does not divide into `need` equal shards, at least a byte each.
    pub fn encode(&self, data: &[u8]) -> Vec<u8> {
        let shard_len = self.shard_len(data);
        let mut parity = zeros(shard_len * usize::from(self.scheme.parity()));
        if let Some(code) = &self.code {
            let data: Vec<&[u8]> = data.chunks_exact(shard_len).collect();
            let mut outputs: Vec<&mut [u8]> = parity.chunks_exact_mut(shard_len).collect();
            code.encode_sep(&data, &mut outputs).expect("shards are counted and of equal length");
        }
        parity
    }

    /// Brings the data shards back, end to end, from any `need` of the shards; `shards[i]` is the shard with index i.
    ///
    /// # Errors
    /// [`CodecError::TooFewShards`].
    ///
    /// # Panics
    /// If `shards` has not `total` places, or the shards are not of equal length, at least a byte each.
    pub fn reconstruct(&self, shards: &[Option<&[u8]>]) -> Result<Vec<u8>, CodecError> {
        let (need, total) = (usize::from(self.scheme.need()), usize::from(self.scheme.total()));
        assert_eq!(shards.len(), total, "there must be a place for each shard");
        let mut found = shards.iter().flatten();
        let shard_len = found.next().map_or(0, |shard| shard.len());
        let have = shards.iter().flatten().count();
        if have < need {
            let have = u8::try_from(have).expect("fewer than need");
            return Err(CodecError::TooFewShards { have, need: self.scheme.need() });
        }
        assert!(
            shard_len > 0 && found.all(|shard| shard.len() == shard_len),
            "shards must be of equal length"
        );

        let (data_shards, parity_shards) = shards.split_at(need);
        let missing = data_shards.iter().filter(|shard| shard.is_none()).count();
        let mut data = Vec::with_capacity(need * shard_len);
        for shard in data_shards {
            match shard {
                Some(shard) => data.extend_from_slice(shard),
                None => data.resize(data.len() + shard_len, 0),
            }
        }
        if let (Some(code), 1..) = (&self.code, missing) {
            // As much parity as there are gaps; the rest stays absent.
            let mut gaps = missing;
            let mut parity: Vec<Vec<u8>> = Vec::with_capacity(parity_shards.len());
            for shard in parity_shards {
                let used = shard.filter(|_| gaps > 0);
                gaps -= usize::from(used.is_some());
                parity.push(used.map_or_else(Vec::new, <[u8]>::to_vec));
            }
            let present = data_shards.iter().map(Option::is_some);
            let mut all: Vec<(&mut [u8], bool)> = data.chunks_exact_mut(shard_len).zip(present).collect();
            all.extend(parity.iter_mut().map(|shard| {
                let present = !shard.is_empty();
                (shard.as_mut_slice(), present)
            }));
            code.reconstruct_data(&mut all).expect("enough shards of equal length are there");
        }
        Ok(data)
    }

    fn shard_len(&self, data: &[u8]) -> usize {
        let need = usize::from(self.scheme.need());
        assert!(!data.is_empty() && data.len().is_multiple_of(need), "data shards must be of equal length");
        data.len() / need
    }
}

/// Zeros that are written.
#[expect(
    clippy::slow_vector_initialization,
    reason = "asked for many zeros, the allocator gives pages back to the system and faults them in again: that takes longer"
)]
fn zeros(len: usize) -> Vec<u8> {
    let mut zeros = Vec::with_capacity(len);
    zeros.resize(len, 0);
    zeros
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
