//! Bringing records into the catalog.

use std::sync::atomic::Ordering;

use redb::{Durability, ReadableTable, ReadableTableMetadata, WriteTransaction};

use crate::format::chain::Items;
use crate::format::{ContentItem, PlacementItem, Record};
use crate::types::DeviceId;
use crate::types::limits::{CHAIN_COUNT_MAX, PROVIDER_COUNT_MAX};
use crate::vault::VaultError;

use super::tables::{
    CHAIN_IDS, CHAINS, CONDEMNED, Catalog, DROPPED, GRANTED, HEARD_PROVIDERS, HEARSAY, NEEDS, PACK_ORDER,
    PACKS, PROMISES, PROVIDERS, RECORDS, REF_LISTS, RELEASED, REMOVED, REVOKED, SEGMENTS, SNAPSHOTS,
    TREE_PAGES,
};

/// Bytes of records after which the catalog is synced: a crash makes it read so many again, and a little more.
const UNSYNCED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What the records of a chain count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// They are this home's own, or a full device's.
    Believed,
    /// They are of a verify device elsewhere: its promises say where to ask.
    Hearsay,
}

/// One commit to the catalog. Dropped without [`CatalogWriter::commit`], nothing of it happens.
pub(crate) struct CatalogWriter<'a> {
    catalog: &'a Catalog,
    transaction: WriteTransaction,
    bytes: u64,
}

impl Catalog {
    /// Begins a commit.
    pub(crate) fn writer(&self) -> Result<CatalogWriter<'_>, VaultError> {
        let transaction = self.db.begin_write().map_err(VaultError::catalog)?;
        Ok(CatalogWriter { catalog: self, transaction, bytes: 0 })
    }
}

impl CatalogWriter<'_> {
    /// Brings in `record`, which opens to `items` and is the next one of a chain that counts as `word`.
    pub(crate) fn add(&mut self, record: &Record, items: &Items, word: Word) -> Result<(), VaultError> {
        let chain = self.add_record(record)?;
        let sequence = record.place().sequence;
        match items {
            Items::Placement(items) => match word {
                Word::Believed => self.add_placement(items, chain, sequence),
                Word::Hearsay => self.add_hearsay(items),
            },
            Items::Content(items) => self.add_content(items, chain, sequence),
            Items::Sealed => Ok(()),
        }
    }

    /// Bytes of the records that were brought in.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it so. A crash can undo it, and what was committed before since the last sync.
    pub(crate) fn commit(mut self) -> Result<(), VaultError> {
        let unsynced = self.catalog.unsynced.load(Ordering::Relaxed) + self.bytes;
        let (durability, unsynced) = if unsynced < UNSYNCED_BYTES_MAX {
            (Durability::None, unsynced)
        } else {
            (Durability::Immediate, 0)
        };
        self.transaction.set_durability(durability).expect("the catalog has no savepoints");
        self.transaction.commit().map_err(VaultError::catalog)?;
        self.catalog.unsynced.store(unsynced, Ordering::Relaxed);
        Ok(())
    }

    fn add_record(&mut self, record: &Record) -> Result<u16, VaultError> {
        let place = record.place();
        let mut chains = self.transaction.open_table(CHAINS).map_err(VaultError::catalog)?;
        let known = chains.get(place.device.as_bytes()).map_err(VaultError::catalog)?;
        let known = known.map(|row| {
            let (chain, count, len, _) = row.value();
            (chain, count, len)
        });
        let (chain, count, offset) = match known {
            Some(known) => known,
            None => (self.number_chain(place.device)?, 0, 0),
        };
        if count != place.sequence {
            return Err(VaultError::DamagedCatalog { what: "a record is not the next one of its chain" });
        }
        let len = record.as_bytes().len();
        self.bytes += len as u64;
        let row = (chain, count + 1, offset + len as u64, &record.hash().0);
        chains.insert(place.device.as_bytes(), row).map_err(VaultError::catalog)?;
        let mut records = self.transaction.open_table(RECORDS).map_err(VaultError::catalog)?;
        let len = u32::try_from(len).expect("a record is at most a little over 1 MiB");
        records.insert((chain, place.sequence), (offset, len)).map_err(VaultError::catalog)?;
        Ok(chain)
    }

    fn number_chain(&self, device: DeviceId) -> Result<u16, VaultError> {
        let mut ids = self.transaction.open_table(CHAIN_IDS).map_err(VaultError::catalog)?;
        let last = ids.last().map_err(VaultError::catalog)?.map(|(number, _)| number.value());
        let number = last.map_or(0, |last| last.saturating_add(1));
        if usize::from(number) >= CHAIN_COUNT_MAX {
            return Err(VaultError::TooManyChains { max: CHAIN_COUNT_MAX });
        }
        ids.insert(number, device.as_bytes()).map_err(VaultError::catalog)?;
        Ok(number)
    }

    fn add_placement(&self, items: &[PlacementItem], chain: u16, sequence: u64) -> Result<(), VaultError> {
        let write = &self.transaction;
        let mut packs = write.open_table(PACKS).map_err(VaultError::catalog)?;
        let mut order = write.open_table(PACK_ORDER).map_err(VaultError::catalog)?;
        let mut providers = write.open_table(PROVIDERS).map_err(VaultError::catalog)?;
        let mut promised = write.open_table(PROMISES).map_err(VaultError::catalog)?;
        let mut needed = write.open_table(NEEDS).map_err(VaultError::catalog)?;
        for (item, number) in items.iter().zip(0..) {
            match item {
                PlacementItem::Pack(pack) => {
                    // A pack is written once: what was first under an id stays.
                    if packs.get(pack.id.as_bytes()).map_err(VaultError::catalog)?.is_none() {
                        let place = (chain, sequence, number);
                        packs.insert(pack.id.as_bytes(), place).map_err(VaultError::catalog)?;
                        order.insert(place, pack.id.as_bytes()).map_err(VaultError::catalog)?;
                    }
                }
                PlacementItem::Promises(promises) => {
                    let provider = promises.provider.as_bytes();
                    providers.insert(provider, ()).map_err(VaultError::catalog)?;
                    for promise in &promises.promises {
                        let key = (promise.pack.as_bytes(), promise.shard.0, provider, chain);
                        promised.insert(key, promise.expires.0).map_err(VaultError::catalog)?;
                    }
                }
                PlacementItem::Needs(needs) => {
                    let key = (needs.snapshot.as_bytes(), chain, sequence, number);
                    needed.insert(key, None).map_err(VaultError::catalog)?;
                }
                PlacementItem::NeedsAfter(needs) => {
                    let key = (needs.snapshot.as_bytes(), chain, sequence, number);
                    needed.insert(key, Some(needs.base.as_bytes())).map_err(VaultError::catalog)?;
                }
                PlacementItem::Condemn(_) | PlacementItem::Release(_) | PlacementItem::Drop(_) => {
                    self.add_removal(item, chain, sequence)?;
                }
                PlacementItem::Grant(grant) => {
                    let mut granted = write.open_table(GRANTED).map_err(VaultError::catalog)?;
                    let key = grant.device.as_bytes();
                    if granted.get(key).map_err(VaultError::catalog)?.is_none() {
                        granted.insert(key, (chain, sequence, number)).map_err(VaultError::catalog)?;
                    }
                }
                PlacementItem::Revoke(revoke) => {
                    let mut revoked = write.open_table(REVOKED).map_err(VaultError::catalog)?;
                    revoked.insert(revoke.device.as_bytes(), ()).map_err(VaultError::catalog)?;
                }
                PlacementItem::Device(_) => {}
            }
        }
        Ok(())
    }

    /// Remembers where shards may be, and nothing else that is said.
    fn add_hearsay(&self, items: &[PlacementItem]) -> Result<(), VaultError> {
        let mut heard = self.transaction.open_table(HEARSAY).map_err(VaultError::catalog)?;
        let mut providers = self.transaction.open_table(HEARD_PROVIDERS).map_err(VaultError::catalog)?;
        for item in items {
            let PlacementItem::Promises(promises) = item else { continue };
            if providers.len().map_err(VaultError::catalog)? < PROVIDER_COUNT_MAX as u64 {
                providers.insert(promises.provider.as_bytes(), ()).map_err(VaultError::catalog)?;
            }
            for promise in &promises.promises {
                let key = (promise.pack.as_bytes(), promise.shard.0, promises.provider.as_bytes());
                heard.insert(key, ()).map_err(VaultError::catalog)?;
            }
        }
        Ok(())
    }

    fn add_removal(&self, item: &PlacementItem, chain: u16, sequence: u64) -> Result<(), VaultError> {
        let write = &self.transaction;
        match item {
            PlacementItem::Condemn(condemn) => {
                let mut removed = write.open_table(REMOVED).map_err(VaultError::catalog)?;
                for snapshot in &condemn.snapshots {
                    removed.insert(snapshot.as_bytes(), ()).map_err(VaultError::catalog)?;
                }
                let mut condemned = write.open_table(CONDEMNED).map_err(VaultError::catalog)?;
                for pack in &condemn.packs {
                    let key = (chain, sequence, pack.as_bytes());
                    let before = condemned.get(key).map_err(VaultError::catalog)?.map(|at| at.value());
                    let at = before.map_or(condemn.at.0, |before| before.max(condemn.at.0));
                    condemned.insert(key, at).map_err(VaultError::catalog)?;
                }
            }
            PlacementItem::Release(release) => {
                let mut released = write.open_table(RELEASED).map_err(VaultError::catalog)?;
                for snapshot in &release.snapshots {
                    let key = (release.pack.as_bytes(), snapshot.as_bytes());
                    released.insert(key, ()).map_err(VaultError::catalog)?;
                }
            }
            PlacementItem::Drop(drop) => {
                let mut dropped = write.open_table(DROPPED).map_err(VaultError::catalog)?;
                for pack in &drop.packs {
                    dropped.insert(pack.as_bytes(), ()).map_err(VaultError::catalog)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_content(&self, items: &[ContentItem], chain: u16, sequence: u64) -> Result<(), VaultError> {
        let write = &self.transaction;
        let mut segments = write.open_table(SEGMENTS).map_err(VaultError::catalog)?;
        let mut ref_lists = write.open_table(REF_LISTS).map_err(VaultError::catalog)?;
        let mut tree_pages = write.open_table(TREE_PAGES).map_err(VaultError::catalog)?;
        let mut snapshots = write.open_table(SNAPSHOTS).map_err(VaultError::catalog)?;
        for (item, number) in items.iter().zip(0..) {
            let place = (chain, sequence, number);
            match item {
                ContentItem::Segment(segment) => {
                    let key = (segment.tag.as_bytes(), chain, sequence, number);
                    segments.insert(key, ()).map_err(VaultError::catalog)?;
                }
                ContentItem::RefList(list) => {
                    ref_lists.insert(list.tag.as_bytes(), place).map_err(VaultError::catalog)?;
                }
                ContentItem::TreePage(page) => {
                    tree_pages.insert(page.tag.as_bytes(), place).map_err(VaultError::catalog)?;
                }
                ContentItem::Snapshot(snapshot) => {
                    snapshots.insert(snapshot.id.as_bytes(), place).map_err(VaultError::catalog)?;
                }
            }
        }
        Ok(())
    }
}
