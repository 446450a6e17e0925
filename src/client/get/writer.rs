//! A long file on its way to the disk: past the system's memory, and by a thread of its own, so that the disk works while
//! the processor does. Whoever restores a long file does not read it at once, and others want to keep what they have in
//! memory.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::env::{Stretch, let_go, while_blocked};

/// Bytes that are written at once.
const STRETCH_LEN: usize = 1024 * 1024;
/// So many stretches wait for the disk; whoever brings more waits too.
const WAITING_MAX: usize = 2;
/// Bytes that the system may hold in its memory before they are sent on to the disk.
const HELD_MAX: usize = 8 * 1024 * 1024;

/// Writes to a file, in order, until it was finished or has failed.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What is gathered for the next write.
    stretch: Option<Stretch>,
    /// Where the file goes on.
    at: u64,
    /// None when it has ended.
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    stretches: SyncSender<Stretch>,
    ended: JoinHandle<io::Result<()>>,
}

impl Writer {
    /// Begins to write to `file`, from the offset `at` on.
    pub(crate) fn begin(file: &File, at: u64) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (stretches, waiting) = sync_channel(WAITING_MAX);
        let ended = thread::Builder::new().spawn(move || write_all(&file, waiting))?;
        Ok(Self { stretch: None, at, thread: Some(Thread { stretches, ended }) })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Of this write, or of one before.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let stretch = self.stretch.get_or_insert_with(|| stretch_at(self.at));
            let len = rest.len();
            rest = stretch.take(rest);
            self.at += (len - rest.len()) as u64;
            if stretch.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Goes on `len` bytes further behind.
    ///
    /// # Errors
    /// As [`Writer::write`]; or the file would be too long.
    pub(crate) fn skip(&mut self, len: u64) -> io::Result<()> {
        self.send()?;
        self.at = self.at.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }

    /// Returns when all that was taken is in the file.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.end()
    }

    /// Sends on what is gathered.
    fn send(&mut self) -> io::Result<()> {
        let Some(Thread { stretches, .. }) = &self.thread else {
            return Err(io::Error::other("an earlier write has failed"));
        };
        let Some(stretch) = self.stretch.take() else { return Ok(()) };
        let sent = match stretches.try_send(stretch) {
            Err(TrySendError::Full(stretch)) => while_blocked(|| stretches.send(stretch)).is_ok(),
            sent => sent.is_ok(),
        };
        // Before its time the thread ends only if it has failed.
        if sent { Ok(()) } else { self.end() }
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(Thread { stretches, ended }) = self.thread.take() else { return Ok(()) };
        drop(stretches);
        while_blocked(|| ended.join()).expect("writing does not panic")
    }
}

/// An empty stretch that ends where all stretches end.
fn stretch_at(at: u64) -> Stretch {
    let within = usize::try_from(at % STRETCH_LEN as u64).expect("a stretch lies in memory");
    Stretch::new(at, STRETCH_LEN - within)
}

fn write_all(file: &File, stretches: Receiver<Stretch>) -> io::Result<()> {
    let mut held = 0;
    for stretch in stretches {
        held += stretch.write_to(file)?;
        if held >= HELD_MAX {
            file.sync_data()?;
            let_go(file);
            held = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::env::{distinct_bytes, read_from_storage};

    #[test]
    fn what_is_taken_stands_in_the_file_wherever_it_begins_and_however_it_comes() {
        let all = distinct_bytes(2 * STRETCH_LEN + 10_000);
        for (begin, step) in [(0, all.len()), (0, 1_000), (5_000, STRETCH_LEN), (4_096, 4_096), (1, 77_777)] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            io::Write::write_all(&mut file, &all[..begin]).unwrap();
            let mut writer = Writer::begin(file.as_file(), begin as u64).unwrap();
            all[begin..].chunks(step).for_each(|part| writer.write(part).unwrap());
            writer.finish().unwrap();
            assert!(fs::read(file.path()).unwrap() == all, "{begin}, {step}");
        }
    }

    #[test]
    fn what_is_skipped_is_left_as_it_is() {
        let (file, all) = (tempfile::NamedTempFile::new().unwrap(), distinct_bytes(3 * STRETCH_LEN));
        let mut writer = Writer::begin(file.as_file(), 0).unwrap();
        let (mut at, mut expected) = (0, vec![0; all.len()]);
        for (len, hole) in [(100, 50), (10_000, 3), (0, 5_000), (STRETCH_LEN, 70_000), (STRETCH_LEN / 2, 0)] {
            writer.write(&all[at..at + len]).unwrap();
            expected[at..at + len].copy_from_slice(&all[at..at + len]);
            writer.skip(hole as u64).unwrap();
            at += len + hole;
        }
        assert!(writer.skip(u64::MAX).is_err());
        writer.finish().unwrap();
        assert!(fs::read(file.path()).unwrap() == expected[..at]);
    }

    #[test]
    fn a_long_file_does_not_stay_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::begin(file.as_file(), 0).unwrap();
        writer.write(&distinct_bytes(HELD_MAX)).unwrap();
        writer.finish().unwrap();
        let Some(before) = read_from_storage(file.path()) else { return };
        assert_eq!(fs::read(file.path()).unwrap().len(), HELD_MAX);
        assert!(read_from_storage(file.path()) >= Some(before + HELD_MAX as u64));
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::begin(&full(), 0).unwrap();
        writer.write(b"short").unwrap();
        assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut writer = Writer::begin(&full(), 0).unwrap();
        let told = (0..10).find_map(|_| writer.write(&distinct_bytes(STRETCH_LEN)).err()).unwrap();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        assert!(
            writer.write(&distinct_bytes(STRETCH_LEN)).is_err() && writer.finish().is_err(),
            "nothing is written behind a gap"
        );
    }
}
