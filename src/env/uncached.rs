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

/// What addresses, offsets and lengths are multiples of, in bytes. Most disks take less; where one wants more the common
/// way is gone.
const BLOCK_LEN: usize = 4096;
/// Shorter stretches go the common way: the system gathers them.
const UNCACHED_LEN_MIN: usize = 64 * 1024;
/// Bytes of a new file that lie in memory a second time while they are written.
const STRETCH_LEN: usize = 512 * 1024;
/// How file systems say that they cannot do this, or not so.
const REFUSALS: [Option<i32>; 2] = [Some(Errno::EINVAL as i32), Some(Errno::EOPNOTSUPP as i32)];

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

    /// Writes them. How many of them the system holds in its memory now.
    ///
    /// # Errors
    /// As of any write; it is not known then which of them were written.
    pub fn write_to(&self, file: &File) -> io::Result<usize> {
        let bytes = &self.bytes[self.start..];
        let to_block = (BLOCK_LEN - within_block(self.offset)) % BLOCK_LEN;
        let (before, rest) = bytes.split_at(to_block.min(bytes.len()));
        let (blocks, behind) = rest.split_at(rest.len() / BLOCK_LEN * BLOCK_LEN);
        let offset = self.offset + before.len() as u64;
        if blocks.len() < UNCACHED_LEN_MIN || !write_blocks(file, blocks, offset)? {
            file.write_all_at(bytes, self.offset)?;
            return Ok(bytes.len());
        }
        file.write_all_at(before, self.offset)?;
        file.write_all_at(behind, offset + blocks.len() as u64)?;
        Ok(before.len() + behind.len())
    }
}

/// Writes what is all of a new file. It need not be safe when this returns.
///
/// # Errors
/// As of any write, and of a sync.
pub fn write_uncached(file: &File, bytes: &[u8]) -> io::Result<()> {
    let (mut rest, mut held) = (bytes, 0);
    while !rest.is_empty() {
        let mut stretch = Stretch::new((bytes.len() - rest.len()) as u64, STRETCH_LEN.min(rest.len()));
        rest = stretch.take(rest);
        held += stretch.write_to(file)?;
    }
    if held >= UNCACHED_LEN_MIN {
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
    let mut read = read_blocks(file, blocks)?;
    if read < len {
        read = read_all(file, blocks, read, |_| true)?;
        let_go(file);
    }
    Ok(Bytes::from(bytes).slice(start..start + read.min(len)))
}

/// Writes whole blocks past the system's memory. False if that cannot be done here.
fn write_blocks(file: &File, blocks: &[u8], offset: u64) -> io::Result<bool> {
    if !set_uncached(file, true) {
        return Ok(false);
    }
    let written = file.write_all_at(blocks, offset);
    set_uncached(file, false);
    Ok(unless_refused(written)?.is_some())
}

/// Reads whole blocks past the system's memory. How many bytes: none if that cannot be done here, and a part of them where
/// the file ends or a read was cut short.
fn read_blocks(file: &File, blocks: &mut [u8]) -> io::Result<usize> {
    if !set_uncached(file, true) {
        return Ok(0);
    }
    // The next read would not begin with a block.
    let read = read_all(file, blocks, 0, |at| at.is_multiple_of(BLOCK_LEN));
    set_uncached(file, false);
    Ok(unless_refused(read)?.unwrap_or(0))
}

/// Reads from `at` on until there is nothing more, or no room, or no reason to `go_on`; where that is.
fn read_all(file: &File, room: &mut [u8], at: usize, go_on: impl Fn(usize) -> bool) -> io::Result<usize> {
    let mut at = at;
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
        Err(error) if REFUSALS.contains(&error.raw_os_error()) => Ok(None),
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

/// `len` bytes that differ from block to block.
#[cfg(test)]
pub(crate) fn distinct_bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at ^ (at >> 12)) % 251).to_le_bytes()[0]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::{NamedTempFile, tempdir};

    use super::*;
    use crate::env::page_cache::read_from_storage;

    const LENGTHS: [usize; 9] =
        [0, 1, 4_095, 4_096, 65_536, 524_288, 524_320, 700_000, 2 * STRETCH_LEN + 5_000];

    fn written(folder: &Path, bytes: &[u8]) -> NamedTempFile {
        let file = NamedTempFile::new_in(folder).unwrap();
        write_uncached(file.as_file(), bytes).unwrap();
        file
    }

    fn is_uncached(file: &File) -> bool {
        OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_DIRECT)
    }

    #[test]
    fn what_was_written_is_read_whatever_its_length_and_wherever_it_lies() {
        // The second is in memory, where there is nothing to pass by.
        let folders = [tempdir().unwrap().keep(), Path::new("/dev/shm").to_owned()];
        for folder in folders.iter().filter(|folder| folder.exists()) {
            for len in LENGTHS {
                let (file, bytes) = (written(folder, &distinct_bytes(len)), distinct_bytes(len));
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
        let file = written(folder.path(), &distinct_bytes(10_000));
        assert!(read_uncached(&file.reopen().unwrap(), 700_000).unwrap() == distinct_bytes(10_000));
    }

    #[test]
    fn what_was_written_and_read_is_not_in_memory() {
        let folder = tempdir().unwrap();
        for len in [524_288, 524_320] {
            let file = written(folder.path(), &distinct_bytes(len));
            let Some(before) = read_from_storage(folder.path()) else { return };
            for time in 1..=2 {
                read_uncached(&file.reopen().unwrap(), len).unwrap();
                let after = read_from_storage(folder.path()).unwrap();
                assert!(after >= before + time * 524_288, "{len} bytes, {time}");
            }
        }
    }

    #[test]
    fn where_no_other_way_is_known_the_common_one_is_gone() {
        let device = |path| fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        assert!(read_uncached(&device("/dev/zero"), 10_000).unwrap() == vec![0; 10_000]);
        let mut stretch = Stretch::new(1, 200_000);
        stretch.take(&distinct_bytes(200_000));
        assert_eq!(stretch.write_to(&device("/dev/null")).unwrap(), 200_000, "all of it counts as held");
    }

    #[test]
    fn what_a_file_system_refuses_goes_the_common_way() {
        let folder = tempdir().unwrap();
        let file = written(folder.path(), &distinct_bytes(300_000));
        let (mut room, mut odd) = (vec![0; 200_000], Stretch::new(0, 200_000));
        odd.take(&distinct_bytes(200_000));
        let is_odd = |bytes: &[u8]| bytes.as_ptr().align_offset(BLOCK_LEN) != 0;
        let at = usize::from(!is_odd(&room));
        let (from, to) = (&odd.bytes[odd.start + 1..], &mut room[at..]);
        assert!(is_odd(from) && is_odd(to));
        let (wrote, read) = (write_blocks(file.as_file(), from, 0), read_blocks(file.as_file(), to));
        if read_from_storage(folder.path()).is_some() {
            assert_eq!((wrote.unwrap(), read.unwrap()), (false, 0));
        }
        assert!(!is_uncached(file.as_file()));
        assert!(fs::read(file.path()).unwrap()[200_000..] == distinct_bytes(300_000)[200_000..]);
    }

    #[test]
    fn the_next_writes_of_others_are_as_always() {
        let folder = tempdir().unwrap();
        let mut file = written(folder.path(), &distinct_bytes(524_288));
        assert!(!is_uncached(file.as_file()));
        assert_eq!(io::Write::write(&mut file, b"odd").unwrap(), 3);
    }

    #[test]
    fn what_cannot_be_written_or_read_is_told() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write_uncached(&full, &distinct_bytes(8_192)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(read_uncached(&full, 8_192).is_err());
    }
}
