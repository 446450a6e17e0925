//! What is to be backed up: the named paths and everything below them, before any content is read.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::client::error::ClientError;

/// A file, folder or other thing that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) name: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) kind: FoundKind,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum FoundKind {
    File,
    Dir(Vec<Found>),
    Symlink(Vec<u8>),
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
}

/// Everything below `paths`, whose own names become the names at the root of the snapshot. A named symbolic link is
/// followed, as `cat` would; those below are kept as links.
///
/// # Errors
/// A path that cannot be read, has no name, or has the name of another.
pub(crate) fn scan(paths: &[PathBuf]) -> Result<Vec<Found>, ClientError> {
    let mut roots = Vec::with_capacity(paths.len());
    for path in paths {
        let real = path.canonicalize().map_err(|source| ClientError::File { path: path.clone(), source })?;
        let Some(name) = path.file_name().or_else(|| real.file_name()) else {
            return Err(ClientError::Destination { path: path.clone(), why: "has no name of its own" });
        };
        roots.push(look(&real, name.as_bytes().to_vec())?);
    }
    sort(&mut roots);
    if let Some(twice) = roots.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let path = twice[1].path.clone();
        return Err(ClientError::Destination {
            path,
            why: "has the same name as another path of this snapshot",
        });
    }
    Ok(roots)
}

/// Bytes of all files below.
pub(crate) fn total_bytes(found: &[Found]) -> u64 {
    let bytes = |found: &Found| match &found.kind {
        FoundKind::File => found.metadata.len(),
        FoundKind::Dir(children) => total_bytes(children),
        _ => 0,
    };
    found.iter().map(bytes).sum()
}

fn look(path: &Path, name: Vec<u8>) -> Result<Found, ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let metadata = path.symlink_metadata().map_err(failed)?;
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        FoundKind::File
    } else if kind.is_dir() {
        let mut children = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            children.push(look(&entry.path(), entry.file_name().as_bytes().to_vec())?);
        }
        sort(&mut children);
        FoundKind::Dir(children)
    } else if kind.is_symlink() {
        FoundKind::Symlink(path.read_link().map_err(failed)?.as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        FoundKind::Fifo
    } else if kind.is_char_device() {
        FoundKind::CharDevice
    } else if kind.is_block_device() {
        FoundKind::BlockDevice
    } else {
        FoundKind::Socket
    };
    Ok(Found { path: path.to_owned(), name, metadata, kind })
}

fn sort(found: &mut [Found]) {
    found.sort_by(|a, b| a.name.cmp(&b.name));
}

impl Found {
    /// Number of the device that this is a node of.
    pub(crate) fn rdev(&self) -> u64 {
        self.metadata.rdev()
    }
}
