//! A blob: bytes whose name is known.

use bytes::Bytes;

use super::BlobHash;

/// Bytes, and the SHA-256 that they have: it is computed here, once, and nowhere else can it be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    hash: BlobHash,
    bytes: Bytes,
}

impl Blob {
    /// Names `bytes` by their hash.
    pub fn new(bytes: Bytes) -> Self {
        Self { hash: BlobHash::of(&bytes), bytes }
    }

    /// Its name.
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    /// What it consists of.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it consists of.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
    }
}
