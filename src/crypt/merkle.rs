//! The Merkle tree over a shard: RFC 6962 §2.1 with leaves of 1 KiB, for audits and partial reads.

use sha2::{Digest, Sha256};

use crate::types::MerkleRoot;

/// Bytes of a leaf; the last one may be shorter.
pub const LEAF_LEN: usize = 1024;

type Hash = [u8; 32];

/// Root of the tree over `bytes`; of no bytes, the hash of nothing.
pub fn merkle_root(bytes: &[u8]) -> MerkleRoot {
    // A stack of complete subtrees, each half as high as the one below it: the hashes of a level meet as they come.
    let mut subtrees: Vec<(u32, Hash)> = Vec::with_capacity(32);
    for leaf in bytes.chunks(LEAF_LEN) {
        let (mut height, mut hash) = (0, leaf_hash(leaf));
        while let Some((_, left)) = subtrees.pop_if(|(other, _)| *other == height) {
            hash = node_hash(&left, &hash);
            height += 1;
        }
        subtrees.push((height, hash));
    }
    let root =
        subtrees.into_iter().rev().map(|(_, hash)| hash).reduce(|right, left| node_hash(&left, &right));
    MerkleRoot::new(root.unwrap_or_else(|| Sha256::digest([]).into()))
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}
