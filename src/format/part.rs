//! Bytes of a pack that are at hand: all of them, or those that lie in some of its data shards.

use bytes::Bytes;

use crate::erasure::CodecError;

use super::FormatError;
use super::content::Piece;
use super::pack::VerifiedShard;
use super::placement::Coding;

/// Bytes of a pack, all or some. What is not at hand is an error, never zeros.
#[derive(Debug, Clone)]
pub struct PackBytes {
    /// Where in the pack each stretch begins, and its bytes; ascending, without overlap.
    stretches: Vec<(u32, Bytes)>,
}

impl Coding {
    /// The bytes that follow from `shards`: with `need` of them the whole pack, padding left out; with fewer, those that
    /// lie in the data shards among them. The work of a worker thread.
    ///
    /// # Errors
    /// [`FormatError::WrongShard`] for a shard of another pack; too few shards of a pack that is masked.
    pub fn bytes_of(&self, shards: &[VerifiedShard]) -> Result<PackBytes, FormatError> {
        let need = self.scheme.need();
        let data_count = shards.iter().filter(|shard| shard.index().0 < need).count();
        let is_all_data = data_count >= usize::from(need) && self.mask.is_none();
        // The data shards are the pack as it is: nothing has to be copied together.
        if shards.len() >= usize::from(need) && !is_all_data {
            return Ok(PackBytes { stretches: vec![(0, Bytes::from(self.decode(shards)?))] });
        }
        if self.mask.is_some() {
            return Err(CodecError::TooFewShards { have: 0, need }.into());
        }
        let mut stretches = Vec::with_capacity(shards.len());
        for shard in shards {
            let name = self.shards.get(shard.index().as_usize());
            let wanted = name.ok_or(CodecError::TooFewShards { have: 0, need })?.hash;
            if wanted != shard.name() {
                return Err(FormatError::WrongShard { index: shard.index(), wanted });
            }
            let begin = u32::from(shard.index().0) * self.shard_len();
            let len = self.sealed_len.saturating_sub(begin).min(self.shard_len());
            if shard.index().0 < need && len > 0 {
                stretches.push((begin, shard.bytes().slice(..len as usize)));
            }
        }
        stretches.sort_unstable_by_key(|(begin, _)| *begin);
        stretches.dedup_by_key(|(begin, _)| *begin);
        Ok(PackBytes { stretches })
    }
}

impl PackBytes {
    /// True if all bytes of `piece` are at hand.
    pub fn has(&self, piece: &Piece) -> bool {
        self.parts(piece).map(<[u8]>::len).sum::<usize>() == piece.len as usize
    }

    /// Appends the piece's bytes to `to`.
    pub fn append(&self, piece: &Piece, to: &mut Vec<u8>) -> Result<(), FormatError> {
        if !self.has(piece) {
            let rule = "it lies within its pack";
            return Err(FormatError::Invalid { what: "a piece of a segment", rule });
        }
        self.parts(piece).for_each(|part| to.extend_from_slice(part));
        Ok(())
    }

    /// What is at hand of a piece, in order.
    fn parts(&self, piece: &Piece) -> impl Iterator<Item = &[u8]> {
        let (first, end) = (u64::from(piece.offset), u64::from(piece.offset) + u64::from(piece.len));
        self.stretches.iter().filter_map(move |(begin, bytes)| {
            let begin = u64::from(*begin);
            let from = usize::try_from(first.saturating_sub(begin)).ok()?;
            let to = usize::try_from(end.saturating_sub(begin)).ok()?.min(bytes.len());
            bytes.get(from..to).filter(|part| !part.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::erasure::Scheme;
    use crate::format::{EncodedPack, PackBuilder};
    use crate::types::ShardIndex;

    fn pack(need: u8, total: u8, len: usize) -> (Vec<u8>, EncodedPack) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut builder = PackBuilder::new(Scheme::new(need, total).unwrap());
        let sealed: Vec<u8> = (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let pushed = builder.push(&sealed, &mut rng);
        assert!(pushed.filled.is_empty(), "it fits into one pack");
        (sealed, builder.close(&mut rng).unwrap().encode())
    }

    fn verified(encoded: &EncodedPack, index: u8) -> VerifiedShard {
        let bytes = encoded.shards[usize::from(index)].clone();
        encoded.pack.coding.verify(ShardIndex(index), bytes).unwrap()
    }

    #[test]
    fn every_set_of_shards_gives_exactly_the_pieces_that_lie_in_it() {
        let (sealed, encoded) = pack(3, 5, 30_000);
        let coding = &encoded.pack.coding;
        assert_eq!(coding.shard_len(), 16_384);
        let piece = |offset, len| Piece { pack: encoded.pack.id, offset, len };
        let pieces = [(0, 1), (16_380, 8), (16_384, 13_616), (0, 30_000), (29_999, 1)];
        for set in 0_u8..32 {
            let shards: Vec<_> =
                (0..5).filter(|index| set >> index & 1 == 1).map(|index| verified(&encoded, index)).collect();
            let bytes = coding.bytes_of(&shards).unwrap();
            for (offset, len) in pieces {
                let spread = coding.shards_of(offset, len).unwrap();
                let expected = shards.len() >= 3 || spread.clone().all(|index| set >> index & 1 == 1);
                assert_eq!(bytes.has(&piece(offset, len)), expected, "set {set:05b}, {offset}+{len}");
                let mut out = Vec::new();
                let appended = bytes.append(&piece(offset, len), &mut out);
                assert_eq!(appended.is_ok(), expected);
                if expected {
                    assert_eq!(out, sealed[offset as usize..(offset + len) as usize]);
                }
            }
            assert!(!bytes.has(&piece(29_999, 2)), "padding is no part of the pack");
        }
    }

    #[test]
    fn a_masked_pack_is_whole_with_any_shard_and_nothing_without() {
        let (sealed, encoded) = pack(1, 2, 5_000);
        let coding = &encoded.pack.coding;
        assert!(coding.bytes_of(&[]).is_err());
        let mut out = Vec::new();
        let piece = Piece { pack: encoded.pack.id, offset: 0, len: 5_000 };
        coding.bytes_of(&[verified(&encoded, 1)]).unwrap().append(&piece, &mut out).unwrap();
        assert_eq!(out, sealed);
    }
}
