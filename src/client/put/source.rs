//! The bytes of one file outside its holes, in order; the hash of all of it, holes included.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};

use crate::client::put::window::Window;
use crate::format::Hole;
use crate::types::limits::HOLE_COUNT_MAX;

/// What zeros of holes are hashed from.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// `st_blocks` counts these (stat(2)).
const BLOCK_LEN: u64 = 512;

/// What is read: a file with its holes, or a stream that has none.
pub(crate) struct Source<R> {
    from: R,
    /// Holes that lie ahead, first one last.
    ahead: Vec<Hole>,
    passed: Vec<Hole>,
    position: u64,
    /// Where the file ended when it was looked at; a stream has no end until it is there.
    end: Option<u64>,
    hasher: Sha256,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) len: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) holes: Vec<Hole>,
}

impl<R: Read> Source<R> {
    /// A stream, up to its end.
    pub(crate) fn stream(from: R) -> Self {
        Self { from, ahead: Vec::new(), passed: Vec::new(), position: 0, end: None, hasher: Sha256::new() }
    }

    /// What was read, after the end.
    pub(crate) fn finish(self) -> Whole {
        Whole { len: self.position, sha256: self.hasher.finalize().into(), holes: self.passed }
    }

    /// Reads until `window` is full, or less before the end. True at the end.
    pub(crate) fn fill(
        &mut self,
        window: &mut Window,
        seek: impl Fn(&mut R, u64) -> io::Result<()>,
    ) -> io::Result<bool> {
        loop {
            if let Some(hole) = self.ahead.pop_if(|hole| hole.offset == self.position) {
                self.pass(hole);
                seek(&mut self.from, self.position)?;
            }
            let room = window.room() as u64;
            let stop = self.ahead.last().map(|hole| hole.offset).or(self.end).unwrap_or(u64::MAX);
            let wanted = room.min(stop - self.position);
            if room == 0 || wanted == 0 {
                return Ok(room > 0);
            }
            let read = match window.read(&mut self.from, usize::try_from(wanted).unwrap_or(usize::MAX)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read.is_empty() {
                // It became shorter; holes behind the end are none.
                return Ok(true);
            }
            self.hasher.update(read);
            self.position += read.len() as u64;
        }
    }

    fn pass(&mut self, hole: Hole) {
        let mut left = hole.len;
        while left > 0 {
            let part = left.min(ZEROS.len() as u64);
            self.hasher.update(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
            left -= part;
        }
        self.position += hole.len;
        self.passed.push(hole);
    }
}

impl Source<File> {
    /// A file that was just opened, as long as it is now.
    pub(crate) fn file(from: File, metadata: &Metadata) -> io::Result<Self> {
        // A file of /proc says that it is empty, and is not.
        let end = Some(metadata.len()).filter(|len| *len > 0);
        let mut ahead = holes(&from, metadata)?;
        ahead.reverse();
        let source = Self { ahead, end, ..Self::stream(from) };
        Ok(source)
    }

    /// The file itself.
    pub(crate) fn inner(&self) -> &File {
        &self.from
    }
}

/// Brings a file to a position.
pub(crate) fn seek_file(file: &mut File, position: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(position)).map(drop)
}

/// Where a file has no bytes of its own, as far as its file system tells; leaves the file at its beginning.
fn holes(file: &File, metadata: &Metadata) -> io::Result<Vec<Hole>> {
    let len = metadata.len();
    let mut holes = Vec::new();
    if metadata.blocks().saturating_mul(BLOCK_LEN) >= len {
        return Ok(holes);
    }
    let mut at = 0;
    while at < len && holes.len() < HOLE_COUNT_MAX {
        let Ok(offset) = find(file, at, Whence::SeekHole) else { break };
        if offset >= len || (offset == at && at > 0) {
            break;
        }
        // Behind the last data there is none to be found.
        let end = find(file, offset, Whence::SeekData).unwrap_or(len).min(len);
        if end <= offset {
            break;
        }
        holes.push(Hole { offset, len: end - offset });
        at = end;
    }
    lseek(file, 0, Whence::SeekSet)?;
    Ok(holes)
}

fn find(file: &File, at: u64, whence: Whence) -> io::Result<u64> {
    let at = i64::try_from(at).map_err(io::Error::other)?;
    u64::try_from(lseek(file, at, whence)?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn read(file: File) -> (Vec<u8>, Whole) {
        let metadata = file.metadata().unwrap();
        let mut source = Source::file(file, &metadata).unwrap();
        let (mut all, mut window) = (Vec::new(), Window::new(10_000));
        loop {
            let at_end = source.fill(&mut window, seek_file).unwrap();
            all.extend_from_slice(window.bytes());
            window.clear();
            if at_end {
                break;
            }
        }
        (all, source.finish())
    }

    #[test]
    fn holes_are_passed_and_hashed_as_zeros() {
        const MIB: u64 = 1 << 20;
        for (len, writes) in [
            (0, vec![]),
            (5, vec![(0, 5)]),
            (4 * MIB, vec![]),
            (4 * MIB, vec![(0, 10)]),
            (4 * MIB, vec![(MIB, 3)]),
            (4 * MIB, vec![(4 * MIB - 7, 7)]),
            (4 * MIB + 1, vec![(0, 1), (2 * MIB, 70_000), (4 * MIB, 1)]),
        ] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(len).unwrap();
            for (offset, count) in writes {
                file.write_all_at(&vec![7; count], offset).unwrap();
            }
            let mut expected = vec![0; usize::try_from(len).unwrap()];
            file.read_exact_at(&mut expected, 0).unwrap();
            let (data, whole) = read(file.try_clone().unwrap());
            assert_eq!((whole.len, whole.sha256), (len, Sha256::digest(&expected).into()));
            let mut again = vec![0; expected.len()];
            let (mut from, mut at) = (data.as_slice(), 0);
            for hole in whole.holes.iter().copied().chain([Hole { offset: len, len: 0 }]) {
                let (start, end) = (at, usize::try_from(hole.offset).unwrap());
                let (part, rest) = from.split_at(end - start);
                again[start..end].copy_from_slice(part);
                (from, at) = (rest, end + usize::try_from(hole.len).unwrap());
            }
            assert!(from.is_empty() && again == expected, "{len}");
        }
    }

    #[test]
    fn file_that_became_shorter_ends_where_it_ends() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(&vec![1; 50_000], 0).unwrap();
        let metadata = file.metadata().unwrap();
        let mut source = Source::file(file.try_clone().unwrap(), &metadata).unwrap();
        file.set_len(20_000).unwrap();
        let mut window = Window::new(1 << 20);
        while !source.fill(&mut window, seek_file).unwrap() {}
        let whole = source.finish();
        assert_eq!((whole.len, window.bytes().len(), whole.holes), (20_000, 20_000, Vec::new()));
    }
}
