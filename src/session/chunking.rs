//! Cutting a blob into chunks: consecutive, all of `CHUNK_LEN` but the last.

use bytes::Bytes;

use crate::types::ChunkIndex;
use crate::types::limits::CHUNK_LEN;
use crate::wire::chunk::chunk_count;

/// How many chunks a blob of `len` bytes has; none if it is empty. `None` beyond every limit.
pub fn count(len: u64) -> Option<u32> {
    chunk_count(len)
}

/// One chunk of a blob, without copying its bytes; empty where the blob has no such chunk.
pub fn chunk(blob: &Bytes, index: ChunkIndex) -> Bytes {
    let len = blob.len() as u64;
    let start = u64::from(index.0).saturating_mul(CHUNK_LEN).min(len);
    let end = start.saturating_add(CHUNK_LEN).min(len);
    let position = |at| usize::try_from(at).expect("a position within a blob in memory is a usize");
    blob.slice(position(start)..position(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_to_end_are_the_blob() {
        for len in [0, 1, 32_767, 32_768, 32_769, 65_536, 100_000] {
            let blob: Bytes = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            let chunk_count = count(blob.len() as u64).unwrap();
            let whole: Vec<u8> = (0..chunk_count).flat_map(|index| chunk(&blob, ChunkIndex(index))).collect();
            assert_eq!(whole, blob);
            assert!(chunk(&blob, ChunkIndex(chunk_count)).is_empty());
            assert!(chunk_count == 0 || !chunk(&blob, ChunkIndex(chunk_count - 1)).is_empty());
        }
        assert!(chunk(&Bytes::from_static(b"x"), ChunkIndex(u32::MAX)).is_empty());
    }
}
