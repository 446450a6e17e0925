//! The file that bytes go to before it gets its name. That of a large file has a name by which the next get finds it
//! again, and stays where it is should this one be cut off; any other vanishes unless it gets its name.
//!
//! Whoever writes to a part that is kept holds a lock on it. A second get to the same place takes a part of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::client::get::checked::Sink;
use crate::client::get::writer::Writer;
use crate::format::File as Recorded;

/// Shorter files are fetched again: there is only one under way at a time.
pub(crate) const KEPT_LEN_MIN: u64 = 4 * 1024 * 1024;
/// What all parts are called.
const PREFIX: &str = ".blobdvm-";
const SUFFIX: &str = ".part";
/// Mode of a file that is not whole: its contents are nobody else's business before it has its own mode.
const MODE: u32 = 0o600;

/// A file that does not have its name yet.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: File,
    path: PathBuf,
    fate: Fate,
    writing: Writing,
}

/// How bytes come into a part.
#[derive(Debug)]
enum Writing {
    /// At once: the file is short.
    AtOnce,
    /// From this offset on, when the first of them come.
    Later(u64),
    /// By a thread.
    Begun(Writer),
    /// All are there.
    Finished,
}

/// What becomes of a part that does not get its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Vanishes,
    /// It stays, if there is anything in it.
    Stays,
    /// It has its name.
    Named,
}

impl PartFile {
    /// An empty part of what was `recorded` and goes to `place`.
    pub(crate) fn create(place: &Path, recorded: &Recorded) -> io::Result<Self> {
        if recorded.len >= KEPT_LEN_MIN
            && let Some(mut part) = Self::open(kept_path(place, recorded), OpenOptions::new().create(true))
        {
            part.cut(0)?;
            return Ok(part);
        }
        let make = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let (file, path) = beside(place, make)?.keep().map_err(|error| error.error)?;
        let writing = if recorded.len < KEPT_LEN_MIN { Writing::AtOnce } else { Writing::Later(0) };
        Ok(Self { file, path, fate: Fate::Vanishes, writing })
    }

    /// The part that an earlier get has left.
    pub(crate) fn left(place: &Path, file: &Recorded) -> Option<Self> {
        if file.len < KEPT_LEN_MIN {
            return None;
        }
        Self::open(kept_path(place, file), &mut OpenOptions::new())
    }

    /// Opens a part that is kept, unless another get has it, or it is not what a get of this user has made.
    fn open(path: PathBuf, options: &mut OpenOptions) -> Option<Self> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let options = options.read(true).write(true).mode(MODE).custom_flags(flags.bits());
        let file = options.open(&path).ok()?;
        file.try_lock().ok()?;
        let (found, named) = (file.metadata().ok()?, path.symlink_metadata().ok()?);
        let is_ours = found.is_file() && found.nlink() == 1 && found.uid() == nix::unistd::geteuid().as_raw();
        // Whoever had it until now may have given it its name.
        let is_there = (found.dev(), found.ino()) == (named.dev(), named.ino());
        (is_ours && is_there).then_some(Self { file, path, fate: Fate::Stays, writing: Writing::Later(0) })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts a part that is kept off behind its first `len` bytes, where writing goes on.
    pub(crate) fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.writing = Writing::Later(len);
        Ok(())
    }

    /// Returns when everything is in the file; where that stays when it does not get its name, also on the disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Writing::Begun(writer) = mem::replace(&mut self.writing, Writing::Finished) {
            writer.finish()?;
        }
        // With its own mode and owner it could not be gone on with: that must not take long.
        if self.fate == Fate::Stays { self.file.sync_data() } else { Ok(()) }
    }

    /// The writer of a long file, which begins now if it has not; none of a short one.
    fn writer(&mut self) -> io::Result<Option<&mut Writer>> {
        if let Writing::Later(at) = self.writing {
            self.writing = Writing::Begun(Writer::begin(&self.file, at)?);
        }
        match &mut self.writing {
            Writing::Begun(writer) => Ok(Some(writer)),
            Writing::AtOnce => Ok(None),
            Writing::Later(_) | Writing::Finished => Err(io::Error::other("the file is finished")),
        }
    }

    /// Gives it its name.
    ///
    /// # Panics
    /// If it was not finished.
    pub(crate) fn name(mut self, place: &Path) -> io::Result<()> {
        assert!(matches!(self.writing, Writing::Finished), "nothing gets its name before it is whole");
        fs::rename(&self.path, place)?;
        self.fate = Fate::Named;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        let writing = mem::replace(&mut self.writing, Writing::Finished);
        if let (Fate::Stays, Writing::Begun(writer)) = (self.fate, writing) {
            // As far as it got: the next get goes on from there.
            let _ = writer.finish();
        }
        let is_empty = || self.file.metadata().is_ok_and(|found| found.len() == 0);
        if self.fate == Fate::Vanishes || (self.fate == Fate::Stays && is_empty()) {
            // What cannot be removed is found by its name later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.writer()? {
            Some(writer) => writer.write(bytes).map(|()| bytes.len()),
            None => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for PartFile {
    fn skip(&mut self, len: u64) -> io::Result<()> {
        if let Some(writer) = self.writer()? {
            return writer.skip(len);
        }
        let too_far = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        self.file.seek(SeekFrom::Current(i64::try_from(len).map_err(too_far)?)).map(drop)
    }

    fn spoil(&mut self) {
        self.fate = Fate::Vanishes;
    }
}

/// Something beside `place` that vanishes unless it gets its name.
pub(crate) fn beside<F>(
    place: &Path,
    make: impl FnMut(&Path) -> io::Result<F>,
) -> io::Result<NamedTempFile<F>> {
    tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).make_in(folder_of(place), make)
}

/// Removes what earlier gets have left of files that are there by now, given by their places. One that another get is
/// writing to stays.
pub(crate) fn remove_left_over<'a>(places: impl Iterator<Item = &'a Path>) {
    let mut folders: BTreeMap<&Path, BTreeSet<String>> = BTreeMap::new();
    for place in places {
        folders.entry(folder_of(place)).or_default().insert(beginning(place));
    }
    for (folder, beginnings) in folders {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.ends_with(SUFFIX)) else { continue };
            if beginnings.iter().any(|beginning| name.starts_with(beginning))
                && let Some(mut part) = PartFile::open(entry.path(), &mut OpenOptions::new())
            {
                part.spoil();
            }
        }
    }
}

/// Where the part of a file is: beside its place, under a name that says whether it is the same file's.
fn kept_path(place: &Path, file: &Recorded) -> PathBuf {
    let content = Sha256::new().chain_update(file.len.to_le_bytes()).chain_update(file.sha256).finalize();
    folder_of(place).join(format!("{}{}{SUFFIX}", beginning(place), hex::encode(&content[..8])))
}

/// How the names of all parts begin that belong to one place.
fn beginning(place: &Path) -> String {
    let name = Sha256::digest(place.file_name().unwrap_or_default().as_bytes());
    format!("{PREFIX}{}-", hex::encode(&name[..4]))
}

/// The folder that a place is in.
pub(crate) fn folder_of(place: &Path) -> &Path {
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::format::Refs;

    fn recorded(number: u8) -> Recorded {
        let content = Refs::Direct(Vec::new());
        Recorded { len: KEPT_LEN_MIN, sha256: [number; 32], holes: Vec::new(), content }
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_was_written_is_found_again_for_the_same_file_at_the_same_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("image");
        assert!(PartFile::left(&place, &recorded(1)).is_none());
        let mut part = PartFile::create(&place, &recorded(1)).unwrap();
        part.write_all(b"half").unwrap();
        drop(part);
        assert!(PartFile::left(&place, &recorded(2)).is_none());
        assert!(PartFile::left(&folder.path().join("other"), &recorded(1)).is_none());
        let mut part = PartFile::left(&place, &recorded(1)).unwrap();
        assert_eq!(fs::read(part.path()).unwrap(), b"half");
        part.finish().unwrap();
        part.name(&place).unwrap();
        assert_eq!(names(folder.path()), [place]);
    }

    #[test]
    fn a_part_of_a_small_file_an_empty_one_and_a_spoilt_one_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let mut small = PartFile::create(&place, &Recorded { len: KEPT_LEN_MIN - 1, ..recorded(1) }).unwrap();
        small.write_all(b"some").unwrap();
        let empty = PartFile::create(&place, &recorded(2)).unwrap();
        let mut spoilt = PartFile::create(&place, &recorded(3)).unwrap();
        spoilt.write_all(b"some").unwrap();
        spoilt.spoil();
        assert_eq!(names(folder.path()).len(), 3);
        drop((small, empty, spoilt));
        assert_eq!(names(folder.path()).len(), 0);
    }

    #[test]
    fn two_gets_to_one_place_write_to_different_parts() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let mut first = PartFile::create(&place, &recorded(1)).unwrap();
        first.write_all(b"first").unwrap();
        assert!(PartFile::left(&place, &recorded(1)).is_none());
        let mut second = PartFile::create(&place, &recorded(1)).unwrap();
        second.write_all(b"second").unwrap();
        first.finish().unwrap();
        second.finish().unwrap();
        assert_eq!(fs::read(first.path()).unwrap(), b"first");
        first.name(&place).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"first");
        second.name(&place).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"second");
        assert_eq!(names(folder.path()), [place]);
    }

    #[test]
    fn what_somebody_else_may_have_put_there_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let path = kept_path(&place, &recorded(1));
        let other = folder.path().join("precious");
        fs::write(&other, "precious").unwrap();
        for plant in
            [|from: &Path, to: &Path| symlink(from, to), |from: &Path, to: &Path| fs::hard_link(from, to)]
        {
            plant(&other, &path).unwrap();
            assert!(PartFile::left(&place, &recorded(1)).is_none());
            let part = PartFile::create(&place, &recorded(1)).unwrap();
            assert_ne!(part.path(), path);
            drop(part);
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir(&path).unwrap();
        assert!(PartFile::left(&place, &recorded(1)).is_none());
        assert_eq!(fs::read(&other).unwrap(), b"precious");
    }

    #[test]
    fn parts_that_nobody_needs_any_more_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let leave = |place: &Path, number| {
            let mut part = PartFile::create(place, &recorded(number)).unwrap();
            part.write_all(b"half").unwrap();
            part
        };
        drop((leave(&place, 1), leave(&place, 2)));
        let in_use = leave(&place, 3);
        let other = leave(&folder.path().join("other"), 1);
        let other_path = other.path().to_owned();
        drop(other);
        remove_left_over([place.as_path()].into_iter());
        let mut expected = vec![in_use.path().to_owned(), other_path];
        let mut found = names(folder.path());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}
