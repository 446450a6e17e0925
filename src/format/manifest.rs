//! Packs that hold the manifest itself: one sealed segment each, named by a head or an index (docs/format.md, "Runs").

use bytes::Bytes;
use rand::CryptoRng;

use crate::crypt::SegmentKey;
use crate::erasure::Scheme;
use crate::types::ProviderId;
use crate::types::limits::{PROVIDER_COUNT_MAX, RUN_PACK_COUNT_MAX};

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

    /// Most bytes of records that one run takes: as many packs as one index, itself in one pack, can name.
    pub fn run_len_max(scheme: Scheme) -> u64 {
        let (total, capacity) = (usize::from(scheme.total()), Self::capacity(scheme));
        let list_len = 1 + 4 + PROVIDER_COUNT_MAX * ProviderId::LEN + 4;
        // Key, length, and the coding: need, total, two lengths, mask, shards; then who has which.
        let ref_len = 32 + 4 + (1 + 1 + 4 + 4 + 32 + total * 64) + total;
        let count = (capacity.saturating_sub(list_len) / ref_len).clamp(1, RUN_PACK_COUNT_MAX);
        count as u64 * capacity as u64
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
