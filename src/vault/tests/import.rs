//! Chains that come from elsewhere are taken over record by record, or not at all.

use super::*;

/// The chain of another home of the same vault.
fn elsewhere() -> (Vault, TempDir, Vec<u8>) {
    let (vault, folder) = fresh(7);
    (1..=3).for_each(|number| put(&vault, number));
    let end = vault.chain_position().unwrap();
    let bytes = vault.record_bytes(end.device, 0, end.sequence).unwrap();
    (vault, folder, bytes)
}

#[test]
fn an_imported_chain_is_as_good_as_ones_own_and_the_next_device_goes_on_from_it() {
    let (other, _other_folder, bytes) = elsewhere();
    let (vault, folder) = fresh(8);
    let imported = vault.import_chain(other.device(), &bytes).unwrap();
    assert_eq!(imported, Imported { added: 7, given: 7, count: 7 });
    assert_eq!(everything(&vault, 5), everything(&other, 5));
    assert_eq!(vault.import_chain(other.device(), &bytes).unwrap().added, 0);

    put(&vault, 4);
    let own = vault.device_record(vault.device()).unwrap();
    assert_eq!(own.continues, [other.chain_position().unwrap()]);
    assert!(vault.verify().unwrap().is_sound());
    let before = everything(&vault, 5);
    drop(vault);
    assert_eq!(everything(&reopen(&folder).unwrap(), 5), before);
}

#[test]
fn a_chain_may_come_in_parts_that_overlap() {
    let (other, _other_folder, _) = elsewhere();
    let device = other.device();
    let part = |first, last| other.record_bytes(device, first, last).unwrap();
    let (vault, _folder) = fresh(8);
    assert_eq!(vault.import_records(device, &part(0, 2)).unwrap().added, 3);
    assert_eq!(vault.import_records(device, &part(1, 4)).unwrap().added, 2);
    assert_eq!(vault.import_records(device, &part(0, 1)).unwrap(), Imported { added: 0, given: 2, count: 5 });
    let gap = vault.import_records(device, &part(6, 6));
    assert!(matches!(gap, Err(VaultError::ChainGap { known: 5, first: 6, .. })));
    assert_eq!(vault.import_records(device, &part(5, 6)).unwrap().count, 7);
    assert_eq!(everything(&vault, 5), everything(&other, 5));
}

#[test]
fn a_shorter_chain_is_an_error_and_changes_nothing() {
    let (other, _other_folder, bytes) = elsewhere();
    let (vault, _folder) = fresh(8);
    vault.import_chain(other.device(), &bytes).unwrap();
    let short = other.record_bytes(other.device(), 0, 2).unwrap();
    let error = vault.import_chain(other.device(), &short).unwrap_err();
    assert!(matches!(error, VaultError::ChainShorter { given: 3, known: 7, .. }), "{error}");
    assert_eq!(vault.chain_end(other.device()), other.chain_position());
}

#[test]
fn a_chain_that_forks_is_an_error_and_changes_nothing() {
    let (other, other_folder, bytes) = elsewhere();
    let device = other.device();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&other_folder.path().join("home"), &copy.path().join("home"));
    put(&other, 4);
    let copied = reopen(&copy).unwrap();
    put(&copied, 5);
    let forked = copied.record_bytes(device, 0, 8).unwrap();

    let (vault, _folder) = fresh(8);
    vault.import_chain(device, &other.record_bytes(device, 0, 8).unwrap()).unwrap();
    let error = vault.import_chain(device, &forked).unwrap_err();
    assert!(matches!(error, VaultError::ChainForks { sequence: 7, .. }), "{error}");
    assert_eq!(vault.chain_end(device), other.chain_position());
    vault.import_chain(device, &bytes).unwrap_err();
}

#[test]
fn of_a_damaged_chain_the_records_before_the_damage_are_kept() {
    let (other, _other_folder, mut bytes) = elsewhere();
    let device = other.device();
    let good_len = other.record_bytes(device, 0, 4).unwrap().len();
    bytes[good_len + 80] ^= 1;
    let (vault, folder) = fresh(8);
    let error = vault.import_chain(device, &bytes).unwrap_err();
    assert!(matches!(error, VaultError::DamagedRecord { sequence: 5, .. }), "{error}");
    assert_eq!(vault.chain_end(device).unwrap().sequence, 4);
    drop(vault);
    assert_eq!(reopen(&folder).unwrap().chain_end(device).unwrap().sequence, 4);
}

#[test]
fn nothing_of_a_stranger_gets_in_and_no_file_is_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = Home::init(&folder.path().join("home"), VaultSecret::new([1; 32]), &env(3)).unwrap();
    put(&stranger, 1);
    let bytes = stranger.record_bytes(stranger.device(), 0, 2).unwrap();
    let (vault, own_folder) = fresh(8);
    for garbage in [&bytes[..], &[0; 300], &bytes[..50]] {
        let error = vault.import_chain(stranger.device(), garbage).unwrap_err();
        assert!(matches!(error, VaultError::DamagedRecord { sequence: 0, .. }), "{error}");
    }
    assert_eq!(fs::read_dir(own_folder.path().join("home/manifest")).unwrap().count(), 0);
}

#[test]
fn a_new_device_leaves_the_old_chain_as_it_is_and_its_segments_come_first() {
    let (vault, folder) = fresh(1);
    vault.append(&[], &[segment(7, 1)]).unwrap();
    vault.append(&[], &[segment(7, 2)]).unwrap();
    let old_end = vault.chain_position().unwrap();
    drop(vault);
    let vault = reopen(&folder).unwrap();
    let device = vault.start_new_device().unwrap();
    assert_ne!(device, old_end.device);
    assert_eq!(vault.chain_position(), None);
    vault.append(&[], &[segment(7, 3)]).unwrap();
    assert_eq!(vault.chain_end(old_end.device), Some(old_end));
    assert_eq!(vault.device_record(device).unwrap().continues, [old_end]);
    let keys: Vec<u8> =
        vault.segments(&tag(7)).unwrap().iter().map(|segment| segment.key.expose()[0]).collect();
    assert_eq!(keys, [3, 2, 1]);
    drop(vault);
    assert_eq!(reopen(&folder).unwrap().device(), device);
}
