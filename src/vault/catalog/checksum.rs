//! The checksum of the closed catalog. The engine trusts its pages, and panics where the disk has changed them; so a
//! file that is not as it was left is not shown to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::vault::{VaultError, files};

/// While it lives, the catalog is open and has no checksum; dropped, it writes down the one of the closed file.
///
/// A process that is killed leaves none. Then the engine repairs what it finds, with checksums of its own.
pub(super) struct Checksum {
    catalog: PathBuf,
}

impl Checksum {
    /// Takes the checksum of the file `catalog` away; `None` if the file has changed since it was closed.
    pub(super) fn take(catalog: &Path) -> Result<Option<Self>, VaultError> {
        let path = note_path(catalog);
        let noted = files::read_small(&path, 64)?;
        if let Some(noted) = noted {
            let found = hash(catalog).map_err(VaultError::io("read", catalog))?;
            if noted.as_slice() != found.as_bytes() {
                return Ok(None);
            }
        }
        Self::forget(catalog).map(Some)
    }

    /// Takes the checksum away without looking, for a catalog that is about to be made.
    pub(super) fn forget(catalog: &Path) -> Result<Self, VaultError> {
        let path = note_path(catalog);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(VaultError::io("remove", &path)(error))
            }
            _ => Ok(Self { catalog: catalog.to_owned() }),
        }
    }
}

impl Drop for Checksum {
    fn drop(&mut self) {
        // Without the note, the engine looks for itself; and a note that does not fit has the catalog rebuilt.
        let _ =
            hash(&self.catalog).map(|hash| files::write_unsynced(&note_path(&self.catalog), hash.as_bytes()));
    }
}

fn note_path(catalog: &Path) -> PathBuf {
    catalog.with_extension("sha256")
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}
