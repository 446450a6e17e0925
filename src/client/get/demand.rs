//! What a restore will want of packs: which ones, in order, and which of their data shards.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::client::error::ClientError;
use crate::format::{Coding, Piece};
use crate::types::{PackId, ProviderId, ShardIndex};
use crate::vault::{PackEntry, Vault};

/// Packs that are remembered as just wanted: neighbours share one, and they stay decoded for a while.
const RECENT_COUNT: usize = 4;

/// The packs that will be wanted.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    order: VecDeque<PackId>,
    packs: BTreeMap<PackId, Want>,
    providers: BTreeSet<ProviderId>,
    /// Shards that are enough for every pack.
    need_max: u8,
}

/// What is wanted of one pack.
#[derive(Debug)]
struct Want {
    shard_len: u32,
    sealed_len: u32,
    need: u8,
    shards: BTreeSet<ShardIndex>,
}

impl Demand {
    /// The piece will be wanted, after all that were added before.
    ///
    /// # Errors
    /// As [`include`](Self::include).
    pub(crate) fn add(&mut self, piece: &Piece, vault: &Vault) -> Result<(), ClientError> {
        self.include(piece, vault)?;
        if !self.order.iter().rev().take(RECENT_COUNT).any(|recent| *recent == piece.pack) {
            self.order.push_back(piece.pack);
        }
        Ok(())
    }

    /// Whenever the pack is fetched, the piece is wanted of it.
    ///
    /// # Errors
    /// A pack that the manifest lacks, or a piece that is not in it.
    pub(crate) fn include(&mut self, piece: &Piece, vault: &Vault) -> Result<(), ClientError> {
        let want = match self.packs.entry(piece.pack) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(place) => {
                let entry = pack_entry(&piece.pack, vault)?;
                self.providers.extend(entry.promises.iter().map(|(_, provider, _)| *provider));
                self.need_max = self.need_max.max(entry.pack.coding.scheme.need());
                place.insert(Want::of(&entry.pack.coding))
            }
        };
        want.include(piece)
    }

    /// Takes the pack that is wanted next.
    pub(crate) fn next(&mut self) -> Option<PackId> {
        self.order.pop_front()
    }

    /// True if the pack is among those that come next.
    pub(crate) fn is_upcoming(&self, pack: &PackId) -> bool {
        self.order.contains(pack)
    }

    /// True if nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// Who holds anything of these packs.
    pub(crate) fn providers(&self) -> &BTreeSet<ProviderId> {
        &self.providers
    }

    /// Providers that are enough, if each has a shard.
    pub(crate) fn need_max(&self) -> usize {
        usize::from(self.need_max)
    }

    /// Bytes of the shards that are to be fetched.
    pub(crate) fn bytes(&self) -> u64 {
        self.packs.values().map(Want::bytes).sum()
    }

    /// The data shards that are wanted of a pack; `None` where any `need` shards are as good, because everything in it
    /// is wanted.
    pub(crate) fn shards(&self, pack: &PackId) -> Option<&BTreeSet<ShardIndex>> {
        self.packs.get(pack).filter(|want| want.is_partial()).map(|want| &want.shards)
    }

    /// Bytes of the shards that are to be fetched of a pack.
    pub(crate) fn bytes_of(&self, pack: &PackId) -> u64 {
        self.packs.get(pack).map_or(0, Want::bytes)
    }
}

impl Want {
    fn of(coding: &Coding) -> Self {
        let (shard_len, sealed_len) = (coding.shard_len(), coding.sealed_len);
        Self { shard_len, sealed_len, need: coding.scheme.need(), shards: BTreeSet::new() }
    }

    fn include(&mut self, piece: &Piece) -> Result<(), ClientError> {
        let end = piece.offset.checked_add(piece.len).filter(|end| *end <= self.sealed_len);
        let last = end.and_then(|end| end.checked_sub(1)).filter(|last| *last >= piece.offset);
        let last = last.ok_or_else(|| dangling(format!("bytes of pack {}", piece.pack.short())))?;
        for index in piece.offset / self.shard_len..=last / self.shard_len {
            self.shards.extend(u8::try_from(index).map(ShardIndex));
        }
        Ok(())
    }

    /// Whether some shards with anything in them are not wanted.
    fn is_partial(&self) -> bool {
        self.shards.len() < self.sealed_len.div_ceil(self.shard_len) as usize
    }

    fn bytes(&self) -> u64 {
        let count = if self.is_partial() { self.shards.len() as u64 } else { u64::from(self.need) };
        count * u64::from(self.shard_len)
    }
}

/// A pack and who promised to keep it.
pub(crate) fn pack_entry(pack: &PackId, vault: &Vault) -> Result<PackEntry, ClientError> {
    vault.pack(pack)?.ok_or_else(|| dangling(format!("pack {}", pack.short())))
}

fn dangling(what: String) -> ClientError {
    ClientError::Dangling { what }
}
