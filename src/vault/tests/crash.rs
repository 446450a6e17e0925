//! A crash at any point of an append loses nothing that was acknowledged, and leaves a home that goes on.
//!
//! The points are: any number of the new bytes in the log (as they are, or as zeros where the disk had not got round
//! to them), the note of what is safe written or not, the catalog committed or not.

use super::*;

/// The home before and after one append, and its log in both states.
struct Append {
    _folder: TempDir,
    before: PathBuf,
    after: PathBuf,
    log: PathBuf,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Append {
    fn observe(appends_before: u8) -> Self {
        let (vault, folder) = fresh(1);
        let home = folder.path().join("home");
        (0..appends_before).for_each(|number| put(&vault, number));
        drop(vault);
        let before = folder.path().join("before");
        copy_folder(&home, &before);
        let vault = reopen(&folder).unwrap();
        let log = log_path(Path::new(""), vault.device());
        put(&vault, appends_before);
        drop(vault);
        let read = |home: &Path| fs::read(home.join(&log)).unwrap_or_default();
        let (old, new) = (read(&before), read(&home));
        Self { _folder: folder, before, after: home, log, old, new }
    }

    /// A home as a crash leaves it: log, note and catalog each from before, after or between.
    fn crash(&self, log: &[u8], note_from: &Path, catalog_from: Option<&Path>) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        copy_folder(&self.after, &home);
        fs::write(home.join(&self.log), log).unwrap();
        let note = self.log.with_extension("synced");
        fs::copy(note_from.join(&note), home.join(&note))
            .or_else(|_| fs::write(home.join(&note), [0; 8]).map(|()| 0))
            .unwrap();
        fs::remove_file(home.join("catalog.redb")).unwrap();
        let _ = fs::remove_file(home.join("catalog.sha256"));
        if let Some(from) = catalog_from {
            for name in ["catalog.redb", "catalog.sha256"] {
                fs::copy(from.join(name), home.join(name)).unwrap();
            }
        }
        folder
    }
}

/// Opens the home, checks that all puts below `acknowledged` are there, and that it goes on and opens again.
fn assert_goes_on(folder: &TempDir, acknowledged: u8, point: &str) {
    let vault = reopen(folder).unwrap_or_else(|error| panic!("{point}: {error}"));
    for number in 0..acknowledged {
        assert_eq!(vault.segments(&tag(number)).unwrap().len(), 1, "{point}");
        assert!(vault.pack(&pack_id(number)).unwrap().is_some(), "{point}");
    }
    let count = vault.snapshots().unwrap().len();
    assert!(count >= usize::from(acknowledged) && count <= usize::from(acknowledged) + 1, "{point}");
    // A chain that had begun is gone on with; nothing of the torn write is in the way.
    put(&vault, 100);
    let seen = everything(&vault, 101);
    assert!(vault.verify().unwrap().chains.iter().all(|chain| chain.problem.is_none()), "{point}");
    drop(vault);
    assert_eq!(everything(&reopen(folder).unwrap(), 101), seen, "{point}");
}

#[test]
fn an_append_torn_at_any_byte_is_undone_or_kept_by_whole_records() {
    for appends_before in [0, 2] {
        let append = Append::observe(appends_before);
        let (old, new) = (append.old.len(), append.new.len());
        let step = (new - old) / 8 + 1;
        for len in (old..new).step_by(step).chain([new - 1, new]) {
            let written = append.new[..len].to_vec();
            let catalog = append.before.join("catalog.redb").exists().then_some(append.before.as_path());
            let folder = append.crash(&written, &append.before, catalog);
            assert_goes_on(
                &folder,
                appends_before,
                &format!("{appends_before} before, {len} of {old}..{new}"),
            );
        }
    }
}

#[test]
fn an_append_of_which_the_disk_has_holes_is_undone() {
    let append = Append::observe(2);
    let (old, new) = (append.old.len(), append.new.len());
    for hole in [old..new, old..old + 10, old + 100..old + 200, new - 10..new] {
        let mut written = append.new.clone();
        written[hole.clone()].fill(0);
        let folder = append.crash(&written, &append.before, Some(&append.before));
        assert_goes_on(&folder, 2, &format!("zeros at {hole:?} of {old}..{new}"));
    }
}

#[test]
fn a_catalog_of_any_age_or_none_at_all_is_brought_up_to_date() {
    let append = Append::observe(2);
    for (catalog, name) in [(None, "none"), (Some(&append.before), "before"), (Some(&append.after), "after")]
    {
        for note in [&append.before, &append.after] {
            let folder = append.crash(&append.new, note, catalog.map(PathBuf::as_path));
            assert_goes_on(&folder, 3, &format!("catalog {name}, note {}", note.display()));
        }
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_home_that_opens() {
    let (vault, folder) = fresh(1);
    for number in 0..4 {
        put(&vault, number);
        // What is in the files while the vault is open is what a kill leaves.
        let killed = tempfile::tempdir().unwrap();
        copy_folder(&folder.path().join("home"), &killed.path().join("home"));
        assert_goes_on(&killed, number + 1, &format!("killed after put {number}"));
    }
}

#[test]
fn a_catalog_that_is_ahead_of_a_log_is_not_believed() {
    let append = Append::observe(2);
    let folder = append.crash(&append.old, &append.before, Some(&append.after));
    assert_goes_on(&folder, 2, "the catalog knows of records that the disk has lost");
}

#[test]
fn a_catalog_that_is_none_is_rebuilt() {
    let append = Append::observe(2);
    let whole = fs::read(append.after.join("catalog.redb")).unwrap();
    let garbage = vec![0x5a; 100_000];
    for bytes in [&[][..], &garbage, &whole[..whole.len() / 2], &whole[..10]] {
        let folder = append.crash(&append.new, &append.after, None);
        fs::write(folder.path().join("home/catalog.redb"), bytes).unwrap();
        assert_goes_on(&folder, 3, &format!("a catalog of {} bytes", bytes.len()));
    }
}

#[test]
fn a_catalog_of_another_version_or_vault_is_rebuilt() {
    let (other, other_folder) = {
        let folder = tempfile::tempdir().unwrap();
        let vault = Home::init(&folder.path().join("home"), VaultSecret::new([1; 32]), &env(5)).unwrap();
        (vault, folder)
    };
    put(&other, 9);
    drop(other);
    let append = Append::observe(2);
    let folder = append.crash(&append.new, &append.after, Some(&other_folder.path().join("home")));
    assert_goes_on(&folder, 3, "another vault's catalog");
}

#[test]
fn a_log_that_lost_acknowledged_bytes_is_an_error_not_a_shorter_log() {
    let append = Append::observe(2);
    for len in [append.old.len(), append.new.len() - 1, 0] {
        let folder = append.crash(&append.new[..len], &append.after, None);
        assert!(matches!(reopen(&folder), Err(VaultError::TruncatedLog { .. })), "{len}");
    }
}

#[test]
fn a_small_file_half_written_is_the_old_one() {
    let (vault, folder) = fresh(1);
    vault.update_settings(|settings| settings.trust_provider(provider(1), None, Timestamp(1))).unwrap();
    drop(vault);
    for name in ["settings.new", "device.new", "head.new", "key.new"] {
        fs::write(folder.path().join("home").join(name), "half").unwrap();
    }
    let vault = reopen(&folder).unwrap();
    assert_eq!(vault.settings().trusted_providers().count(), 1);
    vault.update_settings(|settings| settings.forget_provider(&provider(1))).unwrap();
}

#[test]
fn a_catalog_that_the_disk_has_changed_is_rebuilt() {
    let append = Append::observe(2);
    let whole = fs::read(append.after.join("catalog.redb")).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 10) {
        let folder = append.crash(&append.new, &append.after, Some(&append.after));
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5b;
        fs::write(folder.path().join("home/catalog.redb"), bytes).unwrap();
        let vault = reopen(&folder).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        let rebuilt = everything(&vault, 4);
        drop(vault);
        let folder = append.crash(&append.new, &append.after, Some(&append.after));
        assert_eq!(everything(&reopen(&folder).unwrap(), 4), rebuilt, "byte {at}");
    }
}
