//! What snapshots need, and how that is recorded (docs/format.md, "Placement items").
//!
//! A snapshot's needs are written in full, or as what differs from those of an earlier snapshot of the same chain: a
//! vault that hardly changes would otherwise write the names of all its packs every day.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{FormatError, Needs, NeedsAfter, PlacementItem};
use crate::types::limits::{NEED_CHANGE_COUNT_MAX, NEED_COUNT_MAX, NEEDS_DEPTH_MAX};
use crate::types::{DeviceId, PackId, SnapshotId};
use crate::vault::catalog::ItemPlace;
use crate::vault::manifest::Manifest;
use crate::vault::{Vault, VaultError};

/// Needs that differ from others by more than this part of what they are are written in full.
const CHANGED_PART_MAX: usize = 4;

/// What one item says.
pub(super) enum Said {
    /// These.
    Packs(Vec<PackId>),
    /// Those of another snapshot, without some and with some.
    After(NeedsAfter),
}

/// What a chain says so far of a snapshot on which others build.
#[derive(Default)]
struct Built {
    packs: BTreeSet<PackId>,
    /// All of them are in the union already.
    is_counted: bool,
}

impl Vault {
    /// What is to be recorded so that `snapshot` needs `packs`: by what differs from the needs of `earlier`, if that is
    /// possible and shorter.
    ///
    /// # Errors
    /// What is recorded cannot be read.
    pub fn needs_items(
        &self,
        snapshot: SnapshotId,
        packs: &BTreeSet<PackId>,
        earlier: Option<&SnapshotId>,
    ) -> Result<Vec<PlacementItem>, VaultError> {
        let after = match earlier.filter(|earlier| **earlier != snapshot) {
            Some(earlier) => self.manifest.needs_after(self.device(), snapshot, packs, earlier)?,
            None => None,
        };
        let (mut items, rest) = match after {
            Some((after, rest)) => (vec![PlacementItem::NeedsAfter(after)], rest),
            None => (Vec::new(), packs.iter().copied().collect()),
        };
        let parts = rest.chunks(NEED_COUNT_MAX);
        items.extend(parts.map(|part| PlacementItem::Needs(Needs { snapshot, packs: part.to_vec() })));
        Ok(items)
    }
}

impl Manifest {
    /// The packs that a snapshot needs: the union of all that is recorded, without those that it was released from.
    pub(crate) fn needs(&self, snapshot: &SnapshotId) -> Result<BTreeSet<PackId>, VaultError> {
        let mut packs = self.recorded_needs(snapshot, None, 0)?;
        if self.catalog.has_releases()? {
            let mut kept = BTreeSet::new();
            for pack in packs {
                if !self.catalog.is_released(&pack, snapshot)? {
                    kept.insert(pack);
                }
            }
            packs = kept;
        }
        Ok(packs)
    }

    /// The packs that any of these snapshots needs. Goes through all that is recorded once, so that many snapshots that
    /// hardly differ take little more time than one.
    pub(crate) fn needed_by(&self, wanted: &BTreeSet<SnapshotId>) -> Result<BTreeSet<PackId>, VaultError> {
        let mut union = self.recorded_needs_of_any(wanted)?;
        let released: BTreeSet<_> = self
            .catalog
            .releases()?
            .into_iter()
            .map(|(pack, _)| pack)
            .filter(|it| union.contains(it))
            .collect();
        if !released.is_empty() {
            // Whose needs those are has to be looked at one by one.
            union.retain(|pack| !released.contains(pack));
            union.extend(self.needs_among(wanted, &released)?.of_any());
        }
        Ok(union)
    }

    /// The union of what is recorded of these snapshots, whatever they were released from.
    fn recorded_needs_of_any(&self, wanted: &BTreeSet<SnapshotId>) -> Result<BTreeSet<PackId>, VaultError> {
        let rows = self.catalog.all_needs()?;
        let mut last_use: BTreeMap<(u16, SnapshotId), ItemPlace> = BTreeMap::new();
        for (place, _, base) in &rows {
            last_use.extend(base.map(|base| ((place.chain, base), *place)));
        }
        let mut built: BTreeMap<(u16, SnapshotId), Built> = BTreeMap::new();
        let mut union = BTreeSet::new();
        for (place, snapshot, base) in rows {
            let is_wanted = wanted.contains(&snapshot);
            let is_built_on = last_use.get(&(place.chain, snapshot)).is_some_and(|last| *last > place);
            if !is_wanted && !is_built_on {
                if let Some(base) = base.filter(|base| last_use.get(&(place.chain, *base)) == Some(&place)) {
                    built.remove(&(place.chain, base));
                }
                continue;
            }
            // What is new beside what the union has, and all of it.
            let (mut all, new) = match self.said(place, &snapshot)? {
                Said::Packs(packs) => (Built { packs: packs.into_iter().collect(), is_counted: false }, None),
                Said::After(after) => {
                    let key = (place.chain, after.base);
                    let is_last = last_use.get(&key) == Some(&place);
                    let mut all = if is_last { built.remove(&key) } else { built.get(&key).map(Built::copy) }
                        .ok_or_else(not_before)?;
                    all.leave_out(&after.without);
                    all.packs.extend(&after.with);
                    let new = all.is_counted.then_some(after.with);
                    (all, new)
                }
            };
            if is_wanted {
                match new {
                    Some(new) => union.extend(new),
                    None => union.extend(&all.packs),
                }
            }
            all.is_counted = is_wanted;
            if is_built_on {
                built.entry((place.chain, snapshot)).or_insert_with(Built::empty).add(all);
            }
        }
        Ok(union)
    }

    /// How the needs of a snapshot differ from those of `earlier`, and what there is no room for in it; `None` where they
    /// cannot be told by it, or that would not be shorter.
    fn needs_after(
        &self,
        device: DeviceId,
        snapshot: SnapshotId,
        packs: &BTreeSet<PackId>,
        earlier: &SnapshotId,
    ) -> Result<Option<(NeedsAfter, Vec<PackId>)>, VaultError> {
        let Some(chain) = self.catalog.chain_of(device)? else { return Ok(None) };
        if !self.can_be_built_on(chain, earlier)? {
            return Ok(None);
        }
        let end = ItemPlace { chain, sequence: u64::MAX, item: u32::MAX };
        let base = self.recorded_needs(earlier, Some(end), 0)?;
        let without: Vec<_> = base.difference(packs).copied().collect();
        let mut with: Vec<_> = packs.difference(&base).copied().collect();
        let is_shorter = (without.len() + with.len()) * CHANGED_PART_MAX <= packs.len();
        if !is_shorter || without.len() > NEED_CHANGE_COUNT_MAX {
            return Ok(None);
        }
        let rest = with.split_off(with.len().min(NEED_CHANGE_COUNT_MAX));
        Ok(Some((NeedsAfter { snapshot, base: *earlier, without, with }, rest)))
    }

    /// Whether this chain says what the snapshot needs, and not by too long a row of others.
    fn can_be_built_on(&self, chain: u16, snapshot: &SnapshotId) -> Result<bool, VaultError> {
        let mut bases: BTreeMap<SnapshotId, Option<SnapshotId>> = BTreeMap::new();
        for (_, snapshot, base) in self.catalog.all_needs()?.into_iter().filter(|row| row.0.chain == chain) {
            let known = bases.entry(snapshot).or_insert(base);
            *known = known.or(base);
        }
        let (mut depth, mut next) = (1, Some(*snapshot));
        while let Some(snapshot) = next {
            let Some(base) = bases.get(&snapshot) else { return Ok(false) };
            (next, depth) = (*base, depth + 1);
        }
        Ok(depth <= NEEDS_DEPTH_MAX)
    }

    /// What is recorded of a snapshot's needs, in one chain and up to a place, or everywhere.
    fn recorded_needs(
        &self,
        snapshot: &SnapshotId,
        before: Option<ItemPlace>,
        depth: usize,
    ) -> Result<BTreeSet<PackId>, VaultError> {
        if depth > NEEDS_DEPTH_MAX {
            let (count, max) = (depth as u64, NEEDS_DEPTH_MAX as u64);
            return Err(FormatError::TooMany { what: "needs that build on each other", count, max }.into());
        }
        let is_meant = |place: &ItemPlace| before.is_none_or(|end| place.chain == end.chain && *place < end);
        let places: Vec<_> = self.catalog.needs(snapshot)?.into_iter().filter(is_meant).collect();
        if places.is_empty() && depth > 0 {
            return Err(not_before());
        }
        let mut packs = BTreeSet::new();
        let mut told = BTreeSet::new();
        for place in places {
            match self.said(place, snapshot)? {
                Said::Packs(named) => packs.extend(named),
                Said::After(_) if !told.insert(place.chain) => {
                    let rule = "a chain tells a snapshot's needs by another's once";
                    return Err(FormatError::Invalid { what: "needs after others", rule }.into());
                }
                Said::After(after) => {
                    let mut base = self.recorded_needs(&after.base, Some(place), depth + 1)?;
                    base.retain(|pack| after.without.binary_search(pack).is_err());
                    base.extend(after.with);
                    base.append(&mut packs);
                    packs = base;
                }
            }
        }
        Ok(packs)
    }

    pub(super) fn said(&self, place: ItemPlace, snapshot: &SnapshotId) -> Result<Said, VaultError> {
        self.placement_at(place, |item| match item {
            PlacementItem::Needs(needs) if needs.snapshot == *snapshot => {
                Some(Said::Packs(needs.packs.clone()))
            }
            PlacementItem::NeedsAfter(needs) if needs.snapshot == *snapshot => {
                Some(Said::After(needs.clone()))
            }
            _ => None,
        })
    }
}

impl Built {
    /// Nothing, all of which is counted.
    fn empty() -> Self {
        Self { packs: BTreeSet::new(), is_counted: true }
    }

    fn copy(&self) -> Self {
        Self { packs: self.packs.clone(), is_counted: self.is_counted }
    }

    fn leave_out(&mut self, packs: &[PackId]) {
        for pack in packs {
            self.packs.remove(pack);
        }
    }

    fn add(&mut self, mut more: Self) {
        self.is_counted &= more.is_counted;
        if self.packs.is_empty() {
            self.packs = more.packs;
        } else {
            self.packs.append(&mut more.packs);
        }
    }
}

/// Needs are told by those of a snapshot that stands before them.
pub(super) fn not_before() -> VaultError {
    let rule = "they build on what stands before them in their chain";
    FormatError::Invalid { what: "needs after others", rule }.into()
}
