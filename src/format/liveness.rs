//! What the items of all chains together say about snapshots and packs: which are live, needed, condemned, dropped
//! (docs/format.md, "What is live"; invariant I12).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::{PackId, SnapshotId, Timestamp};

use super::placement::PlacementItem;

/// All that was ever said against snapshots and packs. A union: the order in which items are added changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removals {
    removed: BTreeSet<SnapshotId>,
    released: BTreeSet<(PackId, SnapshotId)>,
    condemned: BTreeMap<PackId, Timestamp>,
    dropped: BTreeSet<PackId>,
}

/// What is to become of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFate {
    /// A live snapshot needs it.
    Needed,
    /// Nothing needs it, and nobody has condemned it: it must be condemned before it can be deleted.
    Unneeded,
    /// It is condemned, and deletion still has to wait.
    Waiting {
        /// Until then.
        due: Timestamp,
    },
    /// It was condemned long enough ago.
    Due,
    /// Its blobs were deleted.
    Dropped,
}

impl Removals {
    /// Adds what an item says.
    pub fn add(&mut self, item: &PlacementItem) {
        match item {
            PlacementItem::Condemn(condemn) => {
                condemn.snapshots.iter().for_each(|snapshot| self.remove_snapshot(*snapshot));
                condemn.packs.iter().for_each(|pack| self.condemn(*pack, condemn.at));
            }
            PlacementItem::Release(release) => {
                release.snapshots.iter().for_each(|snapshot| self.release(release.pack, *snapshot));
            }
            PlacementItem::Drop(dropped) => dropped.packs.iter().for_each(|pack| self.drop_pack(*pack)),
            PlacementItem::Device(_)
            | PlacementItem::Pack(_)
            | PlacementItem::Promises(_)
            | PlacementItem::Needs(_)
            | PlacementItem::NeedsAfter(_)
            | PlacementItem::Grant(_)
            | PlacementItem::Revoke(_) => {}
        }
    }

    /// A snapshot is removed.
    pub fn remove_snapshot(&mut self, snapshot: SnapshotId) {
        self.removed.insert(snapshot);
    }

    /// A snapshot no longer needs a pack.
    pub fn release(&mut self, pack: PackId, snapshot: SnapshotId) {
        self.released.insert((pack, snapshot));
    }

    /// A pack is condemned; the latest time counts.
    pub fn condemn(&mut self, pack: PackId, at: Timestamp) {
        let since = self.condemned.entry(pack).or_default();
        *since = at.max(*since);
    }

    /// A pack's blobs are deleted.
    pub fn drop_pack(&mut self, pack: PackId) {
        self.dropped.insert(pack);
    }

    /// True if nothing was ever condemned or dropped.
    pub fn is_empty(&self) -> bool {
        self.condemned.is_empty() && self.dropped.is_empty()
    }

    /// True if no item has removed the snapshot.
    pub fn is_live(&self, snapshot: &SnapshotId) -> bool {
        !self.removed.contains(snapshot)
    }

    /// True if the snapshot, which has the pack among its needs, was not released from it.
    pub fn is_needed_by(&self, pack: &PackId, snapshot: &SnapshotId) -> bool {
        self.is_live(snapshot) && !self.released.contains(&(*pack, *snapshot))
    }

    /// True if the pack's blobs were deleted.
    pub fn is_dropped(&self, pack: &PackId) -> bool {
        self.dropped.contains(pack)
    }

    /// Since when the pack is condemned.
    pub fn condemned_since(&self, pack: &PackId) -> Option<Timestamp> {
        self.condemned.get(pack).copied()
    }

    /// All packs that were ever condemned.
    pub fn condemned_packs(&self) -> impl Iterator<Item = PackId> + '_ {
        self.condemned.keys().copied()
    }

    /// What is to become of a pack at `now`, if the blobs of condemned ones stay for `grace`.
    pub fn fate(
        &self,
        pack: &PackId,
        needed: &BTreeSet<PackId>,
        grace: Duration,
        now: Timestamp,
    ) -> PackFate {
        if self.is_dropped(pack) {
            return PackFate::Dropped;
        }
        if needed.contains(pack) {
            return PackFate::Needed;
        }
        match self.condemned_since(pack).map(|since| since.saturating_add(grace)) {
            None => PackFate::Unneeded,
            Some(due) if due <= now => PackFate::Due,
            Some(due) => PackFate::Waiting { due },
        }
    }

    /// Packs that a new snapshot must not build on: condemned without being needed, or deleted.
    pub fn unusable(&self, needed: &BTreeSet<PackId>) -> BTreeSet<PackId> {
        let condemned = self.condemned.keys().filter(|pack| !needed.contains(pack));
        condemned.chain(&self.dropped).copied().collect()
    }
}
