//! Restored files come to the disk, with their names, before a get says that it is done: a few of them one by one, many of
//! them together.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;

use crate::client::get::part::folder_of;

/// So many files are synced each before it gets its name, and so many folders each at the end. Of a large tree that would
/// be most of the time, and a crash in the middle of a restore means that it is run again.
const ALONE_MAX: usize = 16;

/// What is not on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    count: usize,
    /// Folders with names that are not synced.
    folders: BTreeSet<PathBuf>,
    /// A file or folder on each file system that is synced as a whole.
    waiting: BTreeMap<u64, File>,
}

impl Durable {
    /// Takes a file that was written.
    pub(crate) fn take(&mut self, file: &File) -> io::Result<()> {
        self.count += 1;
        if self.count <= ALONE_MAX {
            return file.sync_all();
        }
        let device = file.metadata()?.dev();
        if let Entry::Vacant(place) = self.waiting.entry(device) {
            place.insert(file.try_clone()?);
        }
        Ok(())
    }

    /// Takes what got its name at `place`. The folders above it may be new as well.
    pub(crate) fn named(&mut self, place: &Path) -> io::Result<()> {
        let folder = folder_of(place);
        if self.folders.contains(folder) {
            return Ok(());
        }
        if self.folders.len() < ALONE_MAX {
            // Above the first part of a relative path is the working folder.
            let named = |above: &Path| {
                if above.as_os_str().is_empty() { PathBuf::from(".") } else { above.to_owned() }
            };
            self.folders.extend(folder.ancestors().map(named));
        } else if let Some(folder) = open(folder)? {
            self.waiting.entry(folder.metadata()?.dev()).or_insert(folder);
        }
        Ok(())
    }

    /// Returns when everything is on the disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        for folder in &self.folders {
            let Some(folder) = open(folder)? else { continue };
            if !self.waiting.contains_key(&folder.metadata()?.dev()) {
                match folder.sync_all() {
                    // Not on every file system can folders be synced.
                    Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
                    _ => {}
                }
            }
        }
        for file in self.waiting.into_values() {
            syncfs(file)?;
        }
        Ok(())
    }
}

/// A folder to be synced; none if it may not be read (others have made it, or its recorded mode says so), or is gone.
fn open(folder: &Path) -> io::Result<Option<File>> {
    match File::open(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Ok(None),
        opened => opened.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_folders_are_synced_each_with_those_above_and_many_together() {
        let root = tempfile::tempdir().unwrap();
        let mut durable = Durable::default();
        let deep = root.path().join("new/deep");
        std::fs::create_dir_all(&deep).unwrap();
        for name in ["a", "b"] {
            durable.named(&deep.join(name)).unwrap();
        }
        for above in [deep.as_path(), deep.parent().unwrap(), root.path()] {
            assert!(durable.folders.contains(above), "{}", above.display());
        }
        assert!(durable.waiting.is_empty());
        for number in 0..2 * ALONE_MAX {
            let folder = root.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            durable.named(&folder.join("file")).unwrap();
        }
        assert!(durable.folders.len() <= ALONE_MAX + deep.components().count());
        assert_eq!(durable.waiting.len(), 1);
        durable.finish().unwrap();
    }

    #[test]
    fn names_in_the_working_folder_are_synced_too() {
        for (place, folders) in [("file", &["."][..]), ("new/deep/file", &[".", "new", "new/deep"])] {
            let mut durable = Durable::default();
            durable.named(Path::new(place)).unwrap();
            assert_eq!(
                durable.folders.into_iter().collect::<Vec<_>>(),
                folders.iter().map(Path::new).collect::<Vec<_>>()
            );
        }
    }
}
