//! Snapshots are removed, and the packs that only they needed condemned.

use std::collections::BTreeSet;

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::crew::Crew;
use crate::client::error::{ClientError, Failure};
use crate::format::{Condemn, Dropped, PlacementItem};
use crate::types::limits::{CONDEMNED_GRACE, CONDEMNED_SNAPSHOT_COUNT_MAX, NEED_COUNT_MAX};
use crate::types::{PackId, SnapshotId, Timestamp};

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Delete at the providers at once. Only for a vault with one device.
    pub now: bool,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What a removal has done, or would do.
#[derive(Debug)]
pub struct RemoveOutcome {
    /// Snapshots that were removed.
    pub removed: BTreeSet<SnapshotId>,
    /// Packs that no snapshot needs any more.
    pub packs: u64,
    /// Bytes of their blobs.
    pub bytes: u64,
    /// Blobs that were deleted already.
    pub deleted_blobs: u64,
    /// From when on a prune deletes the blobs; `None` if nothing is left to delete.
    pub due: Option<Timestamp>,
    /// Providers that failed.
    pub failures: Vec<Failure>,
}

impl Client {
    /// Removes snapshots. Returns when that stands in a published head, which was read back from a relay.
    ///
    /// # Errors
    /// [`ClientError::RelaysSilent`] if nobody knows what other devices did; [`ClientError::SeveralDevices`] if blobs
    /// are to be deleted at once and that is not only this device's business.
    pub async fn remove(
        &mut self,
        snapshots: &BTreeSet<SnapshotId>,
        options: RemoveOptions,
        caught: &CaughtUp,
    ) -> Result<RemoveOutcome, ClientError> {
        let done = self.remove_and_publish(snapshots, options, caught).await;
        self.remember_deeds();
        done
    }

    async fn remove_and_publish(
        &mut self,
        snapshots: &BTreeSet<SnapshotId>,
        options: RemoveOptions,
        caught: &CaughtUp,
    ) -> Result<RemoveOutcome, ClientError> {
        self.vault.keys()?;
        if caught.relays == 0 {
            return Err(ClientError::RelaysSilent);
        }
        if options.now {
            self.check_only_device(caught)?;
        }
        let packs = self.packs_only_for(snapshots)?;
        let now = self.env.now();
        let mut outcome = RemoveOutcome {
            removed: snapshots.clone(),
            packs: packs.len() as u64,
            bytes: self.stored_len(&packs)?,
            deleted_blobs: 0,
            due: (!packs.is_empty()).then(|| now.saturating_add(CONDEMNED_GRACE)),
            failures: Vec::new(),
        };
        if options.dry_run {
            return Ok(outcome);
        }
        let crew = self.crew(1, caught).await?;
        let condemned = packs.union(&self.condemned_before(snapshots)?).copied().collect();
        self.vault.append(&condemn(snapshots, &condemned, now), &[])?;
        self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await?;
        if options.now {
            let deleted = self.delete_packs(&packs, &crew.roster).await?;
            outcome.deleted_blobs = deleted.blobs;
            outcome.failures = deleted.failures;
            if deleted.packs == packs {
                outcome.due = None;
            }
            self.record_dropped(&deleted.packs, &crew).await?;
        }
        outcome.failures.extend(crew.uploader.failures());
        Ok(outcome)
    }

    /// True if the head of this device that relays have carries all its records.
    pub fn is_published(&self, caught: &CaughtUp) -> bool {
        self.vault.chain_position().map(|end| end.hash) == caught.published
    }

    /// Writes down that packs are gone, in a published head.
    pub(super) async fn record_dropped(
        &mut self,
        packs: &BTreeSet<PackId>,
        crew: &Crew,
    ) -> Result<(), ClientError> {
        if packs.is_empty() {
            return Ok(());
        }
        let packs: Vec<_> = packs.iter().copied().collect();
        let dropped = packs.chunks(NEED_COUNT_MAX).map(|part| Dropped { packs: part.to_vec() });
        self.vault.append(&dropped.map(PlacementItem::Drop).collect::<Vec<_>>(), &[])?;
        self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await
    }

    /// # Errors
    /// [`ClientError::SeveralDevices`] unless this device is the only one that the vault ever had.
    pub(super) fn check_only_device(&self, caught: &CaughtUp) -> Result<(), ClientError> {
        let mut devices: BTreeSet<_> = caught.heads.keys().copied().collect();
        devices.extend(self.vault.chain_ends().into_iter().map(|end| end.device));
        devices.extend(self.vault.settings().heads_seen.into_keys());
        devices.extend(caught.heads.values().flat_map(|head| &head.others).map(|other| other.device));
        // Verify devices rely on nothing, and who was revoked is gone.
        for device in &self.vault.uncounted_devices()? {
            devices.remove(device);
        }
        devices.insert(self.vault.device());
        if devices.len() == 1 {
            return Ok(());
        }
        Err(ClientError::SeveralDevices { count: devices.len() })
    }

    /// Packs that these snapshots need and that were condemned before. Should the others that need them go too, they are
    /// due only after the whole time once more: a need outweighs a condemnation, so saying it again costs nothing.
    fn condemned_before(&self, snapshots: &BTreeSet<SnapshotId>) -> Result<BTreeSet<PackId>, ClientError> {
        let removals = self.vault.removals()?;
        let mut packs = self.vault.needed_by(snapshots)?;
        packs.retain(|pack| !removals.is_dropped(pack) && removals.condemned_since(pack).is_some());
        Ok(packs)
    }

    /// Packs that these snapshots need and no other live one.
    fn packs_only_for(&self, snapshots: &BTreeSet<SnapshotId>) -> Result<BTreeSet<PackId>, ClientError> {
        let removals = self.vault.removals()?;
        let mut packs = self.vault.needed_by(snapshots)?;
        let mut others = self.vault.snapshots_with_needs()?;
        others.retain(|other| !snapshots.contains(other) && removals.is_live(other));
        let others = self.vault.needed_by(&others)?;
        packs.retain(|pack| !removals.is_dropped(pack) && !others.contains(pack));
        Ok(packs)
    }

    /// Bytes of all blobs of these packs.
    pub(super) fn stored_len(&self, packs: &BTreeSet<PackId>) -> Result<u64, ClientError> {
        let mut bytes = 0;
        for pack in packs {
            if let Some(entry) = self.vault.pack(pack)? {
                let coding = &entry.pack.coding;
                bytes += u64::from(coding.shard_len()) * u64::from(coding.scheme.total());
            }
        }
        Ok(bytes)
    }
}

/// Items that remove `snapshots` and condemn `packs`. The snapshots stand in the first one: what a crash leaves of the
/// rest is packs that nothing needs, which the next prune condemns.
pub(super) fn condemn(
    snapshots: &BTreeSet<SnapshotId>,
    packs: &BTreeSet<PackId>,
    at: Timestamp,
) -> Vec<PlacementItem> {
    let snapshots: Vec<_> = snapshots.iter().copied().collect();
    let removed = snapshots
        .chunks(CONDEMNED_SNAPSHOT_COUNT_MAX)
        .map(|part| PlacementItem::Condemn(Condemn { at, snapshots: part.to_vec(), packs: Vec::new() }));
    removed.chain(crate::client::catch_up::condemnations(packs, at)).collect()
}
