//! Restored files come to the disk before a get says that it is done: a few of them one by one, many of them together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::syncfs;

/// So many files are synced each before it gets its name. Of a large tree that would be most of the time, and a crash in
/// the middle of a restore means that it is run again.
const ALONE_MAX: usize = 16;

/// What is not on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    count: usize,
    /// A file on each file system that has files which are not synced.
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

    /// Returns when everything is on the disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        for file in self.waiting.into_values() {
            syncfs(file)?;
        }
        Ok(())
    }
}
