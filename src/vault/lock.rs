//! The lock: one process at a time has a home open (invariant I6).

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::vault::{VaultError, files};

/// Holds a home. The operating system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

impl HomeLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn acquire(path: &Path) -> Result<Self, VaultError> {
        let mut file = files::open_private(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let home = path.parent().unwrap_or(path).to_owned();
                return Err(VaultError::Locked { path: home, pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(VaultError::io("lock", path)(error)),
        }
        // For people only: the lock is the operating system's, and a stale number means nothing.
        let note = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(VaultError::io("write", path))?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_held_by_one_at_a_time_and_the_other_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = HomeLock::acquire(&path).unwrap();
        let error = HomeLock::acquire(&path).unwrap_err();
        assert!(matches!(error, VaultError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        drop(held);
        HomeLock::acquire(&path).unwrap();
    }
}
