//! Asking the catalog.

use std::collections::BTreeSet;
use std::ops::Bound;

use redb::{ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::types::{DeviceId, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp};
use crate::vault::VaultError;

use super::tables::{
    CHAIN_IDS, CHAINS, Catalog, GRANTED, HEARD_PROVIDERS, HEARSAY, ItemPlace, NEEDS, PACK_ORDER, PACKS,
    PROMISES, PROVIDERS, PlaceValue, RECORDS, REF_LISTS, REVOKED, RecordPlace, SEGMENTS, SNAPSHOTS,
    TREE_PAGES,
};

/// An item that says what a snapshot needs, and the snapshot by whose needs it does.
pub(crate) type NeedRow = (ItemPlace, SnapshotId, Option<SnapshotId>);

impl Catalog {
    /// The device with this number.
    pub(crate) fn device(&self, chain: u16) -> Result<Option<DeviceId>, VaultError> {
        let table = self.table(CHAIN_IDS)?;
        Ok(table.get(chain).map_err(VaultError::catalog)?.map(|id| DeviceId::new(*id.value())))
    }

    /// Where record `sequence` of `device` stands in its log.
    pub(crate) fn record(&self, device: DeviceId, sequence: u64) -> Result<Option<RecordPlace>, VaultError> {
        let chains = self.table(CHAINS)?;
        let Some(row) = chains.get(device.as_bytes()).map_err(VaultError::catalog)? else { return Ok(None) };
        let chain = row.value().0;
        let place = self.table(RECORDS)?.get((chain, sequence)).map_err(VaultError::catalog)?;
        Ok(place.map(|place| place.value()).map(|(offset, len)| RecordPlace { offset, len }))
    }

    /// All places of a segment, in the order of chains and records.
    pub(crate) fn segment(&self, tag: &Tag) -> Result<Vec<ItemPlace>, VaultError> {
        let table = self.table(SEGMENTS)?;
        let key = tag.as_bytes();
        let range = table.range((key, 0, 0, 0)..=(key, u16::MAX, u64::MAX, u32::MAX));
        let mut places = Vec::new();
        for row in range.map_err(VaultError::catalog)? {
            let (key, _) = row.map_err(VaultError::catalog)?;
            let (_, chain, sequence, item) = key.value();
            places.push(ItemPlace { chain, sequence, item });
        }
        Ok(places)
    }

    /// The place of a reference list.
    pub(crate) fn ref_list(&self, tag: &Tag) -> Result<Option<ItemPlace>, VaultError> {
        self.place(REF_LISTS, tag.as_bytes())
    }

    /// The place of a tree page.
    pub(crate) fn tree_page(&self, tag: &Tag) -> Result<Option<ItemPlace>, VaultError> {
        self.place(TREE_PAGES, tag.as_bytes())
    }

    /// The place of a pack.
    pub(crate) fn pack(&self, id: &PackId) -> Result<Option<ItemPlace>, VaultError> {
        self.place(PACKS, id.as_bytes())
    }

    /// At most `limit` packs behind `after` in the order of their records; from the first one on if it is `None`.
    pub(crate) fn packs_after(
        &self,
        after: Option<&PackId>,
        limit: usize,
    ) -> Result<Vec<PackId>, VaultError> {
        let start = match after {
            None => Bound::Unbounded,
            Some(id) => {
                let Some(place) = self.pack(id)? else { return Ok(Vec::new()) };
                Bound::Excluded((place.chain, place.sequence, place.item))
            }
        };
        let order = self.table(PACK_ORDER)?;
        let range = order.range::<PlaceValue>((start, Bound::Unbounded)).map_err(VaultError::catalog)?;
        let ids = range.take(limit).map(|row| Ok(PackId::new(*row.map_err(VaultError::catalog)?.1.value())));
        ids.collect()
    }

    /// What is promised for the shards of a pack, in the order of shards and providers: the newest promise of each
    /// chain, of several chains the longest; where there is hearsay only, until 1970.
    pub(crate) fn promises(
        &self,
        pack: &PackId,
    ) -> Result<Vec<(ShardIndex, ProviderId, Timestamp)>, VaultError> {
        let table = self.table(PROMISES)?;
        let key = pack.as_bytes();
        let range = table.range((key, 0, &[0; 32], 0)..=(key, u8::MAX, &[u8::MAX; 32], u16::MAX));
        let mut promises: Vec<(ShardIndex, ProviderId, Timestamp)> = Vec::new();
        for row in range.map_err(VaultError::catalog)? {
            let (key, expires) = row.map_err(VaultError::catalog)?;
            let (_, shard, provider, _) = key.value();
            let (shard, provider) = (ShardIndex(shard), ProviderId::new(*provider));
            let expires = Timestamp(expires.value());
            match promises.last_mut() {
                Some(last) if (last.0, last.1) == (shard, provider) => last.2 = last.2.max(expires),
                _ => promises.push((shard, provider, expires)),
            }
        }
        let heard = self.table(HEARSAY)?;
        let range = heard.range((key, 0, &[0; 32])..=(key, u8::MAX, &[u8::MAX; 32]));
        for row in range.map_err(VaultError::catalog)? {
            let (key, ()) = row.map(|(key, value)| (key, value.value())).map_err(VaultError::catalog)?;
            let (_, shard, provider) = key.value();
            let at = (ShardIndex(shard), ProviderId::new(*provider));
            if let Err(place) = promises.binary_search_by_key(&at, |promise| (promise.0, promise.1)) {
                promises.insert(place, (at.0, at.1, Timestamp::default()));
            }
        }
        Ok(promises)
    }

    /// Places of all grants.
    pub(crate) fn grants(&self) -> Result<Vec<ItemPlace>, VaultError> {
        let table = self.table(GRANTED)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(row.map_err(VaultError::catalog)?.1.value().into())).collect()
    }

    /// Devices that do not count any more.
    pub(crate) fn revoked(&self) -> Result<BTreeSet<DeviceId>, VaultError> {
        let table = self.table(REVOKED)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(DeviceId::new(*row.map_err(VaultError::catalog)?.0.value()))).collect()
    }

    /// Providers that ever promised anything.
    pub(crate) fn providers(&self) -> Result<BTreeSet<ProviderId>, VaultError> {
        let table = self.table(PROVIDERS)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(ProviderId::new(*row.map_err(VaultError::catalog)?.0.value()))).collect()
    }

    /// Providers that verify devices elsewhere say keep something.
    pub(crate) fn heard_providers(&self) -> Result<BTreeSet<ProviderId>, VaultError> {
        let table = self.table(HEARD_PROVIDERS)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| Ok(ProviderId::new(*row.map_err(VaultError::catalog)?.0.value()))).collect()
    }

    /// Ids and places of all snapshots.
    pub(crate) fn snapshots(&self) -> Result<Vec<(SnapshotId, ItemPlace)>, VaultError> {
        let table = self.table(SNAPSHOTS)?;
        let rows = table.iter().map_err(VaultError::catalog)?;
        rows.map(|row| {
            let (id, place) = row.map_err(VaultError::catalog)?;
            Ok((SnapshotId::new(*id.value()), place.value().into()))
        })
        .collect()
    }

    /// Places of all that says what a snapshot needs.
    pub(crate) fn needs(&self, snapshot: &SnapshotId) -> Result<Vec<ItemPlace>, VaultError> {
        let table = self.table(NEEDS)?;
        let key = snapshot.as_bytes();
        let range = table.range((key, 0, 0, 0)..=(key, u16::MAX, u64::MAX, u32::MAX));
        let mut places = Vec::new();
        for row in range.map_err(VaultError::catalog)? {
            let (key, _) = row.map_err(VaultError::catalog)?;
            let (_, chain, sequence, item) = key.value();
            places.push(ItemPlace { chain, sequence, item });
        }
        Ok(places)
    }

    /// All that says what any snapshot needs, in the order in which it is recorded: the place, the snapshot, and the one by
    /// whose needs it is said.
    pub(crate) fn all_needs(&self) -> Result<Vec<NeedRow>, VaultError> {
        let table = self.table(NEEDS)?;
        let mut needs = Vec::new();
        for row in table.iter().map_err(VaultError::catalog)? {
            let (key, base) = row.map_err(VaultError::catalog)?;
            let (snapshot, chain, sequence, item) = key.value();
            let base = base.value().map(|base| SnapshotId::new(*base));
            needs.push((ItemPlace { chain, sequence, item }, SnapshotId::new(*snapshot), base));
        }
        needs.sort_unstable_by_key(|(place, ..)| *place);
        Ok(needs)
    }

    /// The number of a device's chain.
    pub(crate) fn chain_of(&self, device: DeviceId) -> Result<Option<u16>, VaultError> {
        let chains = self.table(CHAINS)?;
        Ok(chains.get(device.as_bytes()).map_err(VaultError::catalog)?.map(|row| row.value().0))
    }

    fn place<const LEN: usize>(
        &self,
        table: TableDefinition<'_, &'static [u8; LEN], PlaceValue>,
        key: &[u8; LEN],
    ) -> Result<Option<ItemPlace>, VaultError> {
        let place = self.table(table)?.get(key).map_err(VaultError::catalog)?;
        Ok(place.map(|place| place.value().into()))
    }

    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, VaultError> {
        let read = self.db.begin_read().map_err(VaultError::catalog)?;
        read.open_table(table).map_err(VaultError::catalog)
    }
}
