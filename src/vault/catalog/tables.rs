//! The tables of the catalog, and opening it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::format::RecordHash;
use crate::types::{DeviceId, VaultId};
use crate::vault::{VaultError, files};

use super::checksum::Checksum;

/// Goes up whenever a table changes: another version is rebuilt.
const CATALOG_VERSION: u64 = 4;
/// Memory for the engine's pages.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Device → number, records, bytes, hash of the last record.
pub(super) const CHAINS: TableDefinition<'_, &[u8; 16], ChainValue> = TableDefinition::new("chains");
/// Number → device.
pub(super) const CHAIN_IDS: TableDefinition<'_, u16, &[u8; 16]> = TableDefinition::new("chain ids");
/// (Chain, sequence) → offset and length in the log.
pub(super) const RECORDS: TableDefinition<'_, (u16, u64), (u64, u32)> = TableDefinition::new("records");
/// All records of each segment's tag.
pub(super) const SEGMENTS: TableDefinition<'_, (&[u8; 32], u16, u64, u32), ()> =
    TableDefinition::new("segments");
/// One record of each reference list: all of a tag are alike.
pub(super) const REF_LISTS: TableDefinition<'_, &[u8; 32], PlaceValue> =
    TableDefinition::new("reference lists");
/// One record of each tree page: all of a tag are alike.
pub(super) const TREE_PAGES: TableDefinition<'_, &[u8; 32], PlaceValue> = TableDefinition::new("tree pages");
pub(super) const PACKS: TableDefinition<'_, &[u8; 16], PlaceValue> = TableDefinition::new("packs");
/// Packs in the order of their records, so that reading many of them opens each record once.
pub(super) const PACK_ORDER: TableDefinition<'_, PlaceValue, &[u8; 16]> =
    TableDefinition::new("packs in order");
/// (Pack, shard, provider, chain) → the newest promise that the chain has.
pub(super) const PROMISES: TableDefinition<'_, PromiseKey, u64> = TableDefinition::new("promises");
/// (Pack, shard, provider) that only a verify device elsewhere has promised: a hint where to ask, and not more.
pub(super) const HEARSAY: TableDefinition<'_, HearsayKey, ()> = TableDefinition::new("hearsay");
/// Providers that hearsay is about; so many that they can all be asked.
pub(super) const HEARD_PROVIDERS: TableDefinition<'_, &[u8; 32], ()> =
    TableDefinition::new("heard providers");
/// Providers that ever promised anything.
pub(super) const PROVIDERS: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("providers");
pub(super) const SNAPSHOTS: TableDefinition<'_, &[u8; 16], PlaceValue> = TableDefinition::new("snapshots");
/// All records that say what a snapshot needs → the snapshot by whose needs they say it.
pub(super) const NEEDS: TableDefinition<'_, NeedKey, Option<&[u8; 16]>> = TableDefinition::new("needs");
/// Snapshots that were removed.
pub(super) const REMOVED: TableDefinition<'_, &[u8; 16], ()> = TableDefinition::new("removed");
/// (Pack, snapshot) → the snapshot no longer needs the pack.
pub(super) const RELEASED: TableDefinition<'_, (&[u8; 16], &[u8; 16]), ()> = TableDefinition::new("released");
/// (Chain, record, pack) → when the record condemned the pack.
pub(super) const CONDEMNED: TableDefinition<'_, (u16, u64, &[u8; 16]), u64> =
    TableDefinition::new("condemned");
/// Packs whose blobs were deleted.
pub(super) const DROPPED: TableDefinition<'_, &[u8; 16], ()> = TableDefinition::new("dropped");

/// Verify devices that a capability was exported for.
pub(super) const GRANTED: TableDefinition<'_, &[u8; 16], PlaceValue> = TableDefinition::new("granted");
/// Devices that do not count any more.
pub(super) const REVOKED: TableDefinition<'_, &[u8; 16], ()> = TableDefinition::new("revoked");

pub(super) type ChainValue = (u16, u64, u64, &'static [u8; 32]);
pub(super) type PromiseKey = (&'static [u8; 16], u8, &'static [u8; 32], u16);
/// Snapshot, chain, record, position.
pub(super) type NeedKey = (&'static [u8; 16], u16, u64, u32);
pub(super) type HearsayKey = (&'static [u8; 16], u8, &'static [u8; 32]);
pub(super) type PlaceValue = (u16, u64, u32);

/// Where an item stands: chain, record, position in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemPlace {
    /// Number of the chain in this catalog.
    pub(crate) chain: u16,
    /// Record in the chain.
    pub(crate) sequence: u64,
    /// Item in the record.
    pub(crate) item: u32,
}

impl From<PlaceValue> for ItemPlace {
    fn from((chain, sequence, item): PlaceValue) -> Self {
        Self { chain, sequence, item }
    }
}

/// Where a record stands in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    /// Its first byte.
    pub(crate) offset: u64,
    /// Its length.
    pub(crate) len: u32,
}

/// Up to where a chain is in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainRow {
    /// Number of the chain in this catalog.
    pub(crate) chain: u16,
    /// Records that are in.
    pub(crate) count: u64,
    /// Bytes of these records.
    pub(crate) len: u64,
    /// Hash of the last of them.
    pub(crate) last_hash: RecordHash,
}

/// The catalog of one vault.
pub(crate) struct Catalog {
    pub(super) db: Database,
    /// Bytes of records since the last sync.
    pub(super) unsynced: AtomicU64,
    /// After `db`: fields are dropped in this order, and it is the closed file's.
    _checksum: Checksum,
}

impl Catalog {
    /// Opens the catalog; makes a new one if there is none, or it is damaged, of another version or of another vault.
    pub(crate) fn open(path: &Path, vault: VaultId) -> Result<Self, VaultError> {
        match Self::open_as_it_is(path, vault) {
            Ok(Some(catalog)) => return Ok(catalog),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the catalog cannot be used and is rebuilt"),
        }
        Self::create(path, vault)
    }

    /// Makes a new, empty catalog in the place of whatever is there.
    pub(crate) fn create(path: &Path, vault: VaultId) -> Result<Self, VaultError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(VaultError::io("remove", path)(error));
            }
            _ => {}
        }
        let checksum = Checksum::forget(path)?;
        drop(files::open_private(path)?);
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(VaultError::catalog)?;
        let transaction = db.begin_write().map_err(VaultError::catalog)?;
        {
            let mut meta = transaction.open_table(META).map_err(VaultError::catalog)?;
            let version = CATALOG_VERSION.to_le_bytes();
            meta.insert("version", version.as_slice()).map_err(VaultError::catalog)?;
            meta.insert("vault", vault.as_bytes().as_slice()).map_err(VaultError::catalog)?;
            drop(meta);
            create_tables(&transaction)?;
        }
        transaction.commit().map_err(VaultError::catalog)?;
        Ok(Self { db, unsynced: AtomicU64::new(0), _checksum: checksum })
    }

    /// Up to where each chain is in the catalog.
    pub(crate) fn chains(&self) -> Result<Vec<(DeviceId, ChainRow)>, VaultError> {
        let read = self.db.begin_read().map_err(VaultError::catalog)?;
        let table = read.open_table(CHAINS).map_err(VaultError::catalog)?;
        let mut chains = Vec::new();
        for row in table.iter().map_err(VaultError::catalog)? {
            let (device, row) = row.map_err(VaultError::catalog)?;
            let (chain, count, len, last_hash) = row.value();
            let row = ChainRow { chain, count, len, last_hash: RecordHash(*last_hash) };
            chains.push((DeviceId::new(*device.value()), row));
        }
        Ok(chains)
    }

    /// Where the catalog of `home` is.
    pub(crate) fn path(home: &Path) -> PathBuf {
        home.join("catalog.redb")
    }

    fn open_as_it_is(path: &Path, vault: VaultId) -> Result<Option<Self>, VaultError> {
        if !path.try_exists().map_err(VaultError::io("look at", path))? {
            return Ok(None);
        }
        let Some(checksum) = Checksum::take(path)? else {
            return Err(VaultError::DamagedCatalog { what: "it was changed after it was closed" });
        };
        let db = Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(VaultError::catalog)?;
        let read = db.begin_read().map_err(VaultError::catalog)?;
        let meta = read.open_table(META).map_err(VaultError::catalog)?;
        let is = |key: &str, wanted: &[u8]| -> Result<bool, VaultError> {
            Ok(meta.get(key).map_err(VaultError::catalog)?.is_some_and(|value| value.value() == wanted))
        };
        let fits = is("version", &CATALOG_VERSION.to_le_bytes())? && is("vault", vault.as_bytes())?;
        drop(meta);
        drop(read);
        Ok(fits.then_some(Self { db, unsynced: AtomicU64::new(0), _checksum: checksum }))
    }
}

/// Makes every table, so that reading an empty one is no error.
fn create_tables(transaction: &redb::WriteTransaction) -> Result<(), VaultError> {
    transaction.open_table(CHAINS).map_err(VaultError::catalog)?;
    transaction.open_table(CHAIN_IDS).map_err(VaultError::catalog)?;
    transaction.open_table(RECORDS).map_err(VaultError::catalog)?;
    transaction.open_table(SEGMENTS).map_err(VaultError::catalog)?;
    transaction.open_table(REF_LISTS).map_err(VaultError::catalog)?;
    transaction.open_table(TREE_PAGES).map_err(VaultError::catalog)?;
    transaction.open_table(PACKS).map_err(VaultError::catalog)?;
    transaction.open_table(PACK_ORDER).map_err(VaultError::catalog)?;
    transaction.open_table(PROMISES).map_err(VaultError::catalog)?;
    transaction.open_table(PROVIDERS).map_err(VaultError::catalog)?;
    transaction.open_table(SNAPSHOTS).map_err(VaultError::catalog)?;
    transaction.open_table(NEEDS).map_err(VaultError::catalog)?;
    transaction.open_table(REMOVED).map_err(VaultError::catalog)?;
    transaction.open_table(RELEASED).map_err(VaultError::catalog)?;
    transaction.open_table(CONDEMNED).map_err(VaultError::catalog)?;
    transaction.open_table(DROPPED).map_err(VaultError::catalog)?;
    transaction.open_table(HEARSAY).map_err(VaultError::catalog)?;
    transaction.open_table(HEARD_PROVIDERS).map_err(VaultError::catalog)?;
    transaction.open_table(GRANTED).map_err(VaultError::catalog)?;
    transaction.open_table(REVOKED).map_err(VaultError::catalog)?;
    Ok(())
}
