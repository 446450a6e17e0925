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
