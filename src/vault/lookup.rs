//! Reading the manifest: the catalog says where something stands, the sealed record says what it is.

use std::sync::Arc;

use crate::crypt::SegmentKey;
use crate::format::chain::Items;
use crate::format::{
    ContentItem, Grant, Pack, PlacementItem, Record, RecordHash, RefList, Segment, Snapshot, TreePage,
};
use crate::types::{DeviceId, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp};
use crate::vault::VaultError;
use crate::vault::catalog::ItemPlace;
use crate::vault::manifest::Manifest;

/// A pack and what is promised for its shards.
#[derive(Debug)]
pub struct PackEntry {
    /// The pack.
    pub pack: Pack,
    /// Who keeps which shard until when, by shard and provider: the newest receipt of each. Until 1970 where nobody says so
    /// but a verify device elsewhere, whose word is a hint where to ask.
    pub promises: Vec<(ShardIndex, ProviderId, Timestamp)>,
}

impl Manifest {
    /// All records of a segment, newest first: those of the youngest device before others, later before earlier ones.
    /// Those in packs whose blobs were deleted come last.
    pub(crate) fn segments(&self, tag: &Tag) -> Result<Vec<Segment>, VaultError> {
        self.require_contents()?;
        let mut places = self.catalog.segment(tag)?;
        if places.len() > 1 {
            let aged = places.into_iter().map(|place| Ok((self.age(place.chain)?, place)));
            let mut aged = aged.collect::<Result<Vec<_>, VaultError>>()?;
            aged.sort_unstable();
            places = aged.into_iter().rev().map(|(_, place)| place).collect();
        }
        let read = |place| {
            self.content_at(place, |item| match item {
                ContentItem::Segment(segment) if segment.tag == *tag => Some(copy_segment(segment)),
                _ => None,
            })
        };
        let segments = places.into_iter().map(read).collect::<Result<Vec<Segment>, _>>()?;
        if segments.len() < 2 {
            return Ok(segments);
        }
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for segment in segments {
            if self.is_gone(&segment)? { gone.push(segment) } else { there.push(segment) }
        }
        there.append(&mut gone);
        Ok(there)
    }

    /// True if a part of the sealed segment was deleted at the providers.
    fn is_gone(&self, segment: &Segment) -> Result<bool, VaultError> {
        for piece in &segment.pieces {
            if self.catalog.is_dropped(&piece.pack)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if there is a record of the segment.
    pub(crate) fn has_segment(&self, tag: &Tag) -> Result<bool, VaultError> {
        self.require_contents()?;
        Ok(!self.catalog.segment(tag)?.is_empty())
    }

    /// A reference list.
    pub(crate) fn ref_list(&self, tag: &Tag) -> Result<Option<RefList>, VaultError> {
        self.require_contents()?;
        let read = |place| {
            self.content_at(place, |item| match item {
                ContentItem::RefList(list) if list.tag == *tag => Some(list.clone()),
                _ => None,
            })
        };
        self.catalog.ref_list(tag)?.map(read).transpose()
    }

    /// A tree page.
    pub(crate) fn tree_page(&self, tag: &Tag) -> Result<Option<TreePage>, VaultError> {
        self.require_contents()?;
        let read = |place| {
            self.content_at(place, |item| match item {
                ContentItem::TreePage(page) if page.tag == *tag => Some(page.clone()),
                _ => None,
            })
        };
        self.catalog.tree_page(tag)?.map(read).transpose()
    }

    /// A pack with its promises.
    pub(crate) fn pack(&self, id: &PackId) -> Result<Option<PackEntry>, VaultError> {
        let Some(place) = self.catalog.pack(id)? else { return Ok(None) };
        let pack = self.placement_at(place, |item| match item {
            PlacementItem::Pack(pack) if pack.id == *id => Some(copy_pack(pack)),
            _ => None,
        })?;
        Ok(Some(PackEntry { pack, promises: self.catalog.promises(id)? }))
    }

    /// All snapshots that were not removed, oldest first; those of one second in the order in which a device recorded them.
    pub(crate) fn snapshots(&self) -> Result<Vec<Snapshot>, VaultError> {
        self.require_contents()?;
        let mut places = self.catalog.snapshots()?;
        let removed = self.catalog.removed()?;
        places.retain(|(id, _)| !removed.contains(id));
        // In the order of their records: each is opened once.
        places.sort_unstable_by_key(|(_, place)| *place);
        let read = |(id, place): (SnapshotId, ItemPlace)| {
            self.content_at(place, |item| match item {
                ContentItem::Snapshot(snapshot) if snapshot.id == id => Some(snapshot.clone()),
                _ => None,
            })
        };
        let mut snapshots = places.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        snapshots.sort_by_key(|snapshot| snapshot.made_at);
        Ok(snapshots)
    }

    /// The verify devices that there are or were, in the order in which they were made.
    pub(crate) fn grants(&self) -> Result<Vec<Grant>, VaultError> {
        let read = |place| {
            self.placement_at(place, |item| match item {
                PlacementItem::Grant(grant) => Some(grant.clone()),
                _ => None,
            })
        };
        let mut grants = self.catalog.grants()?.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        grants.sort_by_key(|grant| (grant.created, grant.device));
        Ok(grants)
    }

    /// Hash of one record; `None` if the home does not have it.
    pub(crate) fn record_hash(
        &self,
        device: DeviceId,
        sequence: u64,
    ) -> Result<Option<RecordHash>, VaultError> {
        if self.catalog.record(device, sequence)?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.record(device, sequence)?.0.hash()))
    }

    fn content_at<T>(
        &self,
        place: ItemPlace,
        pick: impl FnOnce(&ContentItem) -> Option<T>,
    ) -> Result<T, VaultError> {
        let found = match self.items(place)?.as_ref() {
            Items::Content(items) => items.get(place.item as usize).and_then(pick),
            Items::Placement(_) | Items::Sealed => None,
        };
        found.ok_or(VaultError::DamagedCatalog { what: "an item is not where it says" })
    }

    pub(super) fn placement_at<T>(
        &self,
        place: ItemPlace,
        pick: impl FnOnce(&PlacementItem) -> Option<T>,
    ) -> Result<T, VaultError> {
        let found = match self.items(place)?.as_ref() {
            Items::Placement(items) => items.get(place.item as usize).and_then(pick),
            Items::Content(_) | Items::Sealed => None,
        };
        found.ok_or(VaultError::DamagedCatalog { what: "an item is not where it says" })
    }

    /// The opened record of an item.
    fn items(&self, place: ItemPlace) -> Result<Arc<Items>, VaultError> {
        let key = (place.chain, place.sequence);
        if let Some(items) = self.opened.get(key) {
            return Ok(items);
        }
        let device = self.chain_device(place.chain)?;
        let (record, offset) = self.record(device, place.sequence)?;
        let items = Items::open(&record, &self.keys).map_err(|error| VaultError::DamagedRecord {
            device,
            sequence: place.sequence,
            offset,
            fault: error.into(),
        })?;
        let items = Arc::new(items);
        self.opened.insert(key, Arc::clone(&items), record.as_bytes().len());
        Ok(items)
    }

    /// A record as it is in the log, and where it is. That it is whole shows when it is opened.
    fn record(&self, device: DeviceId, sequence: u64) -> Result<(Record, u64), VaultError> {
        let missing = || VaultError::DamagedCatalog { what: "it lacks a record" };
        let place = self.catalog.record(device, sequence)?.ok_or_else(missing)?;
        let bytes = self.log(device).ok_or_else(missing)?.read(place.offset, place.len as usize)?;
        let damaged = |fault| VaultError::DamagedRecord { device, sequence, offset: place.offset, fault };
        let record = Record::decode(&bytes).map_err(|error| damaged(error.into()))?;
        let found = record.place();
        if (found.device, found.sequence) == (device, sequence) {
            Ok((record, place.offset))
        } else {
            Err(damaged(crate::vault::RecordFault::WrongSequence { found: found.sequence }))
        }
    }

    fn chain_device(&self, chain: u16) -> Result<DeviceId, VaultError> {
        let missing = VaultError::DamagedCatalog { what: "it names a chain that it lacks" };
        self.catalog.device(chain)?.ok_or(missing)
    }

    /// Orders chains from old to young.
    fn age(&self, chain: u16) -> Result<(Timestamp, DeviceId), VaultError> {
        let id = self.chain_device(chain)?;
        Ok((self.device(id).map_or_else(Timestamp::default, |device| device.created), id))
    }
}

/// Keys are not cloned in passing; here they go from the opened record to whoever asked.
fn copy_segment(segment: &Segment) -> Segment {
    let key = SegmentKey::new(*segment.key.expose());
    Segment { tag: segment.tag, key, plain_len: segment.plain_len, pieces: segment.pieces.clone() }
}

fn copy_pack(pack: &Pack) -> Pack {
    Pack { id: pack.id, coding: pack.coding.copy() }
}
