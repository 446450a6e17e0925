//! Which segments a snapshot consists of.

use std::collections::BTreeSet;

use crate::client::error::ClientError;
use crate::client::get::{page, tags};
use crate::format::{EntryKind, Refs};
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
            for entry in &page(&tag, vault)?.entries {
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
