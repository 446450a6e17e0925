//! A disk in memory that can be made to fail, to fill up, to lie about a sync, and to crash: after a crash it keeps
//! what was synced, and of the rest whatever the seed says, torn writes included.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::store::Disk;

/// What of the unsynced writes a crash leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing: only what was synced is there.
    Lost,
    /// Some of it, as the seed says: names that did or did not make it, contents cut off or with zeros at the end.
    Torn(u64),
}

/// A disk in memory. All of its switches work while a store runs on it.
#[derive(Debug, Default)]
pub struct SimDisk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<FileId, Contents>,
    now: Names,
    safe: Names,
    /// Names that were made, changed or removed since their folder was synced: `now` and `safe` differ in these alone.
    changed: BTreeSet<PathBuf>,
    next_file: FileId,
    op_count: u64,
    sync_count: u64,
    crash_at: Option<u64>,
    fail_at: Option<u64>,
    ignored_sync: Option<u64>,
    capacity: Option<usize>,
    hollow: Option<PathBuf>,
}

type FileId = u64;

/// The folder tree: as a running program sees it, or as a crash would leave it.
#[derive(Debug, Default, Clone)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, FileId>,
}

impl Names {
    /// Makes a folder or a file stand here, or not, as it does there.
    fn copy_one(&mut self, name: &Path, there: &Self) {
        if there.dirs.contains(name) {
            self.dirs.insert(name.to_owned());
        } else {
            self.dirs.remove(name);
        }
        match there.files.get(name) {
            Some(file) => self.files.insert(name.to_owned(), *file),
            None => self.files.remove(name),
        };
    }
}

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    safe: Vec<u8>,
    /// So many bytes of both are the same and were not touched since: no crash takes these.
    kept: usize,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations were asked for so far.
    pub fn op_count(&self) -> u64 {
        self.state().op_count
    }

    /// How many syncs, of files and folders, were asked for so far.
    pub fn sync_count(&self) -> u64 {
        self.state().sync_count
    }

    /// The machine stops in the middle of operation `index` (from 0): it and all after it fail.
    pub fn crash_at(&self, index: u64) {
        self.state().crash_at = Some(index);
    }

    /// Operation `index` (from 0) fails with an I/O error; those after it work.
    pub fn fail_at(&self, index: u64) {
        self.state().fail_at = Some(index);
    }

    /// Sync `index` (from 0) does nothing and says that it worked.
    pub fn ignore_sync(&self, index: u64) {
        self.state().ignored_sync = Some(index);
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        self.state().capacity = capacity;
    }

    /// From now on nothing of what is written below `folder` is kept, although every operation says that it worked.
    pub fn set_hollow(&self, folder: Option<PathBuf>) {
        self.state().hollow = folder;
    }

    /// Changes the contents of a file behind the store's back, as bit rot does.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn corrupt(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = *state.now.files.get(path.as_ref()).expect("the file to corrupt is there");
        let contents = state.files.get_mut(&id).expect("a name stands for a file");
        change(&mut contents.now);
        contents.safe.clone_from(&contents.now);
        contents.kept = contents.safe.len();
    }

    /// The contents of a file, without an operation being counted; `None` if there is no such file.
    pub fn peek(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        state.now.files.get(path.as_ref()).map(|id| state.files[id].now.clone())
    }

    /// Every file that is there now.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().now.files.keys().cloned().collect()
    }

    /// The disk as the machine finds it when it starts again, without faults.
    #[must_use]
    pub fn restart(&self, unsynced: Unsynced) -> Self {
        let state = self.state();
        let mut rng = match unsynced {
            Unsynced::Lost => None,
            Unsynced::Torn(seed) => Some(StdRng::seed_from_u64(seed)),
        };
        let names = surviving_names(&state, rng.as_mut());
        let mut files = BTreeMap::new();
        for id in names.files.values() {
            let left = surviving_contents(&state.files[id], rng.as_mut());
            files.insert(*id, Contents { now: left.clone(), kept: left.len(), safe: left });
        }
        let next_file = state.next_file;
        Self(Mutex::new(State { files, now: names.clone(), safe: names, next_file, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name outlives the crash if its folder does.
fn surviving_names(state: &State, mut rng: Option<&mut StdRng>) -> Names {
    let mut made_it = || rng.as_mut().is_some_and(|rng| rng.random_bool(0.5));
    let mut left = Names::default();
    for dir in state.now.dirs.union(&state.safe.dirs) {
        let parent = dir.parent().unwrap_or(Path::new(""));
        let parent_left = parent == Path::new("") || left.dirs.contains(parent);
        if parent_left && (state.safe.dirs.contains(dir) || made_it()) {
            left.dirs.insert(dir.clone());
        }
    }
    let paths: BTreeSet<_> = state.now.files.keys().chain(state.safe.files.keys()).collect();
    for path in paths {
        let parent = path.parent().unwrap_or(Path::new(""));
        let (now, safe) = (state.now.files.get(path), state.safe.files.get(path));
        let file = if now == safe || !made_it() { safe } else { now };
        if let Some(file) = file
            && (parent == Path::new("") || left.dirs.contains(parent))
        {
            left.files.insert(path.clone(), *file);
        }
    }
    left
}

fn surviving_contents(contents: &Contents, rng: Option<&mut StdRng>) -> Vec<u8> {
    let Some(rng) = rng else { return contents.safe.clone() };
    let kept = contents.kept;
    if kept < contents.safe.len() && rng.random_bool(0.3) {
        return contents.safe.clone();
    }
    let mut left = contents.now[..rng.random_range(kept..=contents.now.len())].to_vec();
    if rng.random_bool(0.3) {
        // The length made it to the disk, the last bytes did not.
        let zeros_from = rng.random_range(kept..=left.len());
        left[zeros_from..].fill(0);
    }
    left
}

impl State {
    /// Counts an operation; an error if it fails before it did anything.
    fn begin(&mut self) -> io::Result<()> {
        let index = self.op_count;
        self.op_count += 1;
        if self.crash_at.is_some_and(|at| index > at) {
            return Err(io::Error::other("the machine has crashed"));
        }
        if self.fail_at == Some(index) {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }

    /// An error if the machine stopped in the operation that was begun last; what it did may or may not be safe.
    fn end(&self) -> io::Result<()> {
        if self.crash_at.is_some_and(|at| self.op_count > at) {
            return Err(io::Error::other("the machine crashed"));
        }
        Ok(())
    }

    /// Whether the sync that was begun is to do something. In the moment of a crash it does not.
    fn sync_works(&mut self) -> io::Result<bool> {
        self.end()?;
        let index = self.sync_count;
        self.sync_count += 1;
        Ok(self.ignored_sync != Some(index))
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut Contents> {
        let id = self.now.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.files.get_mut(id).expect("a name stands for a file"))
    }

    fn make_file(&mut self, path: &Path) -> io::Result<&mut Contents> {
        if !self.now.files.contains_key(path) {
            let parent = path.parent().unwrap_or(Path::new(""));
            if parent != Path::new("") && !self.now.dirs.contains(parent) {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.files.insert(self.next_file, Contents::default());
            self.now.files.insert(path.to_owned(), self.next_file);
            self.changed.insert(path.to_owned());
            self.next_file += 1;
        }
        self.file(path)
    }

    /// How many of `len` more bytes there is room for.
    fn room(&self, len: usize) -> usize {
        let Some(capacity) = self.capacity else { return len };
        let used: usize = self.now.files.values().map(|id| self.files[id].now.len()).sum();
        len.min(capacity.saturating_sub(used))
    }

    fn write_at_end(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.hollow.as_ref().is_some_and(|folder| path.starts_with(folder)) {
            return self.make_file(path).map(|_kept_empty| ());
        }
        let room = self.room(bytes.len());
        self.make_file(path)?.now.extend_from_slice(&bytes[..room]);
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.now.dirs.insert(path.to_owned());
        state.changed.insert(path.to_owned());
        state.end()
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let contents = state.make_file(path)?;
        contents.now.clear();
        contents.kept = 0;
        state.write_at_end(path, bytes)?;
        state.end()
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.write_at_end(path, bytes)?;
        state.end()
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let contents = state.file(path)?;
        contents.now.truncate(len);
        contents.kept = contents.kept.min(len);
        state.end()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.sync_works()? {
            let contents = state.file(path)?;
            contents.safe.clone_from(&contents.now);
            contents.kept = contents.safe.len();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let id = state.now.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.now.files.insert(to.to_owned(), id);
        state.changed.extend([from.to_owned(), to.to_owned()]);
        state.end()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.sync_works()? {
            let State { now, safe, changed, .. } = &mut *state;
            changed.retain(|name| {
                let is_inside = name.parent() == Some(path);
                if is_inside {
                    safe.copy_one(name, now);
                }
                !is_inside
            });
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let mut state = self.state();
        state.begin()?;
        state.end()?;
        Ok(state.file(path)?.now.clone().into())
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.begin()?;
        state.end()?;
        let bytes = &state.file(path)?.now;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[offset..offset.saturating_add(len).min(bytes.len())].to_vec())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.now.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.changed.insert(path.to_owned());
        state.end()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin()?;
        state.end()?;
        let entries = state.now.dirs.iter().chain(state.now.files.keys());
        let names =
            entries.filter(|entry| entry.parent() == Some(path)).filter_map(|entry| entry.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }
}
