//! Items of the placement layer: devices, packs, promises, and what each snapshot needs (docs/format.md, "Placement").

use crate::crypt::{Access, DeviceClass, Layer, MaskKey, PublicKey, Purpose, Signature, VaultKeys, sign};
use crate::erasure::Scheme;
use crate::types::limits::{CONTINUES_COUNT_MAX, NEED_COUNT_MAX, PROMISE_COUNT_MAX};
use crate::types::{
    BlobHash, DeviceId, MerkleRoot, PackId, ProviderId, ShardIndex, SnapshotId, Timestamp, VaultId,
};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::grant::{Grant, Revoke};
use super::needs::NeedsAfter;
use super::record::{Item, RecordHash};
use super::removal::{Condemn, Dropped, Release};

/// One item of a placement record.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlacementItem {
    /// A device, at the beginning of its chain.
    Device(Device),
    /// A pack.
    Pack(Pack),
    /// What a provider promised.
    Promises(Promises),
    /// What a snapshot needs.
    Needs(Needs),
    /// Snapshots that are removed, packs that are to be deleted later.
    Condemn(Condemn),
    /// Packs that a snapshot needs, told by those of another.
    NeedsAfter(NeedsAfter),
    /// Snapshots that no longer need a pack.
    Release(Release),
    /// Packs that were deleted.
    Drop(Dropped),
    /// A verify device that there is.
    Grant(Grant),
    /// A device that does not count any more.
    Revoke(Revoke),
}

/// A device of the vault: one chain of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What it may do.
    pub class: DeviceClass,
    /// Signs its records and heads.
    pub key: PublicKey,
    /// When it was made.
    pub created: Timestamp,
    /// The vault's signature that the device belongs to it.
    pub certificate: Signature,
    /// The chains it goes on from, and how far it knew them.
    pub continues: Vec<ChainEnd>,
}

/// A record of a chain, by its place and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainEnd {
    /// Whose chain.
    pub device: DeviceId,
    /// Place in the chain, from 0.
    pub sequence: u64,
    /// Hash of the record there.
    pub hash: RecordHash,
}

/// A pack: how it is coded and what its shards are.
#[derive(Debug)]
pub struct Pack {
    /// Its id.
    pub id: PackId,
    /// Its coding.
    pub coding: Coding,
}

/// All that is needed to get bytes back from shards.
#[derive(Debug)]
pub struct Coding {
    /// How many shards there are and how many are enough.
    pub scheme: Scheme,
    /// Bytes of sealed segments; random bytes follow up to need × `shard_len`.
    pub sealed_len: u32,
    /// Masks the shards; there exactly if one shard is enough.
    pub mask: Option<MaskKey>,
    /// The shards, by index.
    pub shards: Vec<ShardName>,
}

/// What a shard is called, and the root of the Merkle tree over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardName {
    /// SHA-256 of the shard: its blob's name at every provider.
    pub hash: BlobHash,
    /// Root over its 1 KiB leaves.
    pub root: MerkleRoot,
}

/// What one provider promised to keep. Later promises stand beside earlier ones and never hide them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promises {
    /// Who promised.
    pub provider: ProviderId,
    /// What.
    pub promises: Vec<Promise>,
}

/// One shard that a provider promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The pack.
    pub pack: PackId,
    /// Which of its shards.
    pub shard: ShardIndex,
    /// Until when.
    pub expires: Timestamp,
}

/// Packs that a snapshot needs. Several for one snapshot add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Packs that it needs.
    pub packs: Vec<PackId>,
}

impl Device {
    /// A device with the vault's certificate.
    pub fn certify(
        id: DeviceId,
        class: DeviceClass,
        created: Timestamp,
        continues: Vec<ChainEnd>,
        keys: &VaultKeys,
    ) -> Self {
        let key = PublicKey::from(&keys.device_keys(class, &id));
        let message = certified(keys.vault_id(), id, class, key);
        let certificate = sign::sign(&message, Purpose::Device, keys.identity());
        Self { id, class, key, created, certificate, continues }
    }

    /// The device `id` as whoever has `access` can describe it: a full one certifies it, a verify one has its certificate.
    pub fn of(access: &Access, id: DeviceId, created: Timestamp, continues: Vec<ChainEnd>) -> Self {
        let Some(keys) = access.vault_keys() else {
            let (id, certificate) = access.verify_device().expect("who is not full is a verify device");
            let key = PublicKey::from(&access.actor().device_keys(&id));
            return Self { id, class: DeviceClass::Verify, key, created, certificate, continues };
        };
        Self::certify(id, DeviceClass::Full, created, continues, keys)
    }

    /// Checks that the vault with this id and public key certified the device.
    pub fn verify(&self, vault: VaultId, vault_key: &PublicKey) -> Result<(), FormatError> {
        let message = certified(vault, self.id, self.class, self.key);
        Ok(sign::verify(&message, Purpose::Device, &self.certificate, vault_key)?)
    }
}

/// What a certificate signs: vault id, device id, class, device key.
pub(super) fn certified(vault: VaultId, device: DeviceId, class: DeviceClass, key: PublicKey) -> Vec<u8> {
    [vault.as_bytes().as_slice(), device.as_bytes(), &[class.code()], &key.0].concat()
}

impl Item for PlacementItem {
    const LAYER: Layer = Layer::Placement;
}

impl Encoding for PlacementItem {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        match self {
            Self::Device(device) => {
                out.u8(1);
                device.write(out)
            }
            Self::Pack(pack) => {
                out.u8(2);
                pack.id.write(out)?;
                pack.coding.write(out)
            }
            Self::Promises(promises) => {
                out.u8(3);
                promises.provider.write(out)?;
                out.list(&promises.promises, PROMISE_COUNT_MAX, "promises")
            }
            Self::Needs(needs) => {
                out.u8(4);
                needs.snapshot.write(out)?;
                out.list(&needs.packs, NEED_COUNT_MAX, "packs that a snapshot needs")
            }
            Self::Condemn(condemn) => {
                out.u8(5);
                condemn.write(out)
            }
            Self::Release(release) => {
                out.u8(6);
                release.write(out)
            }
            Self::Drop(dropped) => {
                out.u8(8);
                dropped.write(out)
            }
            Self::Grant(grant) => {
                out.u8(10);
                grant.write(out)
            }
            Self::Revoke(revoke) => {
                out.u8(11);
                revoke.write(out)
            }
            Self::NeedsAfter(needs) => {
                out.u8(12);
                needs.write(out)
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        match input.u8()? {
            1 => Ok(Self::Device(Device::read(input)?)),
            2 => Ok(Self::Pack(Pack { id: PackId::read(input)?, coding: Coding::read(input)? })),
            3 => Ok(Self::Promises(Promises {
                provider: ProviderId::read(input)?,
                promises: input.list(PROMISE_COUNT_MAX, "promises")?,
            })),
            4 => Ok(Self::Needs(Needs {
                snapshot: SnapshotId::read(input)?,
                packs: input.list(NEED_COUNT_MAX, "packs that a snapshot needs")?,
            })),
            5 => Ok(Self::Condemn(Condemn::read(input)?)),
            6 => Ok(Self::Release(Release::read(input)?)),
            8 => Ok(Self::Drop(Dropped::read(input)?)),
            10 => Ok(Self::Grant(Grant::read(input)?)),
            11 => Ok(Self::Revoke(Revoke::read(input)?)),
            12 => Ok(Self::NeedsAfter(NeedsAfter::read(input)?)),
            found => Err(FormatError::UnknownType { what: "a placement item", found }),
        }
    }
}

impl Encoding for Device {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.id.write(out)?;
        out.u8(self.class.code());
        self.key.write(out)?;
        out.u64(self.created.0);
        self.certificate.write(out)?;
        out.list(&self.continues, CONTINUES_COUNT_MAX, "continued chains")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            id: DeviceId::read(input)?,
            class: DeviceClass::read(input)?,
            key: PublicKey::read(input)?,
            created: Timestamp(input.u64()?),
            certificate: Signature::read(input)?,
            continues: input.list(CONTINUES_COUNT_MAX, "continued chains")?,
        })
    }
}

impl Encoding for DeviceClass {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.u8(self.code());
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let found = input.u8()?;
        Self::from_code(found).ok_or(FormatError::UnknownType { what: "a device class", found })
    }
}

impl Encoding for PublicKey {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.raw(&self.0);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self(input.array()?))
    }
}

impl Encoding for Signature {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.raw(&self.0);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self(input.array()?))
    }
}

impl Encoding for ChainEnd {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.device.write(out)?;
        out.u64(self.sequence);
        self.hash.write(out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { device: DeviceId::read(input)?, sequence: input.u64()?, hash: RecordHash::read(input)? })
    }
}

impl Coding {
    /// Bytes of each shard: the smallest size class that has room.
    pub fn shard_len(&self) -> u32 {
        self.scheme.shard_len(self.sealed_len)
    }

    /// The same coding once more. Keys are not cloned in passing: a mask key is copied here and nowhere else.
    pub(crate) fn copy(&self) -> Self {
        let mask = self.mask.as_ref().map(|mask| MaskKey::new(*mask.expose()));
        Self { scheme: self.scheme, sealed_len: self.sealed_len, mask, shards: self.shards.clone() }
    }

    fn check(&self) -> Result<(), FormatError> {
        let broken = |rule| Err(FormatError::Invalid { what: "a pack's coding", rule });
        if self.sealed_len == 0 || self.sealed_len > self.scheme.pack_capacity() {
            return broken("a pack holds at least one byte and at most its capacity");
        }
        if self.mask.is_some() != (self.scheme.need() == 1) {
            return broken("there is a mask exactly if one shard is enough");
        }
        if self.shards.len() != usize::from(self.scheme.total()) {
            return broken("there are as many shard names as shards");
        }
        Ok(())
    }
}

impl Encoding for Coding {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        out.u8(self.scheme.need());
        out.u8(self.scheme.total());
        out.u32(self.sealed_len);
        out.u32(self.shard_len());
        if let Some(mask) = &self.mask {
            out.raw(mask.expose());
        }
        self.shards.iter().try_for_each(|shard| shard.write(out))
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let scheme = Scheme::new(input.u8()?, input.u8()?)?;
        let (sealed_len, shard_len) = (input.u32()?, input.u32()?);
        let mask = if scheme.need() == 1 { Some(MaskKey::new(input.array()?)) } else { None };
        let shards = (0..scheme.total()).map(|_| ShardName::read(input)).collect::<Result<_, _>>()?;
        let coding = Self { scheme, sealed_len, mask, shards };
        coding.check()?;
        if shard_len != coding.shard_len() {
            let rule = "shards have the smallest size class that has room";
            return Err(FormatError::Invalid { what: "a pack's coding", rule });
        }
        Ok(coding)
    }
}

impl Encoding for ShardName {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.hash.write(out)?;
        self.root.write(out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { hash: BlobHash::read(input)?, root: MerkleRoot::read(input)? })
    }
}

impl Encoding for Promise {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.pack.write(out)?;
        out.u8(self.shard.0);
        out.u64(self.expires.0);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            pack: PackId::read(input)?,
            shard: ShardIndex(input.u8()?),
            expires: Timestamp(input.u64()?),
        })
    }
}
