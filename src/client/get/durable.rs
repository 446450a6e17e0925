//! Restored files come to the disk before a get says that it is done: a few of them one by one, many of them together;
//! a long one bit by bit, while the rest of it is still fetched.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread::{self, JoinHandle};

use nix::unistd::syncfs;

use crate::env::let_go;

/// So many files are synced each before it gets its name. Of a large tree that would be most of the time, and a crash in
/// the middle of a restore means that it is run again.
const ALONE_MAX: usize = 16;

/// Bytes of a file that are written before they are sent on to the disk. The disk works while the processor does;
/// synced only at its end, a file waited for most of its bytes then.
const AHEAD_MIN: u64 = 8 * 1024 * 1024;

/// Sends what is written of a file to the disk ahead of the sync at its end.
#[derive(Debug, Default)]
pub(crate) struct SyncAhead {
    written: u64,
    under_way: Option<JoinHandle<io::Result<()>>>,
}

impl SyncAhead {
    /// Counts `len` bytes more as written, and begins a sync where they are many.
    ///
    /// # Errors
    /// The last sync failed; the kernel tells it only once.
    pub(crate) fn wrote(&mut self, file: &File, len: u64) -> io::Result<()> {
        self.written += len;
        if self.written < AHEAD_MIN || self.under_way.as_ref().is_some_and(|sync| !sync.is_finished()) {
            return Ok(());
        }
        self.wait()?;
        self.written = 0;
        let file = file.try_clone()?;
        self.under_way = Some(thread::Builder::new().spawn(move || sync_and_let_go(&file))?);
        Ok(())
    }

    /// Returns when no sync is under way.
    ///
    /// # Errors
    /// The last one failed.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        let last = self.under_way.take();
        last.map_or(Ok(()), |sync| sync.join().expect("a sync does not panic"))
    }
}

/// Whoever restores a long file does not read it at once, and others want to keep what they have in memory.
fn sync_and_let_go(file: &File) -> io::Result<()> {
    file.sync_data()?;
    let_go(file);
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::env::read_from_storage;

    #[test]
    fn a_long_file_is_synced_while_it_is_written() {
        let (file, mut ahead) = (tempfile::tempfile().unwrap(), SyncAhead::default());
        ahead.wrote(&file, AHEAD_MIN - 1).unwrap();
        assert!(ahead.under_way.is_none());
        ahead.wrote(&file, 1).unwrap();
        assert!(ahead.under_way.is_some());
        ahead.wait().unwrap();
        ahead.wrote(&file, AHEAD_MIN - 1).unwrap();
        assert!(ahead.under_way.is_none());
    }

    #[test]
    fn a_long_file_does_not_stay_in_memory() {
        let (mut file, mut ahead) = (tempfile::NamedTempFile::new().unwrap(), SyncAhead::default());
        file.write_all(&vec![7; usize::try_from(AHEAD_MIN).unwrap()]).unwrap();
        ahead.wrote(file.as_file(), AHEAD_MIN).unwrap();
        ahead.wait().unwrap();
        let Some(before) = read_from_storage(file.path()) else { return };
        assert_eq!(fs::read(file.path()).unwrap().len() as u64, AHEAD_MIN);
        assert!(read_from_storage(file.path()) >= Some(before + AHEAD_MIN));
    }

    #[test]
    fn a_sync_ahead_that_fails_is_told_at_the_end() {
        // A device without storage behind it cannot be synced.
        let (file, mut ahead) = (File::open("/dev/null").unwrap(), SyncAhead::default());
        ahead.wrote(&file, AHEAD_MIN).unwrap();
        assert!(ahead.wait().is_err());
        assert!(ahead.wait().is_ok(), "once");
    }
}
