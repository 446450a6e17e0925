//! What of a snapshot is wanted: its tree, or the parts that were named.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::client::error::ClientError;
use crate::format::{Entry, EntryKind, Refs, TreePage};
use crate::types::Tag;
use crate::vault::Vault;

/// Paths that are offered where one is not found.
const SIMILAR_COUNT: usize = 3;

/// Something of a snapshot, and where it belongs below the destination.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Relative path; its parents come before it.
    pub path: PathBuf,
    /// What is recorded of it.
    pub entry: Entry,
}

/// What was selected.
#[derive(Debug)]
pub struct Selection {
    /// What is wanted, every folder before what is in it.
    pub wanted: Vec<Selected>,
    /// Folders above it that are not wanted themselves.
    pub above: Vec<Selected>,
    /// Whether exactly one entry was named, by its path.
    pub is_single: bool,
}

/// Everything in the folder `root`, or only what is at or below one of `paths`. A path that is not there is read as a
/// pattern: `*` and `?` stand for parts of one name, `**` for whole names.
///
/// # Errors
/// A path that is not there, or a pattern that nothing fits.
pub fn select(root: &Refs, paths: &[PathBuf], vault: &Vault) -> Result<Selection, ClientError> {
    let mut found = Vec::new();
    if paths.is_empty() {
        found = children(root, Path::new(""), vault)?;
    }
    let mut is_single = paths.is_empty() && found.len() == 1;
    let mut above = BTreeMap::new();
    for path in paths {
        if let Some(item) = find(root, path, vault, &mut above)? {
            found.push(item);
            is_single = paths.len() == 1;
        } else if let Some(pattern) = pattern(path) {
            let before = found.len();
            match_below(root, Path::new(""), &pattern, vault, &mut (&mut found, &mut above))?;
            if found.len() == before {
                return Err(ClientError::NoSuchPath { path: path.clone(), similar: Vec::new() });
            }
        } else {
            return Err(ClientError::NoSuchPath { path: path.clone(), similar: similar(root, path, vault)? });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let (mut wanted, mut on_the_way) = (Vec::new(), Vec::new());
    let mut last: Option<PathBuf> = None;
    for item in found {
        // What is below another wanted folder comes with it.
        if last.as_ref().is_some_and(|last| item.path.starts_with(last)) {
            continue;
        }
        last = Some(item.path.clone());
        for path in item.path.ancestors().skip(1) {
            on_the_way.extend(above.remove(path).map(|entry| Selected { path: path.to_owned(), entry }));
        }
        add(item, vault, &mut wanted)?;
    }
    Ok(Selection { wanted, above: on_the_way, is_single })
}

/// The tags that `refs` stands for, lists resolved.
pub(crate) fn tags(refs: &Refs, vault: &Vault) -> Result<Vec<Tag>, ClientError> {
    match refs {
        Refs::Direct(tags) => Ok(tags.clone()),
        Refs::Lists(lists) => {
            let mut tags = Vec::new();
            for tag in lists {
                let list = vault.ref_list(tag)?;
                tags.extend(list.ok_or_else(|| dangling("reference list", tag))?.tags);
            }
            Ok(tags)
        }
    }
}

/// A page that something refers to.
pub(crate) fn page(tag: &Tag, vault: &Vault) -> Result<TreePage, ClientError> {
    vault.tree_page(tag)?.ok_or_else(|| dangling("tree page", tag))
}

/// All entries of a folder, in the order of their names.
pub(crate) fn entries(pages: &Refs, vault: &Vault) -> Result<Vec<Entry>, ClientError> {
    let mut entries = Vec::new();
    for tag in tags(pages, vault)? {
        entries.extend(page(&tag, vault)?.entries);
    }
    // Of two with one name the first could be a link that leads the second out of where it belongs.
    if !entries.is_sorted_by(|a: &Entry, b: &Entry| a.name < b.name) {
        return Err(ClientError::Integrity {
            what: "a folder, whose names are not in order and different,".into(),
        });
    }
    Ok(entries)
}

/// What is in a folder, by its pages, each with its path.
fn children(pages: &Refs, here: &Path, vault: &Vault) -> Result<Vec<Selected>, ClientError> {
    let item = |entry: Entry| Selected { path: here.join(OsStr::from_bytes(&entry.name)), entry };
    Ok(entries(pages, vault)?.into_iter().map(item).collect())
}

/// Adds `item` and everything below it, each folder before what is in it.
fn add(item: Selected, vault: &Vault, to: &mut Vec<Selected>) -> Result<(), ClientError> {
    let mut waiting = vec![item];
    while let Some(item) = waiting.pop() {
        if let EntryKind::Dir { pages } = &item.entry.kind {
            waiting.extend(children(pages, &item.path, vault)?.into_iter().rev());
        }
        to.push(item);
    }
    Ok(())
}

/// The entry at `path`; the folders on the way to it go into `above`.
fn find(
    root: &Refs,
    path: &Path,
    vault: &Vault,
    above: &mut BTreeMap<PathBuf, Entry>,
) -> Result<Option<Selected>, ClientError> {
    let Some(names) = names(path) else { return Ok(None) };
    let mut pages = root.clone();
    let mut here = PathBuf::new();
    let mut passed: Vec<Selected> = Vec::new();
    for name in names {
        let found =
            children(&pages, &here, vault)?.into_iter().find(|item| item.entry.name == name.as_bytes());
        let Some(item) = found else { return Ok(None) };
        here.push(name);
        pages = match &item.entry.kind {
            EntryKind::Dir { pages } => pages.clone(),
            _ => Refs::Direct(Vec::new()),
        };
        passed.push(item);
    }
    let item = passed.pop();
    above.extend(passed.into_iter().map(|item| (item.path, item.entry)));
    Ok(item)
}

/// The names that a path consists of; none if it leads out of the snapshot.
fn names(path: &Path) -> Option<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
            Component::RootDir | Component::CurDir => {}
        }
    }
    Some(names)
}

/// The pattern that a path is, if it is one.
fn pattern(path: &Path) -> Option<GlobMatcher> {
    let text = path.to_str()?;
    let text = text.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
    let glob = GlobBuilder::new(text).literal_separator(true).build().ok()?;
    text.contains(['*', '?', '[', '{']).then(|| glob.compile_matcher())
}

/// Finds what fits `pattern`; nothing is looked for below it. The folders on the way go beside.
fn match_below(
    pages: &Refs,
    here: &Path,
    pattern: &GlobMatcher,
    vault: &Vault,
    (found, above): &mut (&mut Vec<Selected>, &mut BTreeMap<PathBuf, Entry>),
) -> Result<(), ClientError> {
    let mut waiting = children(pages, here, vault)?;
    while let Some(item) = waiting.pop() {
        if pattern.is_match(&item.path) {
            found.push(item);
        } else if let EntryKind::Dir { pages } = &item.entry.kind {
            waiting.extend(children(pages, &item.path, vault)?);
            above.insert(item.path, item.entry);
        }
    }
    Ok(())
}

/// Paths of the snapshot that could have been meant by `path`: of the same last name, whatever the case.
fn similar(root: &Refs, path: &Path, vault: &Vault) -> Result<Vec<PathBuf>, ClientError> {
    let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let Some(wanted) = last(path) else { return Ok(Vec::new()) };
    let mut similar = Vec::new();
    let mut waiting = children(root, Path::new(""), vault)?;
    while let Some(item) = waiting.pop() {
        if last(&item.path).is_some_and(|name| is_near(&name, &wanted)) {
            similar.push(item.path.clone());
        }
        if let EntryKind::Dir { pages } = &item.entry.kind {
            waiting.extend(children(pages, &item.path, vault)?);
        }
    }
    similar.sort_by_key(|found| (last(found).as_ref() != Some(&wanted), found.clone()));
    similar.truncate(SIMILAR_COUNT);
    Ok(similar)
}

/// Whether one name becomes the other when at most one character is changed, left out, added, or swapped with the next.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let same_end =
        a[same_start..].iter().rev().zip(b[same_start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (&a[same_start..a.len() - same_end], &b[same_start..b.len() - same_end]);
    let is_swap = rest_a.len() == 2 && rest_b.len() == 2 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0];
    rest_a.len().max(rest_b.len()) <= 1 || is_swap
}

fn dangling(what: &str, tag: &Tag) -> ClientError {
    ClientError::Dangling { what: format!("{what} {}", tag.short()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_byte_by_byte() {
        let matches = |pattern_text: &str, path: &[u8]| {
            let matcher = pattern(Path::new(pattern_text)).unwrap();
            matcher.is_match(Path::new(OsStr::from_bytes(path)))
        };
        assert!(matches("a/*.jpg", b"a/x.jpg"));
        assert!(!matches("a/*.jpg", b"a/b/x.jpg"), "`*` stays within a name");
        assert!(matches("**/*.jpg", b"a/b/x.jpg"));
        assert!(matches("./a/?.jpg", b"a/\xff.jpg"));
        assert!(matches("/a/*", b"a/line\nbreak"));
        assert!(!matches("*.jpg", b"a/x.jpg"), "the whole path is matched");
        assert!(pattern(Path::new("plain/name")).is_none());
    }

    #[test]
    fn a_slip_of_the_finger_is_near() {
        for (a, b) in
            [("cat.jpg", "cat.jpg"), ("cta.jpg", "cat.jpg"), ("ca.jpg", "cat.jpg"), ("cat.jpq", "cat.jpg")]
        {
            assert!(is_near(a, b) && is_near(b, a), "{a} {b}");
        }
        assert!(!is_near("dog.jpg", "cat.jpg") && !is_near("", "cat"));
    }
}
