//! Files that pass by the memory in which the system holds the contents of others: what is written now and read years
//! later, or never, need not be copied there first, nor take the place of what is read every day (`O_DIRECT` in open(2)).
//!
//! A disk takes whole blocks, from addresses that suit it; what stands before the first and behind the last goes the
//! common way. So does everything where the file system knows no other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::env::page_cache::let_go;

/// What addresses, offsets and lengths are multiples of, in bytes. Most disks take less; none wants more.
const BLOCK_LEN: usize = 4096;

/// Bytes that go to an offset of a file. They lie in memory as they will lie in the blocks of a disk.
#[derive(Debug)]
pub struct Stretch {
    bytes: Vec<u8>,
    start: usize,
    room: usize,
    offset: u64,
}

impl Stretch {
    /// No bytes yet, and room for `len_max` from `offset` on.
    pub fn new(offset: u64, len_max: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(len_max + 2 * BLOCK_LEN);
        let start = bytes.as_ptr().align_offset(BLOCK_LEN) + within_block(offset);
        bytes.resize(start, 0);
        Self { bytes, start, room: len_max, offset }
    }

    /// Takes what there is room for. The rest is given back.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.room));
        self.bytes.extend_from_slice(taken);
        self.room -= taken.len();
        rest
    }

    /// True if there is no room for more.
    pub fn is_full(&self) -> bool {
        self.room == 0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes them. Whether all have passed by the system's memory.
    ///
    /// # Errors
    /// As of any write; it is not known then which of them were written.
    pub fn write_to(&self, file: &File) -> io::Result<bool> {
        let bytes = &self.bytes[self.start..];
        let to_block = (BLOCK_LEN - within_block(self.offset)) % BLOCK_LEN;
        let (before, rest) = bytes.split_at(to_block.min(bytes.len()));
        let (blocks, behind) = rest.split_at(rest.len() / BLOCK_LEN * BLOCK_LEN);
        let offset = self.offset + before.len() as u64;
        let passed_by = write_blocks(file, blocks, offset)?;
        if !passed_by {
            file.write_all_at(blocks, offset)?;
        }
        file.write_all_at(before, self.offset)?;
        file.write_all_at(behind, offset + blocks.len() as u64)?;
        Ok(passed_by && before.is_empty() && behind.is_empty())
    }
}

/// Writes what is all of a new file. It need not be safe when this returns.
///
/// # Errors
/// As of any write, and of a sync.
pub fn write_uncached(file: &File, bytes: &[u8]) -> io::Result<()> {
    let mut stretch = Stretch::new(0, bytes.len());
    stretch.take(bytes);
    if !stretch.write_to(file)? {
        // Only what is safe can be let go of.
        file.sync_data()?;
        let_go(file);
    }
    Ok(())
}

/// Reads a file of `len` bytes; what was added to it meanwhile is left out.
///
/// # Errors
/// As of any read.
pub fn read_uncached(file: &File, len: usize) -> io::Result<Bytes> {
    let room = len.next_multiple_of(BLOCK_LEN);
    // Not as zeroed memory: for that the allocator gives pages back, and the system finds and clears new ones.
    let mut bytes: Vec<u8> = Vec::with_capacity(room + BLOCK_LEN);
    let start = bytes.as_ptr().align_offset(BLOCK_LEN);
    bytes.resize(start + room, 0);
    let blocks = &mut bytes[start..];
    let read = match read_blocks(file, blocks)? {
        Some(read) => read,
        None => {
            let read = read_all(file, blocks, |_| true)?;
            let_go(file);
            read
        }
    };
    Ok(Bytes::from(bytes).slice(start..start + read.min(len)))
}

/// Writes whole blocks past the system's memory. False if that cannot be done here.
fn write_blocks(file: &File, blocks: &[u8], offset: u64) -> io::Result<bool> {
    if !set_uncached(file, true) {
        return Ok(false);
    }
    let written = unless_refused(file.write_all_at(blocks, offset))?;
    set_uncached(file, false);
    Ok(written.is_some())
}

/// Reads whole blocks past the system's memory, and the last one as far as it goes. `None` if that cannot be done here.
fn read_blocks(file: &File, blocks: &mut [u8]) -> io::Result<Option<usize>> {
    if !set_uncached(file, true) {
        return Ok(None);
    }
    // Behind a part of a block there is nothing.
    let read = unless_refused(read_all(file, blocks, |read| read.is_multiple_of(BLOCK_LEN)))?;
    set_uncached(file, false);
    Ok(read)
}

/// Reads until there is nothing more, or no room, or no reason to `go_on` after so many bytes; how many there were.
fn read_all(file: &File, room: &mut [u8], go_on: impl Fn(usize) -> bool) -> io::Result<usize> {
    let mut at = 0;
    while at < room.len() && go_on(at) {
        match file.read_at(&mut room[at..], at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// `None` where a file system does not take what was asked for in this way.
fn unless_refused<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(None),
        done => done.map(Some),
    }
}

/// Has what is written and read next pass by the system's memory, or not. False if the file system cannot do that.
fn set_uncached(file: &File, is_uncached: bool) -> bool {
    let Ok(flags) = fcntl(file, FcntlArg::F_GETFL) else { return false };
    let mut flags = OFlag::from_bits_retain(flags);
    flags.set(OFlag::O_DIRECT, is_uncached);
    fcntl(file, FcntlArg::F_SETFL(flags)).is_ok()
}

fn within_block(offset: u64) -> usize {
    usize::try_from(offset % BLOCK_LEN as u64).expect("a block lies in memory")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::{NamedTempFile, tempdir};

    use super::*;
    use crate::env::page_cache::read_from_storage;

    const LENGTHS: [usize; 8] = [0, 1, 4_095, 4_096, 4_097, 524_288, 524_320, 700_000];

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| ((at ^ (at >> 12)) % 251).to_le_bytes()[0]).collect()
    }

    fn written(folder: &Path, bytes: &[u8]) -> NamedTempFile {
        let file = NamedTempFile::new_in(folder).unwrap();
        write_uncached(file.as_file(), bytes).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_read_whatever_its_length_and_wherever_it_lies() {
        // The second is in memory, where there is nothing to pass by.
        let folders = [tempdir().unwrap().keep(), Path::new("/dev/shm").to_owned()];
        for folder in folders.iter().filter(|folder| folder.exists()) {
            for len in LENGTHS {
                let (file, bytes) = (written(folder, &bytes(len)), bytes(len));
                assert!(fs::read(file.path()).unwrap() == bytes, "{len} bytes written");
                assert!(read_uncached(&file.reopen().unwrap(), len).unwrap() == bytes, "{len} bytes read");
                let shorter = read_uncached(&file.reopen().unwrap(), len / 2).unwrap();
                assert!(shorter == bytes[..len / 2], "half of {len} bytes read");
            }
        }
        fs::remove_dir(&folders[0]).unwrap();
    }

    #[test]
    fn a_file_that_has_become_shorter_is_read_to_its_end() {
        let folder = tempdir().unwrap();
        let file = written(folder.path(), &bytes(10_000));
        assert!(read_uncached(&file.reopen().unwrap(), 700_000).unwrap() == bytes(10_000));
    }

    #[test]
    fn what_was_written_and_read_is_not_in_memory() {
        let folder = tempdir().unwrap();
        for len in [524_288, 524_320] {
            let file = written(folder.path(), &bytes(len));
            let Some(before) = read_from_storage(folder.path()) else { return };
            for time in 1..=2 {
                read_uncached(&file.reopen().unwrap(), len).unwrap();
                let after = read_from_storage(folder.path()).unwrap();
                assert!(after >= before + time * 524_288, "{len} bytes, {time}");
            }
        }
    }

    #[test]
    fn the_next_writes_of_others_are_as_always() {
        let folder = tempdir().unwrap();
        let mut file = written(folder.path(), &bytes(4_096));
        assert_eq!(io::Write::write(&mut file, b"odd").unwrap(), 3, "{:?}", file.path());
    }

    #[test]
    fn what_cannot_be_written_or_read_is_told() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write_uncached(&full, &bytes(8_192)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(read_uncached(&full, 8_192).is_err());
    }
}
