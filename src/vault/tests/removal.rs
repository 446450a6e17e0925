//! What was removed is gone from every answer; what is left stays.

use std::collections::BTreeSet;

use super::*;
use crate::types::DeviceId;

fn ids(numbers: &[u8]) -> BTreeSet<PackId> {
    numbers.iter().map(|number| pack_id(*number)).collect()
}

#[test]
fn a_removed_snapshot_is_not_listed_and_says_so_when_asked_for() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    put(&vault, 2);
    vault.append(&[condemn(&[2], &[2], 5)], &[]).unwrap();
    let check = |vault: &Vault| {
        assert_eq!(vault.snapshots().unwrap().len(), 1);
        assert_eq!(vault.latest_snapshot("put").unwrap().unwrap().id, SnapshotId::new([1; 16]));
        let id = SnapshotId::new([2; 16]);
        for text in [id.to_string(), id.short()] {
            assert!(matches!(vault.resolve(&text), Err(ResolveError::Removed { .. })), "{text}");
        }
        assert!(matches!(vault.resolve("other"), Err(ResolveError::NotFound { .. })));
        assert_eq!(vault.needed_packs().unwrap(), ids(&[1]));
        assert_eq!(vault.unusable_packs().unwrap(), ids(&[2]));
        assert!(vault.verify().unwrap().is_sound());
    };
    check(&vault);
    drop(vault);
    check(&reopen(&folder).unwrap());
}

#[test]
fn a_pack_that_a_live_snapshot_needs_stays_usable_however_often_it_is_condemned() {
    let (vault, _folder) = fresh(1);
    put(&vault, 1);
    vault.append(&[needs(2, &[1])], &[snapshot(2, "other")]).unwrap();
    vault.append(&[condemn(&[1], &[1], 5), condemn(&[], &[1], 9)], &[]).unwrap();
    assert!(vault.unusable_packs().unwrap().is_empty());
    assert_eq!(vault.removals().unwrap().condemned_since(&pack_id(1)), Some(Timestamp(9)));
    vault.append(&[release(1, 2)], &[]).unwrap();
    assert_eq!(vault.unusable_packs().unwrap(), ids(&[1]));
    assert!(vault.needs(&SnapshotId::new([2; 16])).unwrap().is_empty());
}

#[test]
fn a_segment_in_a_dropped_pack_comes_after_one_that_is_there() {
    let (vault, _folder) = fresh(1);
    vault.append(&[pack(1), pack(2)], &[segment(1, 1), segment(1, 2)]).unwrap();
    let first = |vault: &Vault| vault.segment(&tag(1)).unwrap().unwrap().pieces[0].pack;
    assert_eq!(first(&vault), pack_id(2));
    vault.append(&[dropped(2)], &[]).unwrap();
    assert_eq!(first(&vault), pack_id(1));
    assert_eq!(vault.segments(&tag(1)).unwrap().len(), 2);
    assert_eq!(vault.unusable_packs().unwrap(), ids(&[2]));
}

#[test]
fn condemnations_that_no_head_carries_are_found_by_their_records() {
    let (vault, _folder) = fresh(1);
    put(&vault, 1);
    vault.append(&[condemn(&[], &[3], 5)], &[]).unwrap();
    let end = vault.chain_position().unwrap().sequence;
    vault.append(&[condemn(&[], &[4], 5)], &[]).unwrap();
    let device = vault.device();
    assert_eq!(vault.condemned_from(device, end + 1).unwrap(), ids(&[4]));
    assert_eq!(vault.condemned_from(device, 0).unwrap(), ids(&[3, 4]));
    assert!(vault.condemned_from(DeviceId::new([9; 16]), 0).unwrap().is_empty());
}
