//! Asking the catalog what was removed, released, condemned and dropped.

use std::collections::BTreeSet;

use redb::ReadableTable;

use crate::format::Removals;
use crate::types::{DeviceId, PackId, SnapshotId, Timestamp};
use crate::vault::VaultError;

use super::tables::{CHAINS, CONDEMNED, Catalog, DROPPED, NEEDS, RELEASED, REMOVED};

impl Catalog {
    /// All that was ever said against snapshots and packs.
    pub(crate) fn removals(&self) -> Result<Removals, VaultError> {
        let mut removals = Removals::default();
        for row in self.table(REMOVED)?.iter().map_err(VaultError::catalog)? {
            removals.remove_snapshot(SnapshotId::new(*row.map_err(VaultError::catalog)?.0.value()));
        }
        for (pack, snapshot) in self.releases()? {
            removals.release(pack, snapshot);
        }
        for row in self.table(CONDEMNED)?.iter().map_err(VaultError::catalog)? {
            let (key, at) = row.map_err(VaultError::catalog)?;
            removals.condemn(PackId::new(*key.value().2), Timestamp(at.value()));
        }
        for row in self.table(DROPPED)?.iter().map_err(VaultError::catalog)? {
            removals.drop_pack(PackId::new(*row.map_err(VaultError::catalog)?.0.value()));
        }
        Ok(removals)
    }

    /// True if a record has removed the snapshot.
    pub(crate) fn is_removed(&self, snapshot: &SnapshotId) -> Result<bool, VaultError> {
        Ok(self.table(REMOVED)?.get(snapshot.as_bytes()).map_err(VaultError::catalog)?.is_some())
    }

    /// Removed snapshots.
    pub(crate) fn removed(&self) -> Result<BTreeSet<SnapshotId>, VaultError> {
        let table = self.table(REMOVED)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(SnapshotId::new(*row.map_err(VaultError::catalog)?.0.value()))).collect()
    }

    /// Packs, each with a snapshot that was released from it.
    pub(crate) fn releases(&self) -> Result<Vec<(PackId, SnapshotId)>, VaultError> {
        let table = self.table(RELEASED)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| {
            let (key, _) = row.map_err(VaultError::catalog)?;
            let (pack, snapshot) = key.value();
            Ok((PackId::new(*pack), SnapshotId::new(*snapshot)))
        })
        .collect()
    }

    /// True if any snapshot was ever released from a pack.
    pub(crate) fn has_releases(&self) -> Result<bool, VaultError> {
        Ok(self.table(RELEASED)?.first().map_err(VaultError::catalog)?.is_some())
    }

    /// True if the snapshot, which has the pack among its needs, was released from it.
    pub(crate) fn is_released(&self, pack: &PackId, snapshot: &SnapshotId) -> Result<bool, VaultError> {
        let key = (pack.as_bytes(), snapshot.as_bytes());
        Ok(self.table(RELEASED)?.get(key).map_err(VaultError::catalog)?.is_some())
    }

    /// True if the pack's blobs were deleted.
    pub(crate) fn is_dropped(&self, pack: &PackId) -> Result<bool, VaultError> {
        Ok(self.table(DROPPED)?.get(pack.as_bytes()).map_err(VaultError::catalog)?.is_some())
    }

    /// Packs that records of `device` from `first` on condemn.
    pub(crate) fn condemned_from(
        &self,
        device: DeviceId,
        first: u64,
    ) -> Result<BTreeSet<PackId>, VaultError> {
        let chains = self.table(CHAINS)?;
        let row = chains.get(device.as_bytes()).map_err(VaultError::catalog)?;
        let Some(chain) = row.map(|row| row.value().0) else { return Ok(BTreeSet::new()) };
        let table = self.table(CONDEMNED)?;
        let range = table.range((chain, first, &[0; 16])..=(chain, u64::MAX, &[u8::MAX; 16]));
        let rows = range.map_err(VaultError::catalog)?;
        rows.map(|row| Ok(PackId::new(*row.map_err(VaultError::catalog)?.0.value().2))).collect()
    }

    /// Snapshots of which anything says what they need, recorded themselves or not.
    pub(crate) fn snapshots_with_needs(&self) -> Result<BTreeSet<SnapshotId>, VaultError> {
        let table = self.table(NEEDS)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(SnapshotId::new(*row.map_err(VaultError::catalog)?.0.value().0))).collect()
    }
}
