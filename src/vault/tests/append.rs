//! What is appended is found.

use super::*;

#[test]
fn what_was_appended_is_found_at_once_and_after_reopening() {
    let (vault, folder) = fresh(1);
    assert_eq!(vault.chain_position(), None);
    assert_eq!(everything(&vault, 3), everything(&vault, 3));
    for number in 0..3 {
        put(&vault, number);
    }
    let before = everything(&vault, 4);
    assert_eq!(vault.chain_position().unwrap().sequence, 6, "a genesis, and two records for each append");
    assert!(vault.has_segment(&tag(2)).unwrap() && !vault.has_segment(&tag(3)).unwrap());
    assert_eq!(vault.segment(&tag(2)).unwrap().unwrap().key.expose(), &[2; 32]);
    drop(vault);
    assert_eq!(everything(&reopen(&folder).unwrap(), 4), before);
}

#[test]
fn appending_nothing_writes_nothing() {
    let (vault, _folder) = fresh(1);
    vault.append(&[], &[]).unwrap();
    assert_eq!(vault.chain_position(), None);
}

#[test]
fn of_a_segment_stored_anew_the_newest_record_comes_first_and_the_older_ones_stay() {
    let (vault, _folder) = fresh(1);
    for in_pack in 1..=3 {
        vault.append(&[], &[segment(7, in_pack)]).unwrap();
    }
    let keys = |vault: &Vault| -> Vec<u8> {
        vault.segments(&tag(7)).unwrap().iter().map(|segment| segment.key.expose()[0]).collect()
    };
    assert_eq!(keys(&vault), [3, 2, 1]);
    assert_eq!(vault.segment(&tag(7)).unwrap().unwrap().pieces[0].pack, pack_id(3));
}

#[test]
fn of_promises_for_one_shard_at_one_provider_the_newest_counts() {
    let (vault, _folder) = fresh(1);
    vault.append(&[pack(2), promise(2, 0, 1, 90), promise(2, 1, 1, 40)], &[]).unwrap();
    vault.append(&[promise(2, 0, 1, 70), promise(2, 0, 3, 80)], &[]).unwrap();
    let promises = vault.pack(&pack_id(2)).unwrap().unwrap().promises;
    let expected = [
        (ShardIndex(0), provider(1), Timestamp(70)),
        (ShardIndex(0), provider(3), Timestamp(80)),
        (ShardIndex(1), provider(1), Timestamp(40)),
    ];
    assert_eq!(promises, expected);
    assert_eq!(vault.providers_with_history().unwrap(), [provider(1), provider(3)].into());
}

#[test]
fn needs_of_one_snapshot_add_up() {
    let (vault, _folder) = fresh(1);
    vault.append(&[needs(1, &[1, 2]), needs(2, &[9])], &[]).unwrap();
    vault.append(&[needs(1, &[2, 3])], &[]).unwrap();
    let needed = vault.needs(&SnapshotId::new([1; 16])).unwrap();
    assert_eq!(needed, [pack_id(1), pack_id(2), pack_id(3)].into());
}

#[test]
fn packs_are_listed_in_the_order_of_their_records_page_by_page() {
    let (vault, _folder) = fresh(1);
    let order = [9, 2, 5, 7, 1];
    for number in order {
        vault.append(&[pack(number)], &[]).unwrap();
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = vault.packs_after(after.as_ref(), 2).unwrap();
        after = page.last().copied();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, order.map(pack_id));
}

#[test]
fn records_of_a_chain_come_back_end_to_end() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    put(&vault, 2);
    let device = vault.device();
    let log = fs::read(log_path(&folder.path().join("home"), device)).unwrap();
    assert_eq!(vault.record_bytes(device, 0, 4).unwrap(), log);
    let parts: Vec<u8> =
        (0..=4).flat_map(|sequence| vault.record_bytes(device, sequence, sequence).unwrap()).collect();
    assert_eq!(parts, log);
    for (first, last) in [(0, 5), (3, 2), (9, 9)] {
        let missing = vault.record_bytes(device, first, last);
        assert!(matches!(missing, Err(VaultError::NoSuchRecords { .. })), "{first}..={last}");
    }
}

#[test]
fn stretches_of_records_are_cut_at_records_and_as_long_as_they_may_be() {
    let (vault, _folder) = fresh(1);
    for number in 0..20 {
        put(&vault, number);
    }
    let device = vault.device();
    let last = vault.chain_position().unwrap().sequence;
    let len = |first, last| vault.record_range(device, first, last).unwrap().len();
    for len_max in [1, 700, 1_000, 5_000, u64::MAX] {
        let (mut first, cuts) = (0, vault.cut_records(device, (0, last), len_max).unwrap());
        for end in &cuts {
            assert!(*end >= first && (len(first, *end) <= len_max || *end == first), "{len_max}");
            assert!(*end == last || len(first, end + 1) > len_max, "{len_max}: one more would go");
            first = end + 1;
        }
        assert_eq!(cuts.last(), Some(&last));
    }
    let range = vault.record_range(device, 1, last).unwrap();
    let parts = (0..range.len()).step_by(1_000).flat_map(|at| range.part(at, 1_000).unwrap());
    assert_eq!(parts.collect::<Vec<_>>(), vault.record_bytes(device, 1, last).unwrap());
}

#[test]
fn after_a_failed_write_nothing_is_appended_until_the_home_is_opened_again() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    let before = everything(&vault, 4);
    vault.manifest.break_log(vault.device());
    let failed = vault.append(&[pack(2)], &[segment(2, 2)]).unwrap_err();
    assert!(matches!(failed, VaultError::Io { .. }), "{failed}");
    let refused = vault.append(&[pack(3)], &[]).unwrap_err();
    assert!(matches!(refused, VaultError::NeedsReopen), "{refused}");
    assert_eq!(everything(&vault, 4), before, "what is there can be read");
    drop(vault);
    let vault = reopen(&folder).unwrap();
    assert_eq!(everything(&vault, 4), before);
    put(&vault, 2);
}
