//! Nothing in a log can be changed unnoticed.

use super::*;

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// A home with three records, and the log of its device.
fn three_records() -> (TempDir, PathBuf) {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    let log = log_path(&folder.path().join("home"), vault.device());
    (folder, log)
}

/// Positions in each region of the three records: version, layer, device, sequence, link, length, salt, sealed bytes,
/// authenticator, signature.
fn regions(vault: &Vault) -> [Vec<usize>; 3] {
    let mut start = 0;
    [0, 1, 2].map(|sequence| {
        let len = vault.record_bytes(vault.device(), sequence, sequence).unwrap().len();
        let regions =
            [0, 1, 2, 17, 18, 25, 26, 57, 58, 61, 62, 93, 94, len - 81, len - 65, len - 64, len - 1];
        start += len;
        regions.map(|at| start - len + at).to_vec()
    })
}

#[test]
fn a_flipped_bit_anywhere_in_a_log_is_noticed_when_the_catalog_is_made_of_it() {
    let (folder, log) = three_records();
    let points = regions(&reopen(&folder).unwrap()).concat();
    for at in points {
        flip(&log, at);
        let _ = fs::remove_file(folder.path().join("home/catalog.redb"));
        let error = reopen(&folder).unwrap_err();
        assert!(matches!(error, VaultError::DamagedRecord { .. }), "byte {at}: {error}");
        assert!(error.is_integrity_failure());
        flip(&log, at);
    }
    reopen(&folder).unwrap();
}

#[test]
fn a_flipped_bit_in_the_middle_of_a_log_is_noticed_by_verify_where_the_catalog_is_kept() {
    let (folder, log) = three_records();
    let vault = reopen(&folder).unwrap();
    let points = regions(&vault)[1].clone();
    for at in points {
        flip(&log, at);
        let report = vault.verify().unwrap();
        assert!(!report.is_sound(), "byte {at}");
        let problem = report.chains[0].problem.as_ref().unwrap();
        assert!(matches!(problem, VaultError::DamagedRecord { sequence: 1, .. }), "byte {at}: {problem}");
        flip(&log, at);
    }
    assert!(vault.verify().unwrap().is_sound());
}

#[test]
fn a_damaged_record_is_named_with_its_place() {
    let (folder, log) = three_records();
    let vault = reopen(&folder).unwrap();
    let device = vault.device();
    let first_len = vault.record_bytes(device, 0, 0).unwrap().len();
    drop(vault);
    flip(&log, first_len + 100);
    let vault = reopen(&folder).unwrap();
    let error = vault.pack(&pack_id(1)).unwrap_err();
    let VaultError::DamagedRecord { device: named, sequence, offset, .. } = error else { panic!("{error}") };
    assert_eq!((named, sequence, offset), (device, 1, first_len as u64));
    assert!(vault.segment(&tag(1)).unwrap().is_some(), "the others are read");
}

#[test]
fn records_taken_out_exchanged_or_repeated_are_noticed() {
    let (folder, log) = three_records();
    let vault = reopen(&folder).unwrap();
    let device = vault.device();
    let records: Vec<Vec<u8>> = (0..3).map(|at| vault.record_bytes(device, at, at).unwrap()).collect();
    drop(vault);
    for order in [&[0, 2][..], &[1, 2], &[0, 2, 1], &[0, 1, 1], &[0, 0, 1, 2], &[0, 1, 2, 2], &[0, 1]] {
        let bytes: Vec<u8> = order.iter().flat_map(|at| records[*at].clone()).collect();
        fs::write(&log, &bytes).unwrap();
        // As if all of it had been acknowledged: nothing may be cut off.
        fs::write(log.with_extension("synced"), bytes.len().max(records.concat().len()).to_le_bytes())
            .unwrap();
        let _ = fs::remove_file(folder.path().join("home/catalog.redb"));
        assert!(reopen(&folder).unwrap_err().is_integrity_failure(), "{order:?}");
    }
}

#[test]
fn a_chain_of_another_vault_is_noticed() {
    let (folder, _log) = three_records();
    let other = tempfile::tempdir().unwrap();
    let vault = Home::init(&other.path().join("home"), VaultSecret::new([1; 32]), &env(3)).unwrap();
    put(&vault, 1);
    let device = vault.device();
    drop(vault);
    let foreign = log_path(&other.path().join("home"), device);
    fs::copy(&foreign, log_path(&folder.path().join("home"), device)).unwrap();
    let error = reopen(&folder).unwrap_err();
    assert!(matches!(error, VaultError::DamagedRecord { sequence: 0, .. }), "{error}");
}

#[test]
fn verify_counts_what_it_checked_and_what_is_missing() {
    let (vault, _folder) = fresh(1);
    put(&vault, 1);
    let report = vault.verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    let chain = &report.chains[0];
    let items = ItemCounts { packs: 1, promises: 2, segments: 1, tree_parts: 2, snapshots: 1 };
    assert_eq!((chain.record_count, chain.items, chain.is_own), (3, items, true));

    vault.append(&[needs(1, &[8, 9])], &[segment(2, 7), snapshot(3, "of pages that are not there")]).unwrap();
    let report = vault.verify().unwrap();
    assert_eq!(report.chains[0].unresolved_count, 4);
    assert!(!report.is_sound());
}
