//! How homes are made, opened, held and kept private.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn every_path(folder: &Path) -> Vec<PathBuf> {
    let mut paths = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        paths.extend(if path.is_dir() { every_path(&path) } else { vec![path] });
    }
    paths
}

#[test]
fn a_home_and_all_in_it_belongs_to_its_owner_alone() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    vault
        .update_settings(|settings| settings.trust_provider(provider(1), Some("friend"), Timestamp(1)))
        .unwrap();
    for path in every_path(&folder.path().join("home")) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn no_secret_and_no_name_is_on_disk_but_in_the_key_file() {
    let (vault, folder) = fresh(1);
    vault.append(&[pack(1)], &[segment(3, 0xee), snapshot(1, "planted-marker-in-a-name")]).unwrap();
    vault
        .update_settings(|settings| {
            settings.trust_provider(provider(0xdd), Some("planted-marker"), Timestamp(1));
        })
        .unwrap();
    drop(vault);
    let hex = "dd".repeat(32);
    let planted: [&[u8]; 5] = [b"planted-marker", &[0xee; 32], &[0xdd; 32], hex.as_bytes(), &SECRET];
    for path in every_path(&folder.path().join("home")) {
        if path.is_dir() || path.ends_with("key") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for marker in planted {
            assert!(!bytes.windows(marker.len()).any(|window| window == marker), "{}", path.display());
        }
    }
}

#[test]
fn making_a_vault_where_there_is_one_changes_nothing() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    drop(vault);
    let home = folder.path().join("home");
    let look = || -> Vec<_> {
        let files = every_path(&home).into_iter().filter(|path| path.is_file());
        files
            .map(|path| (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap(), path))
            .collect()
    };
    let before = look();
    let error = Home::init(&home, VaultSecret::new([9; 32]), &env(2)).unwrap_err();
    assert!(matches!(error, VaultError::HomeExists { .. }));
    assert_eq!(look(), before);
}

#[test]
fn a_home_that_is_not_there_is_named_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = Home::open(&folder.path().join("home"), &env(1)).unwrap_err();
    assert!(matches!(error, VaultError::NoHome { .. }));
    assert!(error.remedy().contains("blobdvm init"));
    assert!(!folder.path().join("home").exists());
}

#[test]
fn a_home_is_open_once_and_free_when_it_is_dropped() {
    let (vault, folder) = fresh(1);
    assert!(matches!(reopen(&folder), Err(VaultError::Locked { pid: Some(_), .. })));
    drop(vault);
    reopen(&folder).unwrap();
}

#[test]
fn an_init_that_was_cut_short_is_done_again() {
    let (vault, folder) = fresh(1);
    drop(vault);
    // The key is written last.
    fs::remove_file(folder.path().join("home/key")).unwrap();
    let vault = Home::init(&folder.path().join("home"), VaultSecret::new([9; 32]), &env(2)).unwrap();
    assert_eq!(vault.keys().unwrap().secret().expose(), &[9; 32]);
}

#[test]
fn a_home_made_of_a_key_alone_opens_as_a_new_device() {
    let (vault, folder) = fresh(1);
    let device = vault.device();
    drop(vault);
    let home = folder.path().join("home");
    for name in ["device", "settings"] {
        fs::remove_file(home.join(name)).unwrap();
    }
    fs::remove_dir_all(home.join("manifest")).unwrap();
    let vault = reopen(&folder).unwrap();
    assert_ne!(vault.device(), device);
    put(&vault, 1);
}

#[test]
fn a_damaged_small_file_is_named() {
    for name in ["device", "settings", "key"] {
        let (vault, folder) = fresh(1);
        drop(vault);
        let path = folder.path().join("home").join(name);
        fs::write(&path, "x").unwrap();
        let error = reopen(&folder).unwrap_err();
        assert!(matches!(&error, VaultError::DamagedFile { path: named, .. } if *named == path), "{name}");
        assert_eq!(error.remedy().lines().count(), 1);
    }
}

#[test]
fn a_fresh_vault_has_a_secret_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| {
        let vault = Home::init_fresh(&folder.path().join(name), &Env::system()).unwrap();
        *vault.keys().unwrap().secret().expose()
    };
    assert_ne!(secret("one"), secret("two"));
}
