//! Masking: where one shard alone is enough to have a pack, all shards would be the same blob. A mask makes them differ.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use crate::types::ShardIndex;

use super::derive::shard_mask;
use super::secret::MaskKey;

/// Lays the mask of one shard over it, or takes it off: XOR with the ChaCha20 keystream (RFC 8439 §2.4), nonce 0,
/// counter from 0, under a key derived from the pack's mask key and the index.
///
/// It hides nothing that is not sealed already; it makes the blobs of a pack unlike.
pub fn mask_shard(shard: &mut [u8], index: ShardIndex, key: &MaskKey) {
    let key = shard_mask(key, index.0);
    ChaCha20::new(key.as_slice().into(), &[0; 12].into()).apply_keystream(shard);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_laid_twice_is_no_mask() {
        let key = MaskKey::new([5; 32]);
        let mut shard = vec![0; 300];
        mask_shard(&mut shard, ShardIndex(1), &key);
        assert!(shard.iter().any(|byte| *byte != 0));
        mask_shard(&mut shard, ShardIndex(1), &key);
        assert_eq!(shard, vec![0; 300]);
    }

    #[test]
    fn every_shard_has_another_mask() {
        let masked = |index, key: &MaskKey| {
            let mut shard = vec![0; 64];
            mask_shard(&mut shard, ShardIndex(index), key);
            shard
        };
        let key = MaskKey::new([5; 32]);
        assert_ne!(masked(0, &key), masked(1, &key));
        assert_ne!(masked(0, &key), masked(0, &MaskKey::new([6; 32])));
    }

    #[test]
    fn keystream_is_that_of_rfc_8439() {
        // §2.3.2: block 1 of the key 00 01 … 1f under the nonce given there.
        let key: Vec<u8> = (0..32).collect();
        let nonce = hex::decode("000000090000004a00000000").unwrap();
        let mut blocks = vec![0; 128];
        ChaCha20::new(key.as_slice().into(), nonce.as_slice().into()).apply_keystream(&mut blocks);
        let expected = "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e\
                        d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e";
        assert_eq!(hex::encode(&blocks[64..]), expected);
    }
}
