//! Memory in which the system holds the contents of files.

use std::fs::File;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Says that what is on the disk of this file will not be wanted soon, so that the memory it takes is free for what
/// comes next. What is not on the disk yet stays; to read it again is slower, and nothing else changes.
///
/// Without it a long stream of files pushes out what others have there, and takes ever new memory, which on a virtual
/// machine the host has to find first: there that was a quarter of everything that a put took (`POSIX_FADV_DONTNEED` in
/// posix_fadvise(2)).
pub fn let_go(file: &File) {
    // It is advice.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

/// Bytes that this thread has made the system read from storage (proc(5), `/proc/PID/io`); `None` where that is not told,
/// or `path` is on a file system of which it is not known that it takes such advice: one in memory does not.
#[cfg(test)]
pub(crate) fn read_from_storage(path: &std::path::Path) -> Option<u64> {
    use nix::sys::statfs::{EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, XFS_SUPER_MAGIC, statfs};
    let takes_it = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC];
    if !takes_it.contains(&statfs(path).ok()?.filesystem_type()) {
        return None;
    }
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_let_go_comes_from_the_disk_again_and_is_the_same() {
        let (mut file, bytes) = (tempfile::NamedTempFile::new().unwrap(), vec![7; 1 << 20]);
        let path = file.path().to_owned();
        file.write_all(&bytes).unwrap();
        file.as_file().sync_data().unwrap();
        let Some(before) = read_from_storage(&path) else { return };
        assert!(fs::read(&path).unwrap() == bytes);
        assert_eq!(read_from_storage(&path), Some(before), "what was just written is in memory");
        let_go(file.as_file());
        assert!(fs::read(&path).unwrap() == bytes);
        assert!(read_from_storage(&path) >= Some(before + bytes.len() as u64));
    }

    #[test]
    fn what_is_not_on_the_disk_yet_stays() {
        let (mut file, bytes) = (tempfile::NamedTempFile::new().unwrap(), vec![7; 1 << 20]);
        file.write_all(&bytes).unwrap();
        let_go(file.as_file());
        assert!(fs::read(file.path()).unwrap() == bytes);
    }
}
