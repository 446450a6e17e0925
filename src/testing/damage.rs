//! What is done to a provider's files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files that were changed, and what they held before.
#[derive(Debug, Default)]
pub struct Damaged {
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Damaged {
    /// Changes one bit in the middle of each blob below `store`; an empty blob gets a byte.
    pub(super) fn flip(store: &Path) -> io::Result<Self> {
        let mut damaged = Self::default();
        for path in files(&store.join("blobs"))? {
            let held = fs::read(&path)?;
            let mut changed = held.clone();
            match changed.get_mut(held.len() / 2) {
                Some(byte) => *byte ^= 1,
                None => changed.push(0),
            }
            fs::write(&path, changed)?;
            damaged.before.push((path, held));
        }
        Ok(damaged)
    }

    /// How many blobs were changed.
    pub fn count(&self) -> usize {
        self.before.len()
    }

    /// Puts back what the files held before.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn undo(self) -> io::Result<()> {
        self.before.into_iter().try_for_each(|(path, held)| fs::write(path, held))
    }
}

/// All files below a folder, in the order of their names; none if it is not there.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}
