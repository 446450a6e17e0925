//! What snapshots need is the same however it is recorded, and takes what changes take.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::format::NeedsAfter;
use crate::types::limits::NEEDS_DEPTH_MAX;

fn id(number: u32) -> SnapshotId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SnapshotId::new(bytes)
}

fn ids(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<PackId> {
    numbers.into_iter().map(pack_id).collect()
}

fn record(vault: &Vault, number: u32, packs: &BTreeSet<PackId>, earlier: Option<u32>) -> Vec<PlacementItem> {
    let items = vault.needs_items(id(number), packs, earlier.map(id).as_ref()).unwrap();
    vault.append(&items, &[]).unwrap();
    items
}

#[test]
fn needs_told_by_others_are_what_they_would_be_in_full() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut vault, folder) = fresh(1);
        let mut expected: Vec<BTreeSet<PackId>> = Vec::new();
        let mut told_by_others = 0;
        for number in 0..30_u32 {
            let base = (number > 0).then(|| rng.random_range(number.saturating_sub(3)..number));
            let mut packs = match base {
                Some(base) if rng.random_bool(0.9) => expected[base as usize].clone(),
                _ => ids((0..60).filter(|_| rng.random_bool(0.8))),
            };
            for _ in 0..rng.random_range(0..6) {
                let pack = pack_id(rng.random_range(0..80));
                if !packs.remove(&pack) {
                    packs.insert(pack);
                }
            }
            let items = record(&vault, number, &packs, base);
            told_by_others += usize::from(matches!(items[..], [PlacementItem::NeedsAfter(_), ..]));
            expected.push(packs);
            // What a snapshot is given or released from later is its own: those told by it keep what they had.
            let other = rng.random_range(0..=number);
            if rng.random_bool(0.1) {
                let more = pack_id(rng.random_range(80..90));
                expected[other as usize].insert(more);
                let needs = Needs { snapshot: id(other), packs: vec![more] };
                vault.append(&[PlacementItem::Needs(needs)], &[]).unwrap();
            }
            if rng.random_bool(0.1) && seed % 2 == 0 {
                let less = *expected[other as usize].first().unwrap();
                expected[other as usize].remove(&less);
                let release = Release { pack: less, snapshots: vec![id(other)] };
                vault.append(&[PlacementItem::Release(release)], &[]).unwrap();
            }
            if rng.random_bool(0.05) {
                drop(vault);
                vault = reopen(&folder).unwrap();
            }
            if rng.random_bool(0.05) {
                vault.start_new_device().unwrap();
            }
        }
        assert!(told_by_others > 10, "seed {seed}: {told_by_others}");
        for (number, expected) in (0..).zip(&expected) {
            assert_eq!(vault.needs(&id(number)).unwrap(), *expected, "seed {seed}, snapshot {number}");
        }
        for _ in 0..10 {
            let some: BTreeSet<_> = (0..30).filter(|_| rng.random_bool(0.3)).collect();
            let union = some.iter().flat_map(|number| expected[*number as usize].clone()).collect();
            let some = some.into_iter().map(id).collect();
            assert_eq!(vault.needed_by(&some).unwrap(), union, "seed {seed}");
        }
        for _ in 0..10 {
            let some = ids((0..90).filter(|_| rng.random_bool(0.3)));
            let wanted: BTreeSet<_> = (0..30).filter(|_| rng.random_bool(0.7)).map(id).collect();
            let among = vault.needs_among(&wanted, &some).unwrap();
            let mut any = BTreeSet::new();
            for (number, expected) in (0..).zip(&expected) {
                let both = |_: &SnapshotId| expected.intersection(&some).copied().collect();
                let both: BTreeSet<_> = wanted.get(&id(number)).map(both).unwrap_or_default();
                assert_eq!(among.of(&id(number)), both, "seed {seed}, snapshot {number}");
                any.extend(both);
            }
            assert_eq!(among.of_any().collect::<BTreeSet<_>>(), any, "seed {seed}");
        }
        let all = expected.into_iter().flatten().collect();
        assert_eq!(vault.needed_packs().unwrap(), all, "seed {seed}");
    }
}

#[test]
fn snapshot_of_what_did_not_change_names_no_packs() {
    let (vault, _folder) = fresh(1);
    let packs = ids(0..200);
    let full = record(&vault, 1, &packs, None);
    assert!(matches!(&full[..], [PlacementItem::Needs(needs)] if needs.packs.len() == 200));
    let items = record(&vault, 2, &packs, Some(1));
    let [PlacementItem::NeedsAfter(NeedsAfter { without, with, .. })] = &items[..] else {
        panic!("{items:?}")
    };
    assert!(without.is_empty() && with.is_empty());
    assert_eq!(vault.needs(&id(2)).unwrap(), packs);
    let other = record(&vault, 3, &ids(100..255), Some(2));
    assert!(matches!(other[..], [PlacementItem::Needs(_)]), "too different to be told by it");
    vault.start_new_device().unwrap();
    let elsewhere = record(&vault, 4, &packs, Some(2));
    assert!(matches!(elsewhere[..], [PlacementItem::Needs(_)]), "another device's");
    assert_eq!(vault.needs(&id(4)).unwrap(), packs);
}

#[test]
fn rows_of_snapshots_told_by_each_other_are_bounded() {
    let (vault, _folder) = fresh(1);
    let packs = ids(0..40);
    let count = u32::try_from(NEEDS_DEPTH_MAX).unwrap() * 2 + 10;
    let mut full = Vec::new();
    for number in 0..count {
        let items = record(&vault, number, &packs, number.checked_sub(1));
        full.extend(matches!(items[..], [PlacementItem::Needs(_)]).then_some(number));
    }
    assert_eq!(full, [0, 256, 512]);
    assert_eq!(vault.needs(&id(count - 1)).unwrap(), packs);
    assert_eq!(vault.needs(&id(255)).unwrap(), packs);
}

#[test]
fn needs_that_build_on_nothing_or_are_told_twice_are_an_error_and_never_less_than_they_were() {
    let after = |snapshot, base| {
        let (without, with) = (Vec::new(), vec![pack_id(7)]);
        PlacementItem::NeedsAfter(NeedsAfter { snapshot: id(snapshot), base: id(base), without, with })
    };
    let full = |snapshot| {
        PlacementItem::Needs(Needs {
            snapshot: id(snapshot),
            packs: vec![pack_id(u8::try_from(snapshot).unwrap())],
        })
    };
    for wrong in
        [vec![after(2, 1), full(1)], vec![full(1), after(2, 1), after(2, 1)], vec![after(2, 3), after(3, 2)]]
    {
        let (vault, _folder) = fresh(1);
        vault.append(&wrong, &[]).unwrap();
        assert!(vault.needs(&id(2)).is_err(), "{wrong:?}");
    }
    let (vault, _folder) = fresh(1);
    vault.append(&[full(1)], &[]).unwrap();
    vault.start_new_device().unwrap();
    vault.append(&[after(2, 1)], &[]).unwrap();
    assert!(vault.needs(&id(2)).is_err(), "what it builds on is in another chain");
    assert!(vault.needed_packs().is_err());
    assert!(vault.needs_among(&BTreeSet::from([id(2)]), &ids([7])).is_err());
    assert!(vault.needs_among(&BTreeSet::new(), &ids([7])).is_ok(), "nobody asks what it needs");
}
