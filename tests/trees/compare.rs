//! A full comparison of two trees: everything that lstat(2), readlink(2), listxattr(2) and read(2) tell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything there is to know about one path, as lines that can be compared.
type Facts = Vec<String>;

/// What differs between the trees, as lines; none if they are alike.
pub(crate) fn differences(left: &Path, right: &Path) -> Vec<String> {
    let (left, right) = (survey(left), survey(right));
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        let (a, b) = (left.get(path), right.get(path));
        if a != b {
            differences.push(format!("{}: {a:?} and {b:?}", path.display()));
        }
    }
    differences
}

/// The facts of every path below `root`, itself included.
fn survey(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut facts = BTreeMap::new();
    let mut links: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if metadata.is_dir() {
            // An ordinary user may not read everything.
            let below = fs::read_dir(&path).into_iter().flatten();
            let mut below: Vec<_> = below.map(|entry| entry.unwrap().path()).collect();
            below.sort();
            waiting.extend(below.into_iter().rev());
        }
        if metadata.is_file() && fs::File::open(&path).is_err() {
            continue;
        }
        let mut known = describe(&path, &metadata);
        if metadata.is_file() && metadata.nlink() > 1 {
            let first = links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.clone());
            known.push(format!("linked with {}", first.display()));
        }
        facts.insert(name, known);
    }
    facts
}

fn describe(path: &Path, metadata: &Metadata) -> Facts {
    let kind = metadata.file_type();
    let mut facts = vec![
        format!("mode {:o}", metadata.mode()),
        format!("modified {}.{:09}", metadata.mtime(), metadata.mtime_nsec()),
    ];
    if nix::unistd::geteuid().is_root() {
        facts.push(format!("owner {}:{}", metadata.uid(), metadata.gid()));
    }
    if kind.is_char_device() || kind.is_block_device() {
        facts.push(format!("device {}", metadata.rdev()));
    }
    if kind.is_symlink() {
        facts.push(format!("to {}", hex::encode(path.read_link().unwrap().as_os_str().as_bytes())));
    }
    if kind.is_file() {
        facts.push(format!("{} bytes {}", metadata.len(), content(path)));
    }
    let mut names: Vec<OsString> = xattr::list(path).map(Iterator::collect).unwrap_or_default();
    names.sort();
    for name in names {
        facts.push(format!("{}={:?}", name.display(), xattr::get(path, &name).unwrap()));
    }
    facts
}

fn content(path: &Path) -> String {
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs::File::open(path).unwrap(), &mut hasher).unwrap();
    hex::encode(hasher.finalize())
}
