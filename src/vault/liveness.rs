//! What of the vault is live (docs/format.md, "What is live"; invariant I12).

use std::collections::BTreeSet;

use crate::format::Removals;
use crate::types::{DeviceId, PackId, SnapshotId};
use crate::vault::{NeedsAmong, Vault, VaultError};

impl Vault {
    /// All that the chains of all devices say against snapshots and packs.
    pub fn removals(&self) -> Result<Removals, VaultError> {
        self.manifest.catalog.removals()
    }

    /// Packs that live snapshots need.
    pub fn needed_packs(&self) -> Result<BTreeSet<PackId>, VaultError> {
        self.needed_by(&self.live_snapshots_with_needs()?)
    }

    /// Packs that any of these snapshots needs.
    pub fn needed_by(&self, snapshots: &BTreeSet<SnapshotId>) -> Result<BTreeSet<PackId>, VaultError> {
        self.manifest.needed_by(snapshots)
    }

    /// Which of these packs each of the `wanted` snapshots needs, without those that it was released from. Takes one pass
    /// over what is recorded, however many snapshots there are.
    ///
    /// # Errors
    /// What is recorded cannot be read.
    pub fn needs_among(
        &self,
        wanted: &BTreeSet<SnapshotId>,
        packs: &BTreeSet<PackId>,
    ) -> Result<NeedsAmong, VaultError> {
        self.manifest.needs_among(wanted, packs)
    }

    /// Packs that a new snapshot must not build on: condemned without being needed by a live one, or deleted
    /// (invariant I2).
    pub fn unusable_packs(&self) -> Result<BTreeSet<PackId>, VaultError> {
        let removals = self.removals()?;
        if removals.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(removals.unusable(&self.needed_packs()?))
    }

    /// True if the snapshot was removed.
    pub fn is_removed(&self, snapshot: &SnapshotId) -> Result<bool, VaultError> {
        self.manifest.catalog.is_removed(snapshot)
    }

    /// Snapshots of which anything says what they need. After a put that did not come to its end, the snapshot itself
    /// may not be recorded.
    pub fn snapshots_with_needs(&self) -> Result<BTreeSet<SnapshotId>, VaultError> {
        self.manifest.catalog.snapshots_with_needs()
    }

    /// Those of them that were not removed.
    pub(crate) fn live_snapshots_with_needs(&self) -> Result<BTreeSet<SnapshotId>, VaultError> {
        let removed = self.manifest.catalog.removed()?;
        Ok(self.snapshots_with_needs()?.difference(&removed).copied().collect())
    }

    /// Packs that records of `device` from `first` on condemn.
    pub fn condemned_from(&self, device: DeviceId, first: u64) -> Result<BTreeSet<PackId>, VaultError> {
        self.manifest.catalog.condemned_from(device, first)
    }
}
