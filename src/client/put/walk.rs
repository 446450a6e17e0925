//! What is to be backed up: the named paths and everything below them, in the order of names, met one by one.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, Walk, WalkBuilder};

use crate::client::error::ClientError;
use crate::client::put::exclude::Exclude;
use crate::client::put::trouble::{Trouble, Why};

/// What a walk leaves out.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// Patterns as in a `.gitignore`, relative to each of the paths.
    pub exclude: Vec<String>,
    /// Leave out what is in folders with a valid `CACHEDIR.TAG`, but for that file.
    pub exclude_caches: bool,
    /// Do not descend into other file systems.
    pub one_file_system: bool,
}

/// A file, folder or other thing that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) name: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) kind: FoundKind,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum FoundKind {
    File,
    Dir,
    Symlink(Vec<u8>),
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
}

/// One step of a walk.
#[derive(Debug)]
pub(crate) enum Step {
    /// A folder; what is in it follows, up to its `Leave`.
    Enter(Found),
    /// The folder that was entered last has nothing more.
    Leave,
    /// Anything but a folder.
    Met(Found),
    /// Something that cannot be read.
    Trouble(Trouble),
}

/// A named path, and the name that it gets at the root of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) name: Vec<u8>,
}

/// The named paths in the order of their names, absolute. A named symbolic link is followed, as `cat` would; those below
/// are kept as links.
///
/// # Errors
/// A path that is not there, has no name, or has the name of another.
pub(crate) fn roots(paths: &[PathBuf]) -> Result<Vec<Root>, ClientError> {
    let mut roots = Vec::with_capacity(paths.len());
    for path in paths {
        let real = path.canonicalize().map_err(|source| ClientError::File { path: path.clone(), source })?;
        let Some(name) = path.file_name().or_else(|| real.file_name()) else {
            return Err(ClientError::Destination { path: path.clone(), why: "has no name of its own" });
        };
        roots.push(Root { name: name.as_bytes().to_vec(), path: real });
    }
    roots.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = roots.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let why = "has the same name as another path of this snapshot";
        return Err(ClientError::Destination { path: twice[1].path.clone(), why });
    }
    Ok(roots)
}

/// Walks one root. An iterator of steps, in which folders nest.
pub(crate) struct Walker {
    walk: Walk,
    root: Root,
    /// Depth of the folders that are entered.
    depth: usize,
    /// A step that comes after the folders that end before it.
    next: Option<(usize, Step)>,
}

impl Walker {
    pub(crate) fn new(root: Root, options: &WalkOptions) -> Result<Self, ClientError> {
        let exclude = Exclude::new(&root.path, options)?;
        let walk = WalkBuilder::new(&root.path)
            .standard_filters(false)
            .follow_links(false)
            .same_file_system(options.one_file_system)
            .sort_by_file_name(Ord::cmp)
            .filter_entry(move |entry| !exclude.excludes(entry))
            .build();
        Ok(Self { walk, root, depth: 0, next: None })
    }

    /// The next step, and the depth that it belongs to.
    fn advance(&mut self) -> Option<(usize, Step)> {
        loop {
            let entry = match self.walk.next()? {
                Ok(entry) => entry,
                Err(error) => return Some((self.depth, Step::Trouble(trouble(&error, &self.root.path)))),
            };
            let depth = entry.depth();
            if depth > self.depth {
                // Its folder was gone when it was looked at.
                continue;
            }
            let name =
                if depth == 0 { self.root.name.clone() } else { entry.file_name().as_bytes().to_vec() };
            return Some((depth, step(&entry, name)));
        }
    }
}

impl Iterator for Walker {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.next.is_none() {
            self.next = self.advance();
        }
        match self.next.take() {
            Some((depth, step)) if depth >= self.depth => {
                if matches!(step, Step::Enter(_)) {
                    self.depth += 1;
                }
                Some(step)
            }
            None if self.depth == 0 => None,
            waiting => {
                self.next = waiting;
                self.depth -= 1;
                Some(Step::Leave)
            }
        }
    }
}

fn step(entry: &DirEntry, name: Vec<u8>) -> Step {
    let was_dir = entry.file_type().is_none_or(|kind| kind.is_dir());
    match look(entry.path(), name) {
        // It became a folder a moment ago: what is in it is not walked.
        Ok(found) if matches!(found.kind, FoundKind::Dir) && !was_dir && entry.depth() > 0 => {
            Step::Trouble(Trouble { path: found.path, why: Why::Vanished })
        }
        Ok(found) if matches!(found.kind, FoundKind::Dir) => Step::Enter(found),
        Ok(found) => Step::Met(found),
        Err(error) => Step::Trouble(Trouble { path: entry.path().to_owned(), why: Why::of(&error) }),
    }
}

/// Looks at one path, without following a link.
pub(crate) fn look(path: &Path, name: Vec<u8>) -> io::Result<Found> {
    let metadata = path.symlink_metadata()?;
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        FoundKind::File
    } else if kind.is_dir() {
        FoundKind::Dir
    } else if kind.is_symlink() {
        FoundKind::Symlink(path.read_link()?.as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        FoundKind::Fifo
    } else if kind.is_char_device() {
        FoundKind::CharDevice
    } else if kind.is_block_device() {
        FoundKind::BlockDevice
    } else {
        FoundKind::Socket
    };
    Ok(Found { path: path.to_owned(), name, metadata, kind })
}

/// What the walking library says, as it is told to people.
fn trouble(error: &ignore::Error, root: &Path) -> Trouble {
    // The path is told already.
    let why = error.io_error().map(|error| Why::of(&io::Error::from(error.kind())));
    let why = why.unwrap_or_else(|| Why::Unreadable(error.to_string()));
    Trouble { path: path_of(error).unwrap_or(root).to_owned(), why }
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Partial(errors) => errors.iter().find_map(path_of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(root: &Path, options: &WalkOptions) -> Vec<String> {
        let root = roots(&[root.to_owned()]).unwrap().remove(0);
        let tell = |step| match step {
            Step::Enter(found) => format!("{}(", String::from_utf8_lossy(&found.name)),
            Step::Leave => ")".to_owned(),
            Step::Met(found) => String::from_utf8_lossy(&found.name).into_owned(),
            Step::Trouble(trouble) => format!("! {}", trouble.path.display()),
        };
        Walker::new(root, options).unwrap().map(tell).collect()
    }

    #[test]
    fn folders_nest_and_names_are_in_the_order_of_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        for name in ["b/y/z", "b.d", "a", "b/empty"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        for name in ["b/x", "b/y/z/deep", "B", "c"] {
            fs::write(top.join(name), name).unwrap();
        }
        let expected = [
            "top(", "B", "a(", ")", "b(", "empty(", ")", "x", "y(", "z(", "deep", ")", ")", ")", "b.d(", ")",
            "c", ")",
        ];
        assert_eq!(told(&top, &WalkOptions::default()), expected);
        assert_eq!(told(&top.join("c"), &WalkOptions::default()), ["c"]);
    }

    #[test]
    fn patterns_leave_out_what_gitignore_would() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        for name in ["build", "src/build", "cache"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        for name in
            ["build/x", "src/build/y", "a.tmp", "keep.tmp", "cache/data", "src/.gitignore", "src/ignored"]
        {
            fs::write(top.join(name), "ignored\n").unwrap();
        }
        fs::write(top.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# made by")
            .unwrap();
        let exclude = ["*.tmp", "!keep.tmp", "/build"].map(str::to_owned).to_vec();
        let options = WalkOptions { exclude, exclude_caches: true, ..WalkOptions::default() };
        let expected = [
            "top(",
            "cache(",
            "CACHEDIR.TAG",
            ")",
            "keep.tmp",
            "src(",
            ".gitignore",
            "build(",
            "y",
            ")",
            "ignored",
            ")",
            ")",
        ];
        assert_eq!(told(&top, &options), expected);
    }

    #[test]
    fn path_without_a_name_or_twice_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/same")).unwrap();
        fs::create_dir_all(folder.path().join("b/same")).unwrap();
        let twice = [folder.path().join("a/same"), folder.path().join("b/same")];
        for paths in [&twice[..], &["/".into()]] {
            assert!(matches!(roots(paths), Err(ClientError::Destination { .. })));
        }
        assert!(matches!(roots(&[folder.path().join("none")]), Err(ClientError::File { .. })));
    }
}
