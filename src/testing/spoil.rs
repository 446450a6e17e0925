//! What is done to the blobs of a provider whose disk is in memory, behind its back.

use std::path::PathBuf;

use crate::store::SimDisk;
use crate::types::BlobHash;

/// What becomes of a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// One bit in the middle is another.
    Flip,
    /// The second half is gone.
    Truncate,
    /// Nothing is in it.
    Empty,
    /// Another blob's bytes are in it.
    Swap,
}

impl Spoil {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Flip, Self::Truncate, Self::Empty, Self::Swap];

    /// Does it to every blob's file on `disk`; returns how many there were.
    pub(super) fn all_blobs(self, disk: &SimDisk) -> usize {
        let files = blob_files(disk);
        let held: Vec<_> = files.iter().map(|(path, _)| disk.peek(path).unwrap_or_default()).collect();
        for (index, (path, _)) in files.iter().enumerate() {
            disk.corrupt(path, |bytes| match self {
                Self::Flip => match bytes.len() / 2 {
                    0 => bytes.push(0),
                    middle => bytes[middle] ^= 1,
                },
                Self::Truncate => bytes.truncate(bytes.len() / 2),
                Self::Empty => bytes.clear(),
                Self::Swap if files.len() == 1 => bytes.reverse(),
                Self::Swap => bytes.clone_from(&held[(index + 1) % held.len()]),
            });
        }
        files.len()
    }
}

/// The files of all blobs on a disk.
pub(super) fn blob_files(disk: &SimDisk) -> Vec<(PathBuf, BlobHash)> {
    let hash = |path: &PathBuf| BlobHash::parse(path.file_name()?.to_str()?).ok();
    disk.paths().into_iter().filter_map(|path| hash(&path).map(|hash| (path, hash))).collect()
}
