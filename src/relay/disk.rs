//! One file for each kept event: its JSON, as it came.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::options::RelayError;
use super::storage::{ADDRESS, ORDINARY};
use crate::types::limits::STORED_EVENT_LEN_MAX;

/// How names of files that are not finished end.
const UNFINISHED: &str = ".new";

/// The folder of kept events.
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Opens the folder, which is made if it is not there.
    pub(super) fn open(folder: PathBuf) -> Result<Self, RelayError> {
        fs::create_dir_all(&folder).map_err(store_error(&folder))?;
        Ok(Self { folder })
    }

    /// All events of the folder, by name. What a crash left unfinished is removed; what was never written here is not touched.
    pub(super) fn load(&self) -> Result<Vec<(String, Bytes)>, RelayError> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(store_error(&self.folder))? {
            let path = file.map_err(store_error(&self.folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_ours = name.starts_with(ORDINARY) || name.starts_with(ADDRESS);
            let metadata = path.symlink_metadata().map_err(store_error(&path))?;
            if !is_ours || !metadata.is_file() {
                continue;
            }
            if name.ends_with(UNFINISHED) {
                fs::remove_file(&path).map_err(store_error(&path))?;
            } else if metadata.len() <= STORED_EVENT_LEN_MAX as u64 {
                found.push((name.to_owned(), fs::read(&path).map_err(store_error(&path))?.into()));
            }
        }
        Ok(found)
    }

    /// Removes the dropped events and puts the new one in their place, durably.
    pub(super) fn replace(&self, dropped: &[String], name: &str, text: &[u8]) -> io::Result<()> {
        for name in dropped {
            fs::remove_file(self.folder.join(name))?;
        }
        let (path, unfinished) = (self.folder.join(name), self.folder.join(format!("{name}{UNFINISHED}")));
        let mut file = File::create(&unfinished)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn store_error(path: &Path) -> impl FnOnce(io::Error) -> RelayError {
    let path = path.to_owned();
    move |source| RelayError::Store { path, source }
}
