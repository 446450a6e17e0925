//! The Merkle tree over a blob: RFC 6962 §2.1 with leaves of 1 KiB, for audits and partial reads.

use sha2::{Digest, Sha256};

use crate::types::MerkleRoot;
pub use crate::types::sha256::Hash;
use crate::types::sha256::sha256_each;

/// Bytes of a leaf; the last one may be shorter.
pub const LEAF_LEN: usize = 1024;

/// What stands before a leaf, and before two nodes, so that none is taken for the other.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Leaves of a blob of `len` bytes.
pub fn leaf_count(len: u64) -> u64 {
    len.div_ceil(LEAF_LEN as u64)
}

/// Root of the tree over `bytes`; of no bytes, the hash of nothing.
pub fn merkle_root(bytes: &[u8]) -> MerkleRoot {
    root_over(leaf_hashes(bytes))
}

/// The siblings on the way from leaf `leaf_index` of `bytes` up to the root (RFC 6962 §2.1.1). None if there is no such
/// leaf.
pub fn prove(bytes: &[u8], leaf_index: usize) -> Option<Vec<Hash>> {
    path_over(leaf_hashes(bytes), leaf_index)
}

/// Whether `leaf` is leaf `leaf_index` of the `leaf_count` leaves under `root` (RFC 9162 §2.1.3.2).
pub fn verify(leaf: &[u8], leaf_index: u64, leaf_count: u64, path: &[Hash], root: &MerkleRoot) -> bool {
    if leaf_index >= leaf_count {
        return false;
    }
    let (mut node, mut last) = (leaf_index, leaf_count - 1);
    let mut hash = leaf_hash(leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right neighbour rises until it is a right child.
            while node.is_multiple_of(2) && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    last == 0 && hash == *root.as_bytes()
}

fn root_over(leaves: Vec<Hash>) -> MerkleRoot {
    let mut level = leaves;
    while level.len() > 1 {
        level = parents(&level);
    }
    MerkleRoot::new(level.pop().unwrap_or_else(|| Sha256::digest([]).into()))
}

fn path_over(leaves: Vec<Hash>, leaf_index: usize) -> Option<Vec<Hash>> {
    let (mut level, mut index) = (leaves, leaf_index);
    if index >= level.len() {
        return None;
    }
    let mut path = Vec::new();
    while level.len() > 1 {
        path.extend(level.get(index ^ 1));
        level = parents(&level);
        index /= 2;
    }
    Some(path)
}

/// The hashes of all leaves, in order.
fn leaf_hashes(bytes: &[u8]) -> Vec<Hash> {
    let leaves = bytes.chunks_exact(LEAF_LEN);
    let last = leaves.remainder();
    let mut hashes = sha256_each(&[LEAF], &leaves.collect::<Vec<_>>());
    if !last.is_empty() {
        hashes.push(leaf_hash(last));
    }
    hashes
}

/// The level above: two nodes meet in one; one without a right neighbour rises as it is.
fn parents(level: &[Hash]) -> Vec<Hash> {
    let (pairs, alone) = level.as_chunks::<2>();
    let mut parents = sha256_each(&[NODE], &pairs.iter().map(|pair| pair.as_flattened()).collect::<Vec<_>>());
    parents.extend(alone);
    parents
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new_with_prefix([LEAF]).chain_update(leaf).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([NODE]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the reference tree of Certificate Transparency (RFC 6962).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves() -> Vec<Vec<u8>> {
        LEAVES.map(|leaf| hex::decode(leaf).unwrap()).into()
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        let leaves = leaves();
        for (count, root) in (1..).zip(ROOTS) {
            assert_eq!(
                root_over(leaves[..count].iter().map(|leaf| leaf_hash(leaf)).collect()).to_string(),
                root
            );
        }
        assert_eq!(
            merkle_root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn path_of_the_first_of_eight_is_that_of_the_reference() {
        let path = path_over(leaves().iter().map(|leaf| leaf_hash(leaf)).collect(), 0).unwrap();
        let expected = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(path.iter().map(hex::encode).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_leaf_is_proved_at_its_place_and_nowhere_else() {
        let bytes: Vec<u8> = (0..10).flat_map(|leaf| [leaf; LEAF_LEN]).take(9 * LEAF_LEN + 5).collect();
        for count in 1..=10 {
            let bytes = &bytes[..bytes.len().min(count * LEAF_LEN)];
            let root = merkle_root(bytes);
            for (index, leaf) in bytes.chunks(LEAF_LEN).enumerate() {
                let path = prove(bytes, index).unwrap();
                for claimed in 0..count {
                    let holds = verify(leaf, claimed as u64, count as u64, &path, &root);
                    assert_eq!(holds, claimed == index, "leaf {index} of {count} as {claimed}");
                }
                assert!(!verify(b"other", index as u64, count as u64, &path, &root));
                assert!(!verify(
                    leaf,
                    index as u64,
                    count as u64,
                    &[path.as_slice(), &[[0; 32]]].concat(),
                    &root
                ));
            }
            assert!(prove(bytes, count).is_none());
        }
    }
}
