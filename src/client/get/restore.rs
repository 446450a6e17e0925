//! Restored files: written beside their place, compared with what was recorded, then renamed (invariant I1).

use std::fs::{self, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::client::error::ClientError;
use crate::format::{Entry, File};

/// Takes a file's bytes in order and hashes them on the way.
pub(crate) struct Checked<W> {
    to: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Checked<W> {
    /// Passes bytes on to `to`.
    pub(crate) fn new(to: W) -> Self {
        Self { to, hasher: Sha256::new(), len: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Gives back where the bytes went, if they are those that were recorded.
    pub(crate) fn finish(self, recorded: &File, path: &Path) -> Result<W, ClientError> {
        let sha256: [u8; 32] = self.hasher.finalize().into();
        if self.len == recorded.len && sha256 == recorded.sha256 {
            Ok(self.to)
        } else {
            Err(ClientError::Integrity { what: path.display().to_string() })
        }
    }
}

/// A file beside `path` that vanishes unless it is [kept](keep). Makes the folders above `path`.
pub(crate) fn beside(path: &Path) -> Result<NamedTempFile, ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed)?;
    tempfile::Builder::new().prefix(".blobdvm-").suffix(".part").tempfile_in(folder).map_err(failed)
}

/// Gives the file its metadata, brings it to the disk and then to its name.
pub(crate) fn keep(file: NamedTempFile, path: &Path, entry: &Entry) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let handle = file.as_file();
    handle.set_times(times(entry)).map_err(failed)?;
    handle.set_permissions(Permissions::from_mode(entry.mode)).map_err(failed)?;
    handle.sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Makes a folder that can be written to for now.
pub(crate) fn make_folder(path: &Path) -> Result<(), ClientError> {
    fs::create_dir_all(path).map_err(|source| ClientError::File { path: path.to_owned(), source })
}

/// Gives a folder its metadata, after everything in it was written.
pub(crate) fn finish_folder(path: &Path, entry: &Entry) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let folder = fs::File::open(path).map_err(failed)?;
    folder.set_times(times(entry)).map_err(failed)?;
    folder.set_permissions(Permissions::from_mode(entry.mode)).map_err(failed)
}

/// Makes a symbolic link, in place of another one.
pub(crate) fn make_symlink(target: &[u8], path: &Path) -> Result<(), ClientError> {
    use std::os::unix::ffi::OsStrExt;
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        fs::remove_file(path).map_err(failed)?;
    }
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path).map_err(failed)
}

fn times(entry: &Entry) -> FileTimes {
    let nanos = Duration::from_nanos(u64::from(entry.mtime_nanos));
    let whole = Duration::from_secs(entry.mtime.unsigned_abs());
    let seconds: Option<SystemTime> =
        if entry.mtime < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let modified = seconds.and_then(|seconds| seconds.checked_add(nanos));
    modified.map_or(FileTimes::new(), |modified| FileTimes::new().set_modified(modified))
}
