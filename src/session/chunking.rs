//! Cutting a blob into chunks: consecutive, all of one length but the last.

use bytes::Bytes;

use crate::types::{ChunkIndex, ChunkLen};

/// One chunk of a blob, without copying its bytes; empty where the blob has no such chunk.
pub fn chunk(blob: &Bytes, index: ChunkIndex, chunk_len: ChunkLen) -> Bytes {
    let len = blob.len() as u64;
    let start = u64::from(index.0).saturating_mul(chunk_len.bytes()).min(len);
    let end = start.saturating_add(chunk_len.bytes()).min(len);
    let position = |at| usize::try_from(at).expect("a position within a blob in memory is a usize");
    blob.slice(position(start)..position(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_to_end_are_the_blob() {
        for chunk_len in [ChunkLen::BASE, ChunkLen::at_most(65_536), ChunkLen::MAX] {
            for len in [0, 1, 32_767, 32_768, 32_769, 65_536, 100_000, 524_288, 524_289] {
                let blob: Bytes = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
                let count = chunk_len.count(blob.len() as u64).unwrap();
                let chunk = |index| chunk(&blob, ChunkIndex(index), chunk_len);
                let whole: Vec<u8> = (0..count).flat_map(chunk).collect();
                assert_eq!(whole, blob);
                assert!(chunk(count).is_empty());
                assert!(count == 0 || !chunk(count - 1).is_empty());
            }
            assert!(chunk(&Bytes::from_static(b"x"), ChunkIndex(u32::MAX), chunk_len).is_empty());
        }
    }
}
