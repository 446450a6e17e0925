//! The tree of the snapshot before, walked beside the new one: where the bytes of an unchanged file are recorded.

use crate::client::get::entries;
use crate::format::{Entry, EntryKind, File, Refs, Snapshot, Xattr};
use crate::vault::Vault;

/// Where the walk is in the snapshot before.
#[derive(Default)]
pub(crate) struct Before {
    /// Entries of the folders that are entered, outermost first; `None` where there was no such folder.
    folders: Vec<Option<Vec<Entry>>>,
}

impl Before {
    /// At the root of `snapshot`; nowhere if there is none.
    pub(crate) fn new(snapshot: Option<&Snapshot>, vault: &Vault) -> Self {
        Self { folders: vec![snapshot.and_then(|snapshot| entries(&snapshot.root, vault).ok())] }
    }

    /// Enters the folder `name`.
    pub(crate) fn enter(&mut self, name: &[u8], vault: &Vault) {
        let pages = self.find(name).and_then(|entry| match &entry.kind {
            EntryKind::Dir { pages } => Some(pages.clone()),
            _ => None,
        });
        // Without it the files are read.
        self.folders.push(pages.and_then(|pages: Refs| entries(&pages, vault).ok()));
    }

    /// Leaves the folder that was entered last.
    pub(crate) fn leave(&mut self) {
        self.folders.pop();
    }

    /// The file `name` as it was, and its attributes.
    pub(crate) fn file(&self, name: &[u8]) -> Option<(&File, &[Xattr])> {
        let entry = self.find(name)?;
        match &entry.kind {
            EntryKind::File(file) => Some((file, &entry.xattrs)),
            _ => None,
        }
    }

    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let entries = self.folders.last()?.as_ref()?;
        let index = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()?;
        entries.get(index)
    }
}
