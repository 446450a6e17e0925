//! Packs that hold the manifest itself: one sealed segment each, named by a head or an index (docs/format.md, "Runs").

use bytes::Bytes;
use rand::CryptoRng;

use crate::crypt::SegmentKey;
use crate::erasure::Scheme;

use super::FormatError;
use super::head::PackRef;
use super::pack::{PaddedPack, VerifiedShard};
use super::placement::Coding;
use super::segment::{self, SEGMENT_OVERHEAD};

/// A pack of the manifest that is not coded yet.
#[derive(Debug)]
pub struct ManifestPack {
    key: SegmentKey,
    plain_len: u32,
    padded: PaddedPack,
}

/// A pack of the manifest after coding.
#[derive(Debug)]
pub struct EncodedManifestPack {
    key: SegmentKey,
    plain_len: u32,
    coding: Coding,
    /// Its shards, by index: the blobs to be stored.
    pub shards: Vec<Bytes>,
}

impl ManifestPack {
    /// Most bytes that one pack takes.
    pub fn capacity(scheme: Scheme) -> usize {
        scheme.pack_capacity() as usize - SEGMENT_OVERHEAD
    }

    /// Seals `plain`, the bytes of records or of an index.
    ///
    /// # Panics
    /// If `plain` is empty or longer than [`capacity`](Self::capacity).
    pub fn new(plain: &[u8], scheme: Scheme, rng: &mut impl CryptoRng) -> Self {
        assert!(plain.len() <= Self::capacity(scheme), "a manifest pack takes no more than its capacity");
        let sealed = segment::seal(plain, rng);
        let plain_len = u32::try_from(plain.len()).expect("a pack is at most 8 MiB");
        Self { key: sealed.key, plain_len, padded: PaddedPack::new(sealed.bytes, scheme, rng) }
    }

    /// Codes the pack. The work of a worker thread.
    pub fn encode(self) -> EncodedManifestPack {
        let (coding, shards) = self.padded.encode();
        EncodedManifestPack { key: self.key, plain_len: self.plain_len, coding, shards }
    }
}

impl EncodedManifestPack {
    /// How the pack is coded.
    pub fn coding(&self) -> &Coding {
        &self.coding
    }

    /// What the head says of the pack, when for each shard the position of its provider in the head's list is known.
    pub fn into_ref(self, providers: Vec<u8>) -> PackRef {
        PackRef { key: self.key, plain_len: self.plain_len, coding: self.coding, providers }
    }
}

impl PackRef {
    /// Brings the bytes of records, or of an index, back from any `need` of the shards.
    pub fn open(&self, shards: &[VerifiedShard]) -> Result<Bytes, FormatError> {
        segment::open_exactly(&self.key, self.plain_len, self.coding.decode(shards)?)
    }
}
