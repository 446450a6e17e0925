//! Heads: where a device's chain ends and where its records are stored, in one small sealed text (docs/format.md, "Head").

use nostr::Keys;
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::crypt::seal::SALTED_OVERHEAD;
use crate::crypt::{
    Aad, DeviceClass, Layer, LayerKey, PublicKey, Purpose, SealedKind, SegmentKey, Signature, open_salted,
    seal_salted, sign,
};
use crate::types::limits::{
    HEAD_LEN_CLASSES, HEAD_OTHER_COUNT_MAX, HEAD_RELAY_COUNT_MAX, HEAD_RUN_COUNT_MAX, PACK_LEN_MAX,
    PROVIDER_COUNT_MAX, RELAY_URL_LEN_MAX, RUN_PACK_COUNT_MAX,
};
use crate::types::{DeviceId, ProviderId, ShardIndex, Timestamp, VaultId};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::placement::{ChainEnd, Coding, certified};
use super::record::RecordHash;

/// Kind of the addressable event that carries a head (NIP-78).
pub const HEAD_EVENT_KIND: u16 = 30_078;

const HEAD_VERSION: u8 = 1;
const INDEX_VERSION: u8 = 1;
const SIGNATURE_LEN: usize = 64;

/// A head: the end of a device's chain, and the packs that hold the chain.
#[derive(Debug)]
pub struct Head {
    /// The device.
    pub device: DeviceId,
    /// Its class.
    pub class: DeviceClass,
    /// Its key, which signs the head.
    pub key: PublicKey,
    /// The vault's certificate of the device.
    pub certificate: Signature,
    /// Rises by at least one with every head of the device: a lower one is older.
    pub counter: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Place of the chain's last record.
    pub last: u64,
    /// Hash of the chain's last record.
    pub last_hash: RecordHash,
    /// Providers that the runs' packs name by their position here.
    pub providers: Vec<ProviderId>,
    /// Relays of the vault.
    pub relays: Vec<String>,
    /// The counters of other devices' heads, as far as this device has seen them.
    pub others: Vec<OtherHead>,
    /// The packs of the chain, oldest records first: together they hold all of it.
    pub runs: Vec<Run>,
}

/// The counter of another device's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherHead {
    /// The other device.
    pub device: DeviceId,
    /// The highest counter seen.
    pub counter: u64,
}

/// Consecutive records of the chain, and the pack that holds them.
#[derive(Debug)]
pub struct Run {
    /// Eight runs of one level become one of the next.
    pub level: u8,
    /// What the pack's segment is.
    pub depth: RunDepth,
    /// The first record.
    pub first: u64,
    /// The last record.
    pub last: u64,
    /// Until when the pack's shards are promised.
    pub expires: Timestamp,
    /// The pack.
    pub pack: PackRef,
}

/// What the segment of a run's pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunDepth {
    /// The records, end to end.
    Records,
    /// A [`RunIndex`] of the packs that hold the records.
    Index,
}

/// A pack of the manifest: it holds one sealed segment and is named by heads and indexes only.
#[derive(Debug)]
pub struct PackRef {
    /// Opens the segment.
    pub key: SegmentKey,
    /// Bytes of the segment's plaintext.
    pub plain_len: u32,
    /// How the pack is coded.
    pub coding: Coding,
    /// For each shard, the position of its provider in the head's, or the index's, list.
    pub providers: Vec<u8>,
}

/// The packs of a run too long for one: their plaintexts end to end are the records; a record may lie in two.
#[derive(Debug)]
pub struct RunIndex {
    /// Providers that the packs name by their position here.
    pub providers: Vec<ProviderId>,
    /// The packs, in order.
    pub packs: Vec<PackRef>,
}

impl Head {
    /// Signs the head, pads it to a length class and seals it. No two sealings are alike.
    pub fn seal(
        &self,
        vault: VaultId,
        head_key: &LayerKey,
        device_keys: &Keys,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, FormatError> {
        // With room for all that follows: what is written here is not moved, and so is wiped.
        let mut out = Writer::with_capacity(HEAD_LEN_CLASSES[HEAD_LEN_CLASSES.len() - 1]);
        self.write(&mut out)?;
        let signature = sign::sign(out.as_bytes(), Purpose::Head, device_keys);
        out.raw(&signature.0);
        let mut plain = Zeroizing::new(out.into_bytes());
        let class = length_class(plain.len() + SALTED_OVERHEAD)?;
        plain.resize(class - SALTED_OVERHEAD, 0);
        Ok(seal_salted(&plain, &aad(vault), head_key, rng))
    }

    /// Opens a sealed head, and checks the vault's certificate of its device and the device's signature.
    pub fn open(
        sealed: &[u8],
        vault: VaultId,
        vault_key: &PublicKey,
        head_key: &LayerKey,
    ) -> Result<Self, FormatError> {
        if !HEAD_LEN_CLASSES.contains(&sealed.len()) {
            return Err(FormatError::Invalid {
                what: "a head",
                rule: "its length is one of the length classes",
            });
        }
        let plain = open_salted(sealed, &aad(vault), head_key)?;
        let (head, signed, signature) = Self::read_padded(&plain)?;
        let message = certified(vault, head.device, head.class, head.key);
        sign::verify(&message, Purpose::Device, &head.certificate, vault_key)?;
        sign::verify(signed, Purpose::Head, &signature, &head.key)?;
        Ok(head)
    }

    /// Length of the sealed head.
    pub fn sealed_len(&self) -> Result<usize, FormatError> {
        let mut out = Writer::new();
        self.write(&mut out)?;
        let plain = Zeroizing::new(out.into_bytes());
        length_class(plain.len() + SIGNATURE_LEN + SALTED_OVERHEAD)
    }

    /// The end of the chain.
    pub fn chain_end(&self) -> ChainEnd {
        ChainEnd { device: self.device, sequence: self.last, hash: self.last_hash }
    }

    /// The provider of each shard of `pack`, which is a pack of this head.
    pub fn provider_of(&self, pack: &PackRef, shard: ShardIndex) -> Option<ProviderId> {
        provider_at(&self.providers, pack, shard)
    }

    /// Reads head, signature and padding; gives back the signed bytes too.
    pub(super) fn read_padded(plain: &[u8]) -> Result<(Self, &[u8], Signature), FormatError> {
        let mut input = Reader::new(plain, "a head");
        let head = Self::read(&mut input)?;
        let signed = &plain[..plain.len() - input.remaining()];
        let signature = Signature::read(&mut input)?;
        let used = plain.len() - input.remaining() + SALTED_OVERHEAD;
        if input.rest().iter().any(|byte| *byte != 0) || length_class(used)? != plain.len() + SALTED_OVERHEAD
        {
            let rule = "zeros follow, up to the next length class";
            return Err(FormatError::Invalid { what: "a head", rule });
        }
        Ok((head, signed, signature))
    }

    fn check(&self) -> Result<(), FormatError> {
        let broken = |rule| Err(FormatError::Invalid { what: "a head", rule });
        if self.runs.iter().any(|run| !run.pack.names_only(&self.providers)) {
            return broken("its packs name providers of its list");
        }
        let mut next = Some(0);
        for run in &self.runs {
            if next != Some(run.first) || run.last < run.first {
                return broken("its runs follow each other from the first record");
            }
            next = run.last.checked_add(1);
        }
        if next != self.last.checked_add(1) || next.is_none() {
            return broken("its runs end at the last record");
        }
        Ok(())
    }
}

impl RunIndex {
    /// The provider of each shard of `pack`, which is a pack of this index.
    pub fn provider_of(&self, pack: &PackRef, shard: ShardIndex) -> Option<ProviderId> {
        provider_at(&self.providers, pack, shard)
    }
}

impl PackRef {
    fn names_only(&self, providers: &[ProviderId]) -> bool {
        self.providers.iter().all(|position| usize::from(*position) < providers.len())
    }
}

fn provider_at(providers: &[ProviderId], pack: &PackRef, shard: ShardIndex) -> Option<ProviderId> {
    let position = pack.providers.get(shard.as_usize())?;
    providers.get(usize::from(*position)).copied()
}

/// The device stands inside: who opens a head cannot know it beforehand.
fn aad(vault: VaultId) -> Aad<'static> {
    let device = DeviceId::new([0; DeviceId::LEN]);
    Aad { kind: SealedKind::Head, vault, device, layer: Layer::Placement, extra: &[] }
}

fn length_class(len: usize) -> Result<usize, FormatError> {
    let max = HEAD_LEN_CLASSES[HEAD_LEN_CLASSES.len() - 1];
    let too_long = FormatError::TooMany { what: "bytes of a head", count: len as u64, max: max as u64 };
    HEAD_LEN_CLASSES.into_iter().find(|class| *class >= len).ok_or(too_long)
}

impl Encoding for Head {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        out.u8(HEAD_VERSION);
        self.device.write(out)?;
        self.class.write(out)?;
        self.key.write(out)?;
        self.certificate.write(out)?;
        out.u64(self.counter);
        out.u64(self.made_at.0);
        out.u64(self.last);
        self.last_hash.write(out)?;
        out.list(&self.providers, PROVIDER_COUNT_MAX, "providers of a head")?;
        out.count(self.relays.len(), HEAD_RELAY_COUNT_MAX, "relays of a head")?;
        for relay in &self.relays {
            out.text(relay, RELAY_URL_LEN_MAX, "bytes of a relay's URL")?;
        }
        out.list(&self.others, HEAD_OTHER_COUNT_MAX, "other devices of a head")?;
        out.list(&self.runs, HEAD_RUN_COUNT_MAX, "runs of a head")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.version(HEAD_VERSION, "a head")?;
        let device = DeviceId::read(input)?;
        let class = DeviceClass::read(input)?;
        let key = PublicKey::read(input)?;
        let certificate = Signature::read(input)?;
        let (counter, made_at, last) = (input.u64()?, Timestamp(input.u64()?), input.u64()?);
        let last_hash = RecordHash::read(input)?;
        let providers = input.list(PROVIDER_COUNT_MAX, "providers of a head")?;
        let relay_count = input.count(HEAD_RELAY_COUNT_MAX, "relays of a head")?;
        let relays = (0..relay_count).map(|_| input.text(RELAY_URL_LEN_MAX, "bytes of a relay's URL"));
        let relays = relays.collect::<Result<_, _>>()?;
        let others = input.list(HEAD_OTHER_COUNT_MAX, "other devices of a head")?;
        let runs = input.list(HEAD_RUN_COUNT_MAX, "runs of a head")?;
        let head = Self {
            device,
            class,
            key,
            certificate,
            counter,
            made_at,
            last,
            last_hash,
            providers,
            relays,
            others,
            runs,
        };
        head.check()?;
        Ok(head)
    }
}

impl Encoding for OtherHead {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.device.write(out)?;
        out.u64(self.counter);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { device: DeviceId::read(input)?, counter: input.u64()? })
    }
}

impl Encoding for Run {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.u8(self.level);
        out.u8(match self.depth {
            RunDepth::Records => 0,
            RunDepth::Index => 1,
        });
        out.u64(self.first);
        out.u64(self.last);
        out.u64(self.expires.0);
        self.pack.write(out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let level = input.u8()?;
        let depth = match input.u8()? {
            0 => RunDepth::Records,
            1 => RunDepth::Index,
            found => return Err(FormatError::UnknownType { what: "a run's depth", found }),
        };
        let (first, last, expires) = (input.u64()?, input.u64()?, Timestamp(input.u64()?));
        Ok(Self { level, depth, first, last, expires, pack: PackRef::read(input)? })
    }
}

impl PackRef {
    fn check(&self) -> Result<(), FormatError> {
        if self.plain_len == 0 || self.plain_len > PACK_LEN_MAX {
            return Err(FormatError::Invalid { what: "a manifest pack", rule: "it holds 1 byte to 8 MiB" });
        }
        if self.providers.len() != self.coding.shards.len() {
            return Err(FormatError::Invalid { what: "a manifest pack", rule: "each shard has a provider" });
        }
        Ok(())
    }
}

impl Encoding for PackRef {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        out.raw(self.key.expose());
        out.u32(self.plain_len);
        self.coding.write(out)?;
        out.raw(&self.providers);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let key = SegmentKey::new(input.array()?);
        let plain_len = input.u32()?;
        let coding = Coding::read(input)?;
        let providers = input.raw(coding.shards.len())?.to_vec();
        let pack = Self { key, plain_len, coding, providers };
        pack.check()?;
        Ok(pack)
    }
}

impl Encoding for RunIndex {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        out.u8(INDEX_VERSION);
        out.list(&self.providers, PROVIDER_COUNT_MAX, "providers of a run's index")?;
        out.list(&self.packs, RUN_PACK_COUNT_MAX, "packs of a run's index")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.version(INDEX_VERSION, "a run's index")?;
        let providers = input.list(PROVIDER_COUNT_MAX, "providers of a run's index")?;
        let packs = input.list(RUN_PACK_COUNT_MAX, "packs of a run's index")?;
        let index = Self { providers, packs };
        index.check()?;
        Ok(index)
    }
}

impl RunIndex {
    fn check(&self) -> Result<(), FormatError> {
        if self.packs.iter().all(|pack| pack.names_only(&self.providers)) {
            Ok(())
        } else {
            Err(FormatError::Invalid { what: "a run's index", rule: "its packs name providers of its list" })
        }
    }
}
