//! What the disk in memory promises to tests.

use std::io;
use std::path::Path;

use crate::store::{Disk, SimDisk, Unsynced};

const FILE: &str = "file";

#[test]
fn crash_keeps_only_what_was_synced() {
    let disk = SimDisk::new();
    let (file, root) = (Path::new(FILE), Path::new(""));
    disk.append(file, b"safe").unwrap();
    disk.sync_file(file).unwrap();
    assert!(disk.restart(Unsynced::Lost).paths().is_empty(), "the name is not safe yet");
    disk.sync_dir(root).unwrap();
    disk.append(file, b" and not").unwrap();
    assert_eq!(disk.read(file).unwrap(), "safe and not");
    assert_eq!(disk.restart(Unsynced::Lost).read(file).unwrap(), "safe");
    for seed in 0..100 {
        let left = disk.restart(Unsynced::Torn(seed)).read(file).unwrap();
        assert!(left.starts_with(b"safe") && left.len() <= 12, "seed {seed}: {left:?}");
    }
}

#[test]
fn rename_is_undone_by_a_crash_before_the_folder_is_synced() {
    let disk = SimDisk::new();
    let (file, other, root) = (Path::new(FILE), Path::new("other"), Path::new(""));
    disk.write(file, b"1").unwrap();
    disk.sync_file(file).unwrap();
    disk.sync_dir(root).unwrap();
    disk.rename(file, other).unwrap();
    assert_eq!(disk.restart(Unsynced::Lost).paths(), [file]);
    disk.sync_dir(root).unwrap();
    assert_eq!(disk.restart(Unsynced::Lost).paths(), [other]);
}

#[test]
fn faults_come_where_they_were_asked_for() {
    let disk = SimDisk::new();
    disk.fail_at(1);
    disk.set_capacity(Some(6));
    let file = Path::new(FILE);
    disk.append(file, b"abcd").unwrap();
    assert!(disk.append(file, b"e").is_err());
    assert_eq!(disk.append(file, b"efgh").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read(file).unwrap(), "abcdef");
    disk.set_capacity(None);
    disk.set_hollow(Some("blobs".into()));
    disk.create_dir(Path::new("blobs")).unwrap();
    disk.append(Path::new("blobs/a"), b"abc").unwrap();
    assert_eq!(disk.read(Path::new("blobs/a")).unwrap(), "");
    disk.crash_at(disk.op_count());
    assert!(disk.truncate(file, 0).is_err());
    assert!(disk.read(file).is_err());
}
