//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::{BlobHash, Timestamp};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such blob, or the asking key has no claim on it.
    #[error("blob {hash} is not here")]
    NotFound {
        /// The blob that was asked for.
        hash: BlobHash,
    },
    /// The bytes to be stored are not the blob that was named.
    #[error("bytes with SHA-256 {actual} were sent as blob {hash}")]
    HashMismatch {
        /// The blob that was named.
        hash: BlobHash,
        /// What the bytes hash to.
        actual: BlobHash,
    },
    /// The file on disk is not the blob any more.
    #[error("blob {hash} is damaged on disk")]
    Integrity {
        /// The blob.
        hash: BlobHash,
    },
    /// There is no room, even without the blobs whose promises have lapsed.
    #[error("storage is full: {need} bytes needed, {free} free")]
    Full {
        /// Bytes the blob needs.
        need: u64,
        /// Bytes that are free or can be freed.
        free: u64,
    },
    /// As many claims as the store keeps.
    #[error("storage is full: it keeps {count_max} claims")]
    TooManyClaims {
        /// The limit.
        count_max: usize,
    },
    /// A change older than, or the same as, one that was made: it was delayed or replayed.
    #[error("change of {at:?} to blob {hash} is not newer than that of {newest:?}")]
    Stale {
        /// The blob.
        hash: BlobHash,
        /// When the change was signed.
        at: Timestamp,
        /// When the newest change was signed.
        newest: Timestamp,
    },
    /// More changes in a short time than the store remembers.
    #[error("too many changes in a short time")]
    Busy,
    /// The claims log is of another version.
    #[error("claims log has version {version}; this program reads version {known}")]
    Version {
        /// The version of the file.
        version: u8,
        /// The version this program writes, and the newest it reads.
        known: u8,
    },
    /// A file that is not what its name says.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file, relative to the store's folder.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("disk failed at {}", path.display())]
    Disk {
        /// The file, relative to the store's folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Disk { path: path.to_owned(), source }
    }

    /// Whether the same request may succeed in a moment.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy)
    }

    /// Whether there is no room for more.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } | Self::TooManyClaims { .. } => true,
            Self::Disk { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
