//! What of a snapshot is wanted: its tree, or the parts that were named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::client::error::ClientError;
use crate::format::{Entry, EntryKind, Refs};
use crate::types::Tag;
use crate::vault::Vault;

/// Something of a snapshot, and where it belongs below the destination.
#[derive(Debug)]
pub struct Selected {
    /// Relative path; its parents come before it.
    pub path: PathBuf,
    /// What is recorded of it.
    pub entry: Entry,
}

/// Everything in the folder `root`, or only what is at or below one of `paths`.
///
/// # Errors
/// A path that is not there.
pub fn select(root: &Refs, paths: &[PathBuf], vault: &Vault) -> Result<Vec<Selected>, ClientError> {
    let mut selected = Vec::new();
    if paths.is_empty() {
        descend(root, Path::new(""), vault, &mut selected)?;
    }
    for path in paths {
        let (parent, entry) = find(root, path, vault)?;
        let here = parent.join(OsStr::from_bytes(&entry.name));
        // A part keeps its place below the root, so that two parts of one name do not meet.
        add(entry, &here, vault, &mut selected)?;
    }
    Ok(selected)
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

/// All entries of a folder, in the order of their names.
pub(crate) fn entries(pages: &Refs, vault: &Vault) -> Result<Vec<Entry>, ClientError> {
    let mut entries = Vec::new();
    for tag in tags(pages, vault)? {
        let page = vault.tree_page(&tag)?;
        entries.extend(page.ok_or_else(|| dangling("tree page", &tag))?.entries);
    }
    Ok(entries)
}

fn descend(
    pages: &Refs,
    here: &Path,
    vault: &Vault,
    selected: &mut Vec<Selected>,
) -> Result<(), ClientError> {
    for entry in entries(pages, vault)? {
        let path = here.join(OsStr::from_bytes(&entry.name));
        add(entry, &path, vault, selected)?;
    }
    Ok(())
}

fn add(entry: Entry, path: &Path, vault: &Vault, selected: &mut Vec<Selected>) -> Result<(), ClientError> {
    let pages = match &entry.kind {
        EntryKind::Dir { pages } => Some(pages.clone()),
        _ => None,
    };
    selected.push(Selected { path: path.to_owned(), entry });
    pages.map_or(Ok(()), |pages| descend(&pages, path, vault, selected))
}

/// The entry at `path`, and the path of the folder that it is in.
fn find(root: &Refs, path: &Path, vault: &Vault) -> Result<(PathBuf, Entry), ClientError> {
    let missing = || ClientError::NoSuchPath { path: path.to_owned() };
    let mut pages = root.clone();
    let mut parent = PathBuf::new();
    let mut names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut name = names.next().ok_or_else(missing)?;
    loop {
        let found = entries(&pages, vault)?.into_iter().find(|entry| entry.name == name.as_bytes());
        let entry = found.ok_or_else(missing)?;
        let Some(next) = names.next() else { return Ok((parent, entry)) };
        let EntryKind::Dir { pages: below } = entry.kind else { return Err(missing()) };
        parent.push(name);
        (pages, name) = (below, next);
    }
}

fn dangling(what: &str, tag: &Tag) -> ClientError {
    ClientError::Dangling { what: format!("{what} {}", tag.short()) }
}
