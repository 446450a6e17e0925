//! Packs: sealed segments end to end, padded, coded into shards (docs/format.md, "Packs").

use std::ops::RangeInclusive;

use bytes::Bytes;
use rand::CryptoRng;

use crate::crypt::MaskKey;
use crate::crypt::mask::mask_shard;
use crate::erasure::{Codec, CodecError, Scheme};
use crate::types::{Blob, BlobHash, PackId, ShardIndex, merkle_root};

use super::FormatError;
use super::content::Piece;
use super::placement::{Coding, Pack, ShardName};

/// Lays sealed segments into packs, in the order in which they come.
#[derive(Debug)]
pub struct PackBuilder {
    scheme: Scheme,
    open: Option<OpenPack>,
}

#[derive(Debug)]
struct OpenPack {
    id: PackId,
    bytes: Vec<u8>,
}

/// Where a sealed segment went, and the packs that are full now.
#[derive(Debug)]
pub struct Pushed {
    /// The segment's pieces, in order.
    pub pieces: Vec<Piece>,
    /// Packs that take no more, ready to be encoded.
    pub filled: Vec<FilledPack>,
}

/// A pack that takes no more: padded, and with its mask, if it needs one.
#[derive(Debug)]
pub struct FilledPack {
    /// Its id.
    pub id: PackId,
    padded: PaddedPack,
}

/// A pack after coding.
#[derive(Debug)]
pub struct EncodedPack {
    /// What is recorded of it.
    pub pack: Pack,
    /// Its shards, by index: the blobs to be stored.
    pub shards: Vec<Bytes>,
}

impl PackBuilder {
    /// A builder of packs that are coded as `scheme` says.
    pub fn new(scheme: Scheme) -> Self {
        Self { scheme, open: None }
    }

    /// Bytes of sealed segments in the pack that is not full yet.
    pub fn open_len(&self) -> usize {
        self.open.as_ref().map_or(0, |pack| pack.bytes.len())
    }

    /// Adds a sealed segment. What the pack has no room for runs on into the next one.
    pub fn push(&mut self, sealed: &[u8], rng: &mut impl CryptoRng) -> Pushed {
        let capacity = self.scheme.pack_capacity() as usize;
        let mut pushed = Pushed { pieces: Vec::new(), filled: Vec::new() };
        let mut rest = sealed;
        while !rest.is_empty() {
            let pack = self.open.get_or_insert_with(|| OpenPack {
                id: random_id(rng),
                // Segments come until the pack is full, unless the vault has little to store.
                bytes: Vec::with_capacity(capacity.min(4 * sealed.len())),
            });
            let offset = pack.bytes.len();
            let (now, later) = rest.split_at(rest.len().min(capacity - offset));
            pack.bytes.extend_from_slice(now);
            pushed.pieces.push(Piece { pack: pack.id, offset: as_u32(offset), len: as_u32(now.len()) });
            rest = later;
            if pack.bytes.len() == capacity {
                pushed.filled.extend(self.close(rng));
            }
        }
        pushed
    }

    /// Closes the pack that is not full yet, if there is one.
    pub fn close(&mut self, rng: &mut impl CryptoRng) -> Option<FilledPack> {
        let OpenPack { id, bytes } = self.open.take()?;
        Some(FilledPack { id, padded: PaddedPack::new(bytes, self.scheme, rng) })
    }
}

impl FilledPack {
    /// Bytes of its shards together: what storing it takes.
    pub fn stored_len(&self) -> u64 {
        let scheme = self.padded.scheme;
        u64::from(scheme.total()) * u64::from(scheme.shard_len(self.padded.sealed_len))
    }

    /// Codes the pack: parity, masks, hashes, Merkle roots. The work of a worker thread.
    pub fn encode(self) -> EncodedPack {
        let (coding, shards) = self.padded.encode();
        EncodedPack { pack: Pack { id: self.id, coding }, shards }
    }
}

/// Bytes of a pack, filled up with random ones to need × the smallest size class that has room.
#[derive(Debug)]
pub(super) struct PaddedPack {
    scheme: Scheme,
    sealed_len: u32,
    mask: Option<MaskKey>,
    bytes: Vec<u8>,
}

impl PaddedPack {
    pub(super) fn new(mut bytes: Vec<u8>, scheme: Scheme, rng: &mut impl CryptoRng) -> Self {
        let sealed_len = as_u32(bytes.len());
        let len = usize::from(scheme.need()) * scheme.shard_len(sealed_len) as usize;
        bytes.resize(len, 0);
        rng.fill_bytes(&mut bytes[sealed_len as usize..]);
        let mask = (scheme.need() == 1).then(|| MaskKey::generate(rng));
        Self { scheme, sealed_len, mask, bytes }
    }

    pub(super) fn encode(self) -> (Coding, Vec<Bytes>) {
        let Self { scheme, sealed_len, mask, bytes } = self;
        let shards = make_shards(bytes, scheme, mask.as_ref());
        let bytes: Vec<&[u8]> = shards.iter().map(Bytes::as_ref).collect();
        let hashes = BlobHash::of_each(&bytes).into_iter();
        let names =
            hashes.zip(&bytes).map(|(hash, shard)| ShardName { hash, root: merkle_root(shard) }).collect();
        (Coding { scheme, sealed_len, mask, shards: names }, shards)
    }
}

/// The data shards share the pack's buffer, the parity shards another one. With a mask, every shard is a masked copy of
/// the pack: that is what the code gives where one shard is enough.
fn make_shards(bytes: Vec<u8>, scheme: Scheme, mask: Option<&MaskKey>) -> Vec<Bytes> {
    if let Some(mask) = mask {
        let masked = |index| {
            let mut shard = bytes.clone();
            mask_shard(&mut shard, ShardIndex(index), mask);
            Bytes::from(shard)
        };
        return (0..scheme.total()).map(masked).collect();
    }
    let shard_len = bytes.len() / usize::from(scheme.need());
    let parity = Bytes::from(Codec::new(scheme).encode(&bytes));
    let shards_of =
        |all: Bytes| (0..all.len()).step_by(shard_len).map(move |at| all.slice(at..at + shard_len));
    shards_of(Bytes::from(bytes)).chain(shards_of(parity)).collect()
}

/// A shard whose length and SHA-256 are those that its pack's coding records (invariant I1).
#[derive(Debug, Clone)]
pub struct VerifiedShard {
    index: ShardIndex,
    blob: Blob,
}

impl VerifiedShard {
    /// Its place in the pack.
    pub fn index(&self) -> ShardIndex {
        self.index
    }

    /// The blob that it is.
    pub(super) fn name(&self) -> BlobHash {
        self.blob.hash()
    }

    pub(super) fn bytes(&self) -> &Bytes {
        self.blob.bytes()
    }
}

impl Coding {
    /// Checks that a blob is the shard `index` of the pack. Bytes become one by being hashed.
    pub fn verify(&self, index: ShardIndex, blob: impl Into<Blob>) -> Result<VerifiedShard, FormatError> {
        let blob = blob.into();
        let name = self.shards.get(index.as_usize()).ok_or(FormatError::TooMany {
            what: "shards of a pack",
            count: u64::from(index.0) + 1,
            max: u64::from(self.scheme.total()),
        })?;
        if blob.bytes().len() != self.shard_len() as usize || blob.hash() != name.hash {
            return Err(FormatError::WrongShard { index, wanted: name.hash });
        }
        Ok(VerifiedShard { index, blob })
    }

    /// Brings the pack's sealed segments back, padding left out, from any `need` of its shards. The work of a worker
    /// thread.
    pub fn decode(&self, shards: &[VerifiedShard]) -> Result<Vec<u8>, FormatError> {
        let mut bytes = self.decode_padded(shards)?;
        bytes.truncate(self.sealed_len as usize);
        Ok(bytes)
    }

    /// Makes all shards of the pack again, by index, from any `need` of them.
    pub fn rebuild(&self, shards: &[VerifiedShard]) -> Result<Vec<Bytes>, FormatError> {
        Ok(make_shards(self.decode_padded(shards)?, self.scheme, self.mask.as_ref()))
    }

    /// The data shards in which bytes of the pack lie; all of them, where the pack is masked, hold everything.
    ///
    /// None if the pack has no such bytes.
    pub fn shards_of(&self, offset: u32, len: u32) -> Option<RangeInclusive<u8>> {
        let last = offset.checked_add(len.checked_sub(1)?).filter(|last| *last < self.sealed_len)?;
        let index = |at| u8::try_from(at / self.shard_len()).ok();
        Some(index(offset)?..=index(last)?)
    }

    fn decode_padded(&self, shards: &[VerifiedShard]) -> Result<Vec<u8>, FormatError> {
        let mut places: Vec<Option<&[u8]>> = vec![None; self.shards.len()];
        for shard in shards {
            match self.shards.get(shard.index.as_usize()) {
                Some(name) if name.hash == shard.name() => {
                    places[shard.index.as_usize()] = Some(shard.bytes());
                }
                Some(name) => {
                    return Err(FormatError::WrongShard { index: shard.index, wanted: name.hash });
                }
                None => {}
            }
        }
        let Some(mask) = &self.mask else { return Ok(Codec::new(self.scheme).reconstruct(&places)?) };
        let (index, shard) = (0..=u8::MAX)
            .zip(places)
            .find_map(|(index, shard)| Some((ShardIndex(index), shard?)))
            .ok_or(CodecError::TooFewShards { have: 0, need: 1 })?;
        let mut bytes = shard.to_vec();
        mask_shard(&mut bytes, index, mask);
        Ok(bytes)
    }
}

impl Piece {
    /// The piece's bytes, out of the bytes of its pack.
    pub fn of<'a>(&self, pack: &'a [u8]) -> Result<&'a [u8], FormatError> {
        let begin = self.offset as usize;
        let end = begin.saturating_add(self.len as usize);
        let rule = "it lies within its pack";
        pack.get(begin..end).ok_or(FormatError::Invalid { what: "a piece of a segment", rule })
    }
}

fn random_id(rng: &mut impl CryptoRng) -> PackId {
    let mut id = [0; PackId::LEN];
    rng.fill_bytes(&mut id);
    PackId::new(id)
}

fn as_u32(len: usize) -> u32 {
    u32::try_from(len).expect("packs are at most 8 MiB")
}
