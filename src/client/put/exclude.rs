//! What a walk leaves out: patterns as in a `.gitignore`, and caches that say so.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::DirEntry;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::client::error::ClientError;
use crate::client::put::walk::WalkOptions;

/// The file that marks a cache (Cache Directory Tagging Specification).
const CACHE_TAG_NAME: &str = "CACHEDIR.TAG";
/// What that file begins with.
const CACHE_TAG_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Decides about each thing that a walk meets.
pub(crate) struct Exclude {
    patterns: Gitignore,
    leaves_out_caches: bool,
    /// The folder that was asked about last, and whether it is a cache.
    last_folder: Mutex<Option<(PathBuf, bool)>>,
}

impl Exclude {
    /// Patterns are relative to `root`.
    pub(crate) fn new(root: &Path, options: &WalkOptions) -> Result<Self, ClientError> {
        let mut patterns = GitignoreBuilder::new(root);
        for pattern in &options.exclude {
            let wrong = |error: ignore::Error| ClientError::Pattern {
                pattern: pattern.clone(),
                why: error.to_string(),
            };
            patterns.add_line(None, pattern).map_err(wrong)?;
        }
        let wrong =
            |error: ignore::Error| ClientError::Pattern { pattern: String::new(), why: error.to_string() };
        let patterns = patterns.build().map_err(wrong)?;
        Ok(Self { patterns, leaves_out_caches: options.exclude_caches, last_folder: Mutex::default() })
    }

    /// Whether this and what is below it is left out.
    pub(crate) fn excludes(&self, entry: &DirEntry) -> bool {
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        if self.patterns.matched(entry.path(), is_dir).is_ignore() {
            return true;
        }
        self.leaves_out_caches
            && entry.file_name() != CACHE_TAG_NAME
            && entry.path().parent().is_some_and(|folder| self.is_cache(folder))
    }

    fn is_cache(&self, folder: &Path) -> bool {
        let mut last = self.last_folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, is_cache)) = &*last
            && known == folder
        {
            return *is_cache;
        }
        let is_cache = has_cache_tag(folder);
        *last = Some((folder.to_owned(), is_cache));
        is_cache
    }
}

fn has_cache_tag(folder: &Path) -> bool {
    let mut start = [0; CACHE_TAG_SIGNATURE.len()];
    let path = folder.join(CACHE_TAG_NAME);
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == CACHE_TAG_SIGNATURE
}
