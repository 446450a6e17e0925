//! Laws of what is live: no order of items matters, and nothing that a live snapshot needs is ever due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::format::{Condemn, Dropped, Needs, PackFate, PlacementItem, Release, Removals};
use crate::types::{PackId, SnapshotId, Timestamp};

const GRACE: Duration = Duration::from_secs(7);

fn packs(ids: &BTreeSet<u8>) -> Vec<PackId> {
    ids.iter().map(|id| pack(*id)).collect()
}

fn pack(id: u8) -> PackId {
    PackId::new([id; 16])
}

fn snapshot(id: u8) -> SnapshotId {
    SnapshotId::new([id; 16])
}

fn snapshots(ids: &BTreeSet<u8>) -> Vec<SnapshotId> {
    ids.iter().map(|id| snapshot(*id)).collect()
}

fn ids() -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(0..5_u8, 0..4)
}

fn item() -> impl Strategy<Value = (u8, u8, BTreeSet<u8>, BTreeSet<u8>)> {
    (0..7_u8, 0..5_u8, ids(), ids())
}

fn make((kind, id, some, others): &(u8, u8, BTreeSet<u8>, BTreeSet<u8>)) -> PlacementItem {
    match kind {
        0 | 1 => PlacementItem::Condemn(Condemn {
            at: Timestamp(u64::from(*id) * 3),
            snapshots: snapshots(some).into_iter().take(usize::from(*kind == 0)).collect(),
            packs: packs(others),
        }),
        2 => PlacementItem::Release(Release { pack: pack(*id), snapshots: snapshots(some) }),
        3 if others.len() == 3 => PlacementItem::Drop(Dropped { packs: packs(others) }),
        _ => PlacementItem::Needs(Needs { snapshot: snapshot(*id), packs: packs(some) }),
    }
}

/// All that the items say: the fate of every pack at some time.
fn fates(items: &[PlacementItem]) -> (Removals, BTreeSet<PackId>, Vec<PackFate>) {
    let mut removals = Removals::default();
    let mut all_needs: BTreeMap<SnapshotId, BTreeSet<PackId>> = BTreeMap::new();
    for item in items {
        removals.add(item);
        if let PlacementItem::Needs(needs) = item {
            all_needs.entry(needs.snapshot).or_default().extend(&needs.packs);
        }
    }
    let needed = all_needs
        .iter()
        .flat_map(|(snapshot, packs)| packs.iter().filter(|pack| removals.is_needed_by(pack, snapshot)))
        .copied()
        .collect();
    let fates = (0..5).map(|id| removals.fate(&pack(id), &needed, GRACE, Timestamp(10))).collect();
    (removals, needed, fates)
}

proptest! {
    #[test]
    fn the_order_of_items_changes_nothing(
        items in proptest::collection::vec(item(), 0..20).prop_shuffle(),
        seed in any::<prop::sample::Index>(),
    ) {
        let items: Vec<_> = items.iter().map(make).collect();
        let expected = fates(&items);
        let mut other: Vec<_> = items.into_iter().rev().collect();
        if !other.is_empty() {
            let middle = seed.index(other.len());
            other.rotate_left(middle);
        }
        prop_assert_eq!(fates(&other), expected.clone());
        // Said twice is said once: chains are read again.
        other.extend(other.iter().take(3).map(|item| match item {
            PlacementItem::Condemn(item) => PlacementItem::Condemn(item.clone()),
            PlacementItem::Release(item) => PlacementItem::Release(item.clone()),
            PlacementItem::Drop(item) => PlacementItem::Drop(item.clone()),
            PlacementItem::Needs(item) => PlacementItem::Needs(item.clone()),
            other => panic!("{other:?} is not made"),
        }).collect::<Vec<_>>());
        prop_assert_eq!(fates(&other), expected);
    }

    #[test]
    fn what_a_live_snapshot_needs_is_never_due(items in proptest::collection::vec(item(), 0..20)) {
        let items: Vec<_> = items.iter().map(make).collect();
        let (removals, needed, fates) = fates(&items);
        for (id, fate) in (0..5).zip(fates) {
            let is_usable = !removals.unusable(&needed).contains(&pack(id));
            match fate {
                PackFate::Needed => prop_assert!(needed.contains(&pack(id)) && is_usable),
                PackFate::Unneeded => prop_assert!(!needed.contains(&pack(id)) && is_usable),
                PackFate::Due | PackFate::Waiting { .. } => {
                    prop_assert!(!needed.contains(&pack(id)) && !is_usable);
                }
                PackFate::Dropped => prop_assert!(!is_usable),
            }
        }
    }
}

#[test]
fn the_latest_condemnation_counts() {
    let mut removals = Removals::default();
    removals.condemn(pack(1), Timestamp(20));
    removals.condemn(pack(1), Timestamp(10));
    let fate = |now| removals.fate(&pack(1), &BTreeSet::new(), GRACE, Timestamp(now));
    assert_eq!(fate(26), PackFate::Waiting { due: Timestamp(27) });
    assert_eq!(fate(27), PackFate::Due);
}

#[test]
fn a_snapshot_that_names_a_condemned_pack_revives_it() {
    let mut removals = Removals::default();
    removals.condemn(pack(1), Timestamp(0));
    removals.remove_snapshot(snapshot(1));
    removals.release(pack(1), snapshot(2));
    assert!(!removals.is_needed_by(&pack(1), &snapshot(1)));
    assert!(!removals.is_needed_by(&pack(1), &snapshot(2)));
    assert!(removals.is_needed_by(&pack(1), &snapshot(3)));
    let needed = BTreeSet::from([pack(1)]);
    assert_eq!(removals.fate(&pack(1), &needed, GRACE, Timestamp(1_000)), PackFate::Needed);
    assert!(removals.unusable(&needed).is_empty());
}
