//! Records: the signed links of a device's chain, each sealing the items of one layer (docs/format.md, "Records").

use std::fmt;

use nostr::Keys;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypt::seal::SALTED_OVERHEAD;
use crate::crypt::{
    Aad, Layer, LayerKey, PublicKey, Purpose, SealedKind, Signature, open_salted, seal_salted, sign,
};
use crate::types::limits::RECORD_BODY_LEN_MAX;
use crate::types::{DeviceId, VaultId};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::compress;

/// Version of the envelope.
const RECORD_VERSION: u8 = 1;
/// Version of the items.
const BODY_VERSION: u8 = 1;
/// Version, layer, device, sequence, previous, length of what is sealed.
const HEADER_LEN: usize = 1 + 1 + DeviceId::LEN + 8 + 32 + 4;
const SIGNATURE_LEN: usize = 64;
/// Version and flag byte in front of the items, and the sealing.
const SEALED_LEN_MAX: usize = 2 + RECORD_BODY_LEN_MAX + SALTED_OVERHEAD;
/// A body has at least a version, a flag and a count.
const SEALED_LEN_MIN: usize = 2 + 4 + SALTED_OVERHEAD;

/// Hash of a record: SHA-256 of the whole of it, signature included. It names the record in the one that follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordHash(pub [u8; 32]);

impl RecordHash {
    /// What stands before the first record of a chain.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordHash({})", hex::encode(&self.0[..4]))
    }
}

impl Encoding for RecordHash {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.raw(&self.0);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self(input.array()?))
    }
}

/// What a record can carry: the items of one layer.
pub trait Item: Encoding {
    /// The layer.
    const LAYER: Layer;
}

/// The items of one record, encoded.
#[derive(Debug)]
pub struct Body {
    layer: Layer,
    /// How many items it has.
    item_count: usize,
    /// Count and items.
    items: Zeroizing<Vec<u8>>,
}

impl Body {
    /// Encodes `items`, over as many bodies as it takes.
    pub fn of<T: Item>(items: &[T]) -> Result<Vec<Self>, FormatError> {
        let mut bodies = Vec::new();
        let (mut pending, mut count) = (Writer::new(), 0);
        for item in items {
            let mut encoding = Writer::new();
            item.write(&mut encoding)?;
            let encoding = Zeroizing::new(encoding.into_bytes());
            if count > 0 && 4 + pending.as_bytes().len() + encoding.len() > RECORD_BODY_LEN_MAX {
                bodies.push(Self::close::<T>(std::mem::take(&mut pending), count)?);
                count = 0;
            }
            pending.raw(&encoding);
            count += 1;
        }
        if count > 0 {
            bodies.push(Self::close::<T>(pending, count)?);
        }
        Ok(bodies)
    }

    /// How many items it has.
    pub fn item_count(&self) -> usize {
        self.item_count
    }

    /// The layer of its items.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    fn close<T: Item>(pending: Writer, item_count: usize) -> Result<Self, FormatError> {
        let pending = Zeroizing::new(pending.into_bytes());
        let len = 4 + pending.len();
        if len > RECORD_BODY_LEN_MAX {
            let (count, max) = (len as u64, RECORD_BODY_LEN_MAX as u64);
            return Err(FormatError::TooMany { what: "bytes of one item", count, max });
        }
        let mut items = Writer::with_capacity(len);
        items.count(item_count, RECORD_BODY_LEN_MAX, "items of a record")?;
        items.raw(&pending);
        Ok(Self { layer: T::LAYER, item_count, items: Zeroizing::new(items.into_bytes()) })
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose chain.
    pub device: DeviceId,
    /// Place in the chain, from 0.
    pub sequence: u64,
    /// Hash of the record before it; [`RecordHash::NONE`] at 0.
    pub previous: RecordHash,
}

/// A record: a link of a device's chain, sealed and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    layer: Layer,
    place: Place,
    bytes: Vec<u8>,
}

impl Record {
    /// Seals `body` under its layer's key and signs the record with the device's keys.
    pub fn seal(
        body: &Body,
        place: Place,
        vault: VaultId,
        layer_key: &LayerKey,
        device_keys: &Keys,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let packed = compress::pack(&body.items, 0);
        let plain = Zeroizing::new([&[BODY_VERSION], packed.as_slice()].concat());
        drop(Zeroizing::new(packed));
        let sealed = seal_salted(&plain, &aad(body.layer, &place, vault, &extra(&place)), layer_key, rng);
        let mut out = Writer::with_capacity(HEADER_LEN + sealed.len() + SIGNATURE_LEN);
        out.u8(RECORD_VERSION);
        out.u8(body.layer.code());
        out.raw(place.device.as_bytes());
        out.u64(place.sequence);
        out.raw(&place.previous.0);
        out.u32(u32::try_from(sealed.len()).expect("a body is at most 1 MiB"));
        out.raw(&sealed);
        let signature = sign::sign(out.as_bytes(), Purpose::Record, device_keys);
        out.raw(&signature.0);
        Self { layer: body.layer, place, bytes: out.into_bytes() }
    }

    /// How many of these bytes, which begin with a record, are whole records.
    pub fn whole_len(bytes: &[u8]) -> usize {
        let mut whole = 0;
        while let Some(header) = bytes[whole..].first_chunk::<HEADER_LEN>() {
            let sealed_len = header.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
            let Some(len) = (sealed_len as usize).checked_add(HEADER_LEN + SIGNATURE_LEN) else { break };
            if bytes.len() - whole < len {
                break;
            }
            whole += len;
        }
        whole
    }

    /// Takes one record off the front of a chain.
    pub fn read(chain: &mut Reader<'_>) -> Result<Self, FormatError> {
        let start = chain.rest();
        chain.version(RECORD_VERSION, "a record")?;
        let layer = match chain.u8()? {
            1 => Layer::Placement,
            2 => Layer::Content,
            found => return Err(FormatError::UnknownType { what: "a record's layer", found }),
        };
        let place = Place {
            device: DeviceId::read(chain)?,
            sequence: chain.u64()?,
            previous: RecordHash::read(chain)?,
        };
        if (place.sequence == 0) != (place.previous == RecordHash::NONE) {
            let rule = "the first one has no predecessor, every other one has";
            return Err(FormatError::Invalid { what: "a record", rule });
        }
        let sealed_len = chain.count(SEALED_LEN_MAX, "bytes of a sealed record")?;
        if sealed_len < SEALED_LEN_MIN {
            return Err(FormatError::Invalid { what: "a record", rule: "it has a body" });
        }
        chain.raw(sealed_len + SIGNATURE_LEN)?;
        let bytes = start[..HEADER_LEN + sealed_len + SIGNATURE_LEN].to_vec();
        Ok(Self { layer, place, bytes })
    }

    /// The one record that `bytes` are.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "a record");
        let record = Self::read(&mut input)?;
        input.finish()?;
        Ok(record)
    }

    /// The layer of its items.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Its bytes in the chain.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its hash.
    pub fn hash(&self) -> RecordHash {
        RecordHash(Sha256::digest(&self.bytes).into())
    }

    /// Checks that `device_key` signed it.
    pub fn verify(&self, device_key: &PublicKey) -> Result<(), FormatError> {
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - SIGNATURE_LEN);
        let signature = Signature(signature.try_into().expect("a signature has 64 bytes"));
        Ok(sign::verify(signed, Purpose::Record, &signature, device_key)?)
    }

    /// Opens it and reads its items.
    ///
    /// # Errors
    /// Also if its layer is not that of `T`.
    pub fn open<T: Item>(&self, vault: VaultId, layer_key: &LayerKey) -> Result<Vec<T>, FormatError> {
        if self.layer != T::LAYER {
            return Err(FormatError::Invalid {
                what: "a record",
                rule: "it is read as the layer that it is of",
            });
        }
        let sealed = &self.bytes[HEADER_LEN..self.bytes.len() - SIGNATURE_LEN];
        let extra = extra(&self.place);
        let plain = open_salted(sealed, &aad(self.layer, &self.place, vault, &extra), layer_key)?;
        read_body(&plain)
    }
}

/// Reads the items of an opened body: version, flag byte, count, items.
pub(super) fn read_body<T: Item>(plain: &[u8]) -> Result<Vec<T>, FormatError> {
    let mut input = Reader::new(plain, "a record's body");
    input.version(BODY_VERSION, "a record's body")?;
    let packed = input.rest();
    let items = compress::unpack(packed, RECORD_BODY_LEN_MAX, "a record's body")?;
    let mut input = Reader::new(&items, "a record's body");
    let items = input.list(RECORD_BODY_LEN_MAX, "items of a record")?;
    input.finish()?;
    Ok(items)
}

fn extra(place: &Place) -> Vec<u8> {
    [place.sequence.to_le_bytes().as_slice(), &place.previous.0].concat()
}

fn aad<'a>(layer: Layer, place: &Place, vault: VaultId, extra: &'a [u8]) -> Aad<'a> {
    Aad { kind: SealedKind::Record, vault, device: place.device, layer, extra }
}
