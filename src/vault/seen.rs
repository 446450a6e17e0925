//! What was put before, so that a file that did not change is not read again.
//!
//! A file of sorted rows: keyed tags of a path, of how the file stood there (size, times, inode), and of what was read.
//! It holds no name and no secret. Nothing is lost with it: without a row that fits, the file is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::env::file_step;
use crate::types::Tag;
use crate::types::limits::SEEN_FILE_COUNT_MAX;
use crate::vault::{VaultError, files};

/// Goes up whenever a row's meaning changes; a file that begins otherwise counts as empty.
const MAGIC: [u8; PART_LEN] = *b"blobdvm seen v2\n";
/// Bytes of each tag that are kept.
const PART_LEN: usize = 16;
const ROW_LEN: usize = 3 * PART_LEN;
const ROW_BYTES: u64 = ROW_LEN as u64;

type Part = [u8; PART_LEN];
type Row = [u8; ROW_LEN];

/// A file as it was seen: all three are keyed tags, so that they tell nothing to whoever reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenFile {
    /// Where it was.
    pub path: Tag,
    /// Its size, times, inode.
    pub state: Tag,
    /// What was read.
    pub content: Tag,
}

/// The rows as they were when this was opened. May be asked from any thread.
#[derive(Debug)]
pub struct SeenFiles {
    file: Option<File>,
    count: u64,
}

/// Whether a tag of content agrees with the row of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenContent(Part);

impl SeenContent {
    /// True if this is what was read.
    pub fn is(&self, content: &Tag) -> bool {
        self.0 == part(content)
    }
}

impl SeenFiles {
    /// The rows at `path`; none if there are none that can be read.
    pub(super) fn open(path: &Path) -> Self {
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(path)?;
            let mut magic = [0; PART_LEN];
            file.read_exact_at(&mut magic, 0)?;
            let rows_len = file.metadata()?.len() - PART_LEN as u64;
            if magic != MAGIC || !rows_len.is_multiple_of(ROW_BYTES) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok((file, rows_len / ROW_BYTES))
        };
        let (file, count) = open().map_or((None, 0), |(file, count)| (Some(file), count));
        Self { file, count }
    }

    /// What was read of the file at this path, if it stands as it stood then.
    pub fn find(&self, path: &Tag, state: &Tag) -> Option<SeenContent> {
        let wanted = part(path);
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.row(middle)?;
            let (found, rest) = row.split_at(PART_LEN);
            match found.cmp(&wanted[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let (found, content) = rest.split_at(PART_LEN);
                    let content = content.try_into().expect("a row is three parts");
                    return (found == part(state)).then_some(SeenContent(content));
                }
            }
        }
        None
    }

    fn row(&self, index: u64) -> Option<Row> {
        let mut row = [0; ROW_LEN];
        let offset = PART_LEN as u64 + index * ROW_BYTES;
        self.file.as_ref()?.read_exact_at(&mut row, offset).ok()?;
        Some(row)
    }
}

/// Files that were seen in one put, to be remembered at its end.
#[derive(Debug, Default)]
pub struct SeenUpdate {
    rows: BTreeMap<Part, [Part; 2]>,
}

impl SeenUpdate {
    /// Adds a file, in place of what was known at its path.
    pub fn add(&mut self, seen: &SeenFile) {
        self.rows.insert(part(&seen.path), [part(&seen.state), part(&seen.content)]);
    }

    /// Writes the rows at `path` anew: those that are there, and these.
    pub(super) fn merge_into(self, path: &Path) -> Result<(), VaultError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let old = SeenFiles::open(path);
        let failed = |source| VaultError::io("write", path)(source);
        let new = beside(path);
        let merge = || -> io::Result<()> {
            let mut out = BufWriter::new(files::create_private(&new)?);
            out.write_all(&MAGIC)?;
            // Too many are forgotten together: that is rare, and costs no more than reading the files once.
            let count = old.count.min(SEEN_FILE_COUNT_MAX) * u64::from(old.count < SEEN_FILE_COUNT_MAX);
            let mut old_rows = OldRows::new(&old, count)?;
            for (path, [state, content]) in &self.rows {
                old_rows.copy_before(path, &mut out)?;
                out.write_all(path)?;
                out.write_all(state)?;
                out.write_all(content)?;
            }
            old_rows.copy_rest(&mut out)?;
            out.flush()?;
            file_step()?;
            std::fs::rename(&new, path)
        };
        merge().map_err(failed)
    }
}

/// The rows that are there, in order.
struct OldRows<'a> {
    from: Option<BufReader<&'a File>>,
    left: u64,
    next: Option<Row>,
}

impl<'a> OldRows<'a> {
    fn new(old: &'a SeenFiles, count: u64) -> io::Result<Self> {
        let mut from = old.file.as_ref().map(BufReader::new);
        if let Some(from) = &mut from {
            from.read_exact(&mut [0; PART_LEN])?;
        }
        let mut rows = Self { from, left: count, next: None };
        rows.advance()?;
        Ok(rows)
    }

    fn advance(&mut self) -> io::Result<()> {
        self.next = None;
        if let (Some(from), true) = (&mut self.from, self.left > 0) {
            let mut row = [0; ROW_LEN];
            from.read_exact(&mut row)?;
            self.left -= 1;
            self.next = Some(row);
        }
        Ok(())
    }

    /// Copies the rows before `path`, and leaves out the one at `path`.
    fn copy_before(&mut self, path: &Part, out: &mut impl Write) -> io::Result<()> {
        while let Some(row) = self.next.filter(|row| row[..PART_LEN] <= path[..]) {
            if row[..PART_LEN] < path[..] {
                out.write_all(&row)?;
            }
            self.advance()?;
        }
        Ok(())
    }

    fn copy_rest(&mut self, out: &mut impl Write) -> io::Result<()> {
        while let Some(row) = self.next {
            out.write_all(&row)?;
            self.advance()?;
        }
        Ok(())
    }
}

fn part(tag: &Tag) -> Part {
    let (part, _) = tag.as_bytes().split_at(PART_LEN);
    part.try_into().expect("a tag is longer than its part")
}

fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: u8, state: u8) -> SeenFile {
        let tag = |byte| Tag::new([byte; Tag::LEN]);
        SeenFile { path: tag(path), state: tag(state), content: tag(state ^ 0xff) }
    }

    fn remember(path: &Path, files: &[SeenFile]) {
        let mut update = SeenUpdate::default();
        for file in files {
            update.add(file);
        }
        update.merge_into(path).unwrap();
    }

    #[test]
    fn newest_row_of_each_path_is_found_if_the_state_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        remember(&path, &[seen(9, 1), seen(5, 1), seen(7, 1)]);
        remember(&path, &[seen(5, 2), seen(6, 1), seen(255, 1), seen(0, 3)]);
        let rows = SeenFiles::open(&path);
        assert_eq!(rows.count, 6);
        for (file, expected) in [
            (seen(9, 1), true),
            (seen(5, 1), false),
            (seen(5, 2), true),
            (seen(7, 1), true),
            (seen(6, 1), true),
            (seen(255, 1), true),
            (seen(0, 3), true),
            (seen(8, 1), false),
        ] {
            let found = rows.find(&file.path, &file.state);
            assert_eq!(found.is_some_and(|found| found.is(&file.content)), expected, "{file:?}");
            assert!(!found.is_some_and(|found| found.is(&file.path) && file.path != file.content));
        }
    }

    #[test]
    fn damaged_rows_are_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        remember(&path, &[seen(1, 1), seen(2, 2)]);
        let good = std::fs::read(&path).unwrap();
        let mut other = good.clone();
        other[0] ^= 1;
        for bytes in [&good[..good.len() - 1], &good[..5], &[], &other] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(SeenFiles::open(&path).find(&seen(1, 1).path, &seen(1, 1).state), None);
        }
        remember(&path, &[seen(3, 3)]);
        assert_eq!(SeenFiles::open(&path).count, 1);
    }
}
