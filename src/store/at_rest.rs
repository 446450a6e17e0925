//! Blobs that are kept encrypted at rest, under a key that never leaves the store's folder.
//!
//! A file is a salt of 32 random bytes and the blob XOR the ChaCha20 keystream (RFC 8439 §2.4, counter from 0, nonce 0)
//! of the key HKDF-SHA256(store key, salt, "blobdvm at rest 1"). No tag is kept: the blob's name is the hash of the plain
//! bytes, which whoever gets it compares; and a part can be read without the rest.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes in front of the encrypted blob.
pub(super) const SALT_LEN: usize = 32;

/// The store's key.
pub(super) struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The file of `blob`. `salt` is fresh: it makes the key of this file, and no other has it.
    pub(super) fn encrypt(&self, blob: &[u8], salt: [u8; SALT_LEN]) -> Vec<u8> {
        let mut file = Vec::with_capacity(SALT_LEN + blob.len());
        file.extend_from_slice(&salt);
        file.extend_from_slice(blob);
        self.apply(&salt, 0, &mut file[SALT_LEN..]);
        file
    }

    /// Turns the bytes that stand at `offset` of the blob from encrypted to plain, or back.
    pub(super) fn apply(&self, salt: &[u8; SALT_LEN], offset: u64, bytes: &mut [u8]) {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(salt), &*self.0)
            .expand(b"blobdvm at rest 1", &mut *key)
            .expect("32 bytes are a length that HKDF-SHA256 gives");
        let mut cipher = ChaCha20::new((&*key).into(), &[0; 12].into());
        cipher.seek(offset);
        cipher.apply_keystream(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_blob_reads_back_whole_and_in_parts() {
        let key = StoreKey::new([7; 32]);
        let blob: Vec<u8> = (0..1000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let file = key.encrypt(&blob, [1; SALT_LEN]);
        assert!(!file.windows(16).any(|window| window == &blob[..16]));
        assert_ne!(file[SALT_LEN..], key.encrypt(&blob, [2; SALT_LEN])[SALT_LEN..]);
        for range in [0..1000, 1..2, 63..200, 999..1000] {
            let mut part = file[SALT_LEN..][range.clone()].to_vec();
            key.apply(&[1; SALT_LEN], range.start as u64, &mut part);
            assert_eq!(part, blob[range]);
        }
    }
}
