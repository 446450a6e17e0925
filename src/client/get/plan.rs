//! What a restore will do, before it does anything: each entry, its place, and what is in the way there.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::client::error::ClientError;
use crate::client::get::options::{Destination, GetOptions, Overwrite};
use crate::client::get::select::{Selected, Selection, select};
use crate::format::{Entry, EntryKind, Snapshot};
use crate::vault::Vault;

/// Bytes of the longest path that the system takes, NUL included (Linux: `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4_096;
/// Bytes of the name that a file has while it is written.
const PART_NAME_BYTES: usize = 48;

/// What a restore will do, in order.
#[derive(Debug)]
pub struct Plan {
    /// Each folder before what is in it.
    pub steps: Vec<Step>,
}

/// One entry of a restore.
#[derive(Debug)]
pub struct Step {
    /// Its path in the snapshot.
    pub path: PathBuf,
    /// What is recorded of it.
    pub entry: Entry,
    /// Where it goes.
    pub place: PathBuf,
    /// What is done with it.
    pub action: Action,
    /// Whether it is only on the way to what is wanted: then a folder that is there stays as it is.
    pub is_above: bool,
}

/// What is done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made: there is nothing yet.
    Make,
    /// It takes the place of something else.
    Replace,
    /// A folder that is there is used.
    Merge,
    /// It is there already, as recorded.
    Unchanged,
    /// Something is there, and is left alone.
    Keep,
}

impl Plan {
    /// What `options` ask for, by what is at the destination now. Nothing is changed.
    ///
    /// # Errors
    /// A path that is not in the snapshot, or a destination that cannot be written to as asked.
    pub fn of(snapshot: &Snapshot, options: &GetOptions, vault: &Vault) -> Result<Self, ClientError> {
        let selection = select(&snapshot.root, &options.paths, vault)?;
        let mut plan = match &options.destination {
            Destination::Path(path) => return Self::below(path, selection, options.overwrite),
            Destination::Stdout if !is_one_file(&selection) => {
                let why = "takes a single file: name one of the snapshot's paths";
                return Err(ClientError::Destination { path: PathBuf::from("-"), why });
            }
            Destination::Stdout | Destination::Nowhere => Self { steps: Vec::new() },
        };
        let step = |item: Selected| {
            let (place, action) = (item.path.clone(), Action::Make);
            Step { path: item.path, entry: item.entry, place, action, is_above: false }
        };
        plan.steps = selection.wanted.into_iter().map(step).collect();
        Ok(plan)
    }

    fn below(path: &Path, selection: Selection, overwrite: Overwrite) -> Result<Self, ClientError> {
        let mut looker = Looker { overwrite, folders: BTreeMap::new() };
        let Selection { mut wanted, above, is_single } = selection;
        let is_one = is_single && wanted.len() == 1;
        if let Some(item) = wanted.pop_if(|item| is_one && !is_folder(&item.entry)) {
            let names_a_folder = path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/");
            let name = item.path.file_name().map_or(item.path.as_path(), Path::new);
            let place = if names_a_folder { path.join(name) } else { path.to_owned() };
            return Ok(Self { steps: vec![looker.step(item, place, false)?] });
        }
        if path.exists() && !path.is_dir() {
            let why = "is no folder, and what is to be restored is no single file";
            return Err(ClientError::Destination { path: path.to_owned(), why });
        }
        let above = above.into_iter().map(|item| (item, true));
        let mut items: Vec<_> = above.chain(wanted.into_iter().map(|item| (item, false))).collect();
        items.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        looker.folders.insert(path.to_owned(), if path.is_dir() { Standing::There } else { Standing::New });
        let step = |(item, is_above): (Selected, bool)| {
            let place = path.join(&item.path);
            looker.step(item, place, is_above)
        };
        Ok(Self { steps: items.into_iter().map(step).collect::<Result<_, _>>()? })
    }
}

fn is_one_file(selection: &Selection) -> bool {
    matches!(&selection.wanted[..], [only] if matches!(only.entry.kind, EntryKind::File(_)))
}

fn is_folder(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Dir { .. })
}

/// Looks at what is in the way.
struct Looker {
    overwrite: Overwrite,
    /// Folders that were looked at, by their place. None of them is a link: nothing is looked for, or written, behind a
    /// link that stands where a folder is to be.
    folders: BTreeMap<PathBuf, Standing>,
}

/// How it stands with a folder below the destination.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// It will be made, and is empty then.
    New,
    /// It is there.
    There,
    /// Something else is there, and is left alone.
    Blocked,
}

impl Looker {
    fn step(&mut self, item: Selected, place: PathBuf, is_above: bool) -> Result<Step, ClientError> {
        let parent_len = place.parent().map_or(0, |parent| parent.as_os_str().len());
        if place.as_os_str().len().max(parent_len + PART_NAME_BYTES) >= PATH_BYTES_MAX {
            let why = "is longer than the paths that this system takes";
            return Err(ClientError::Destination { path: place, why });
        }
        let Selected { path, entry } = item;
        let action = self.action(&entry, &place)?;
        if is_folder(&entry) {
            let standing = match action {
                Action::Make | Action::Replace => Standing::New,
                Action::Merge | Action::Unchanged => Standing::There,
                Action::Keep => Standing::Blocked,
            };
            self.folders.insert(place.clone(), standing);
        }
        Ok(Step { path, entry, place, action, is_above })
    }

    fn action(&self, entry: &Entry, place: &Path) -> Result<Action, ClientError> {
        match place.parent().and_then(|parent| self.folders.get(parent)) {
            Some(Standing::New) => return Ok(Action::Make),
            Some(Standing::Blocked) => return Ok(Action::Keep),
            Some(Standing::There) | None => {}
        }
        let found = match place.symlink_metadata() {
            Ok(found) => found,
            // Where a single file goes, the folders above may have to be made.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Action::Make),
            Err(source) => return Err(ClientError::File { path: place.to_owned(), source }),
        };
        match self.overwrite {
            _ if is_folder(entry) && found.is_dir() => Ok(Action::Merge),
            Overwrite::Never => Ok(Action::Keep),
            Overwrite::IfChanged if is_as_recorded(entry, &found, place) => Ok(Action::Unchanged),
            _ if found.is_dir() && !is_empty(place)? => {
                let why = "is a folder with something in it, where the snapshot has no folder";
                Err(ClientError::Destination { path: place.to_owned(), why })
            }
            Overwrite::Always | Overwrite::IfChanged => Ok(Action::Replace),
        }
    }
}

fn is_empty(folder: &Path) -> Result<bool, ClientError> {
    let listed = folder.read_dir().and_then(|mut entries| entries.next().transpose());
    let first = listed.map_err(|source| ClientError::File { path: folder.to_owned(), source })?;
    Ok(first.is_none())
}

/// Whether what is there looks like what is recorded: a file by its length and time, anything else by what it is.
fn is_as_recorded(entry: &Entry, found: &Metadata, place: &Path) -> bool {
    let kind = found.file_type();
    match &entry.kind {
        EntryKind::File(file) => {
            let time = (found.mtime(), found.mtime_nsec());
            kind.is_file() && found.len() == file.len && time == (entry.mtime, i64::from(entry.mtime_nanos))
        }
        EntryKind::Dir { .. } => false,
        EntryKind::Symlink { target } => {
            kind.is_symlink() && place.read_link().is_ok_and(|link| link.as_os_str().as_bytes() == target)
        }
        EntryKind::Fifo => kind.is_fifo(),
        EntryKind::CharDevice { rdev } => kind.is_char_device() && found.rdev() == *rdev,
        EntryKind::BlockDevice { rdev } => kind.is_block_device() && found.rdev() == *rdev,
        EntryKind::Socket => kind.is_socket(),
    }
}
