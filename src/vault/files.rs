//! Files of the home: private to their owner, and either old or new after a crash, never in between.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::env::file_step;
use crate::vault::VaultError;

/// Permission bits of the files.
const FILE_MODE: u32 = 0o600;
/// Permission bits of the folders.
const FOLDER_MODE: u32 = 0o700;

/// Makes a folder that only its owner can enter, or makes an existing one so.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), VaultError> {
    let failed = |source| VaultError::io("make the folder", path)(source);
    file_step().map_err(failed)?;
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE)).map_err(failed)
}

/// Opens a file for reading and writing that only its owner may use; makes it if there is none.
pub(crate) fn open_private(path: &Path) -> Result<File, VaultError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    file_step().and_then(|()| options.open(path)).map_err(VaultError::io("open", path))
}

/// Makes a file that only its owner may use, in place of one that is there.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    file_step()?;
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// Gives `path` the content `bytes`: all of it or, if anything fails on the way, what was there before.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    let write = || -> io::Result<()> {
        file_step()?;
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(new)?;
        file_step()?;
        file.write_all(bytes)?;
        file_step()?;
        file.sync_all()?;
        file_step()?;
        fs::rename(new, path)
    };
    write().map_err(VaultError::io("write", path))?;
    sync_folder_of(path)
}

/// Gives `path` the content `bytes`, which a crash may undo or spoil.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    create_private(path).and_then(|mut file| file.write_all(bytes)).map_err(VaultError::io("write", path))
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), VaultError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = || File::open(folder)?.sync_all();
    file_step().and_then(|()| sync()).map_err(VaultError::io("sync the folder", folder))
}

/// The whole of a small file, at most `len_max` bytes of it; `None` if there is no such file.
pub(crate) fn read_small(path: &Path, len_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::io("open", path)(error)),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(len_max + 1).read_to_end(&mut bytes).map_err(VaultError::io("read", path))?;
    if bytes.len() as u64 > len_max {
        return Err(VaultError::damaged_file(path, "it is far too long"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings");
        fs::write(folder.path().join("settings.new"), "left by a crash").unwrap();
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read_small(&path, 3).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_alone_is_in_the_working_folder() {
        sync_folder_of(Path::new("name")).unwrap();
    }

    #[test]
    fn a_small_file_that_grew_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        fs::write(&path, "1234").unwrap();
        assert!(matches!(read_small(&path, 3), Err(VaultError::DamagedFile { .. })));
        assert!(read_small(&folder.path().join("none"), 3).unwrap().is_none());
    }
}
