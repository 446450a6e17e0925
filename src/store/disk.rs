//! The few file operations that the store is built from, and the real disk behind them.
//!
//! Paths are relative to the store's folder. What was written is safe from a crash only after `sync_file`; a name that
//! was made, moved or removed only after `sync_dir` of the folder it stands in.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::env;

/// Files of so many bytes do not stay in memory: most are written, and read years later or never. Short ones, such as the
/// heads of vaults, are asked for again and again.
const LONG_LEN: usize = 256 * 1024;

/// A folder that files can be kept in. Operations block; callers on an async runtime go through its blocking threads.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder; without effect if it is there. Its parent is there already.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Writes a whole file, in place of what was there.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Writes at the end of a file, which is made if it is not there.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to its first `len` bytes.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Returns when the contents of a file are safe.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, in place of what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns when the names in a folder are safe.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The whole contents of a file.
    fn read(&self, path: &Path) -> io::Result<Bytes>;

    /// At most `len` bytes from `offset`; fewer only where the file ends.
    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names of the files and folders in a folder, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
}

/// A folder of the machine's file system, locked against a second process for as long as this value lives.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// The lock ends with the process, however that ends.
    _lock: File,
}

impl RealDisk {
    /// Opens `root`, making it (readable by its owner alone) where it is missing.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it open.
    pub fn open(root: &Path) -> io::Result<Self> {
        private_dir().recursive(true).create(root)?;
        let lock = private_file().create(true).truncate(false).write(true).open(root.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process has it open")
            }
            TryLockError::Error(error) => error,
        })?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        private_dir().recursive(true).create(self.root.join(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(path);
        let mut file = private_file().create(true).truncate(true).write(true).open(path)?;
        if bytes.len() < LONG_LEN { file.write_all(bytes) } else { env::write_uncached(&file, bytes) }
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        private_file().create(true).append(true).open(self.root.join(path))?.write_all(bytes)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        private_file().write(true).open(self.root.join(path))?.set_len(len)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(self.root.join(path))?.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.root.join(path))?.sync_all()
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let mut file = File::open(self.root.join(path))?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if len >= LONG_LEN {
            return env::read_uncached(&file, len);
        }
        let mut bytes = Vec::with_capacity(len);
        file.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.root.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(len);
        file.take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        // A name that is no UTF-8 is none of ours.
        let names =
            fs::read_dir(self.root.join(path))?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }
}

/// Folders that only their owner can look into: the store's keys lie there.
fn private_dir() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are modes on Unix only"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Files that only their owner can read.
fn private_file() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are modes on Unix only"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_disk_keeps_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&dir.path().join("store")).unwrap();
        let [a, b, sub] = ["sub/a", "sub/b", "sub"].map(Path::new);
        disk.create_dir(sub).unwrap();
        disk.create_dir(sub).unwrap();
        disk.write(a, b"0123456789").unwrap();
        disk.append(a, b"ab").unwrap();
        disk.truncate(a, 11).unwrap();
        disk.sync_file(a).unwrap();
        disk.rename(a, b).unwrap();
        disk.sync_dir(sub).unwrap();
        assert_eq!(disk.read(b).unwrap(), "0123456789a");
        assert_eq!(disk.read_range(b, 9, 5).unwrap(), b"9a");
        assert_eq!(disk.read_range(b, 90, 5).unwrap(), b"");
        assert_eq!(disk.list(sub).unwrap(), ["b"]);
        disk.remove(b).unwrap();
        assert_eq!(disk.read(b).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_store_is_open_in_one_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        assert_eq!(RealDisk::open(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(disk);
        RealDisk::open(dir.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn files_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&dir.path().join("store")).unwrap();
        disk.write(Path::new("key"), b"secret").unwrap();
        let mode = |name: &str| fs::metadata(disk.root().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key"), mode("")), (0o600, 0o700));
    }
}
