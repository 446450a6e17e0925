//! Which segments a snapshot consists of.

use std::collections::BTreeSet;

use crate::client::error::ClientError;
use crate::format::{EntryKind, Refs, TreePage};
use crate::types::Tag;
use crate::vault::Vault;

/// A walk over trees that looks at each page once, however many snapshots share it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pages: BTreeSet<Tag>,
    /// Tags of the segments that were reached.
    pub(super) segments: BTreeSet<Tag>,
}

impl Reach {
    /// Adds all that is reached from the pages `root`.
    pub(super) fn add(&mut self, root: &Refs, vault: &Vault) -> Result<(), ClientError> {
        let mut folders = tags(root, vault)?;
        while let Some(tag) = folders.pop() {
            if !self.pages.insert(tag) {
                continue;
            }
            for entry in &page_of(&tag, vault)?.entries {
                match &entry.kind {
                    EntryKind::File(file) => self.segments.extend(tags(&file.content, vault)?),
                    EntryKind::Dir { pages } => folders.extend(tags(pages, vault)?),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// A page that something refers to.
pub(super) fn page_of(tag: &Tag, vault: &Vault) -> Result<TreePage, ClientError> {
    vault.tree_page(tag)?.ok_or_else(|| ClientError::Dangling { what: format!("page {}", tag.short()) })
}

/// What `refs` refers to, its lists read.
pub(super) fn tags(refs: &Refs, vault: &Vault) -> Result<Vec<Tag>, ClientError> {
    let lists = match refs {
        Refs::Direct(tags) => return Ok(tags.clone()),
        Refs::Lists(lists) => lists,
    };
    let mut tags = Vec::new();
    for list in lists {
        let found = vault.ref_list(list)?;
        let found = found.ok_or_else(|| ClientError::Dangling { what: format!("list {}", list.short()) })?;
        tags.extend(found.tags);
    }
    Ok(tags)
}
