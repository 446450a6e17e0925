//! From what was read to tree pages: folders become lists of pages, files lists of segments.

use sha2::{Digest, Sha256};

use crate::client::error::ClientError;
use crate::crypt::TagKey;
use crate::format::{ContentItem, Entry, EntryKind, File, Hole, Refs, TreePage};
use crate::types::Tag;
use crate::types::limits::PAGE_ENTRY_COUNT_MAX;

/// Bytes of entries that a page never exceeds, so that it is below what a record holds.
const PAGE_BYTES_MAX: usize = 448 * 1024;
/// One name in so many ends a page. So what is added to a large folder changes one page of it, and not all behind it.
const PAGE_ENTRIES: u16 = 512;

/// Builds the pages of a snapshot while it is walked. Pages and lists that the vault has already are left out.
pub(crate) struct TreeBuilder {
    key: TagKey,
    /// The folders that are entered, outermost first; the root has no entry.
    folders: Vec<Folder>,
    items: Vec<ContentItem>,
    items_len: usize,
}

#[derive(Default)]
struct Folder {
    entry: Option<Entry>,
    entries: Vec<Entry>,
    entries_len: usize,
    pages: Vec<Tag>,
    last_name: Vec<u8>,
}

impl TreeBuilder {
    /// A builder that names pages under `key`.
    pub(crate) fn new(key: TagKey) -> Self {
        Self { key, folders: vec![Folder::default()], items: Vec::new(), items_len: 0 }
    }

    /// What is added next is in this folder.
    pub(crate) fn enter(&mut self, entry: Entry) {
        self.folders.push(Folder { entry: Some(entry), ..Folder::default() });
    }

    /// The folder that was entered last is complete.
    pub(crate) fn leave(&mut self, is_known: &impl IsKnown) -> Result<(), ClientError> {
        let mut folder = self.folders.pop().expect("a folder is left after it was entered");
        self.close_page(&mut folder, is_known)?;
        let mut entry = folder.entry.expect("the root is not left");
        entry.kind = EntryKind::Dir { pages: self.refs(folder.pages, is_known)? };
        self.add(entry, is_known)
    }

    /// The next entry of the folder that was entered last; names come in ascending order.
    pub(crate) fn add(&mut self, entry: Entry, is_known: &impl IsKnown) -> Result<(), ClientError> {
        let mut folder = self.folders.pop().expect("the root is always there");
        // A folder that is changed while it is listed may give a name twice.
        if entry.name <= folder.last_name {
            self.folders.push(folder);
            return Ok(());
        }
        folder.last_name.clone_from(&entry.name);
        let len = entry_len(&entry);
        if folder.entries_len + len > PAGE_BYTES_MAX {
            self.close_page(&mut folder, is_known)?;
        }
        let is_last = ends_page(&entry.name);
        folder.entries_len += len;
        folder.entries.push(entry);
        if is_last || folder.entries.len() == PAGE_ENTRY_COUNT_MAX {
            self.close_page(&mut folder, is_known)?;
        }
        self.folders.push(folder);
        Ok(())
    }

    /// A file's bytes as they are recorded: its segments are `tags`, in order.
    pub(crate) fn file(
        &mut self,
        (len, sha256): (u64, [u8; 32]),
        holes: Vec<Hole>,
        tags: Vec<Tag>,
        is_known: &impl IsKnown,
    ) -> Result<File, ClientError> {
        Ok(File { len, sha256, holes, content: self.refs(tags, is_known)? })
    }

    /// What has to be recorded so far, if it is much.
    pub(crate) fn take_items(&mut self, len_min: usize) -> Vec<ContentItem> {
        if self.items_len < len_min {
            return Vec::new();
        }
        self.items_len = 0;
        std::mem::take(&mut self.items)
    }

    /// The pages of the root folder, and what has to be recorded.
    pub(crate) fn finish(mut self, is_known: &impl IsKnown) -> Result<(Refs, Vec<ContentItem>), ClientError> {
        let mut root = self.folders.pop().expect("the root is always there");
        assert!(self.folders.is_empty(), "every folder was left");
        self.close_page(&mut root, is_known)?;
        let refs = self.refs(root.pages, is_known)?;
        Ok((refs, self.items))
    }

    fn close_page(&mut self, folder: &mut Folder, is_known: &impl IsKnown) -> Result<(), ClientError> {
        if folder.entries.is_empty() {
            return Ok(());
        }
        let len = std::mem::take(&mut folder.entries_len);
        let page = TreePage::new(std::mem::take(&mut folder.entries), &self.key)?;
        folder.pages.push(page.tag);
        if !is_known(&page.tag)? {
            self.items_len += len;
            self.items.push(ContentItem::TreePage(page));
        }
        Ok(())
    }

    fn refs(&mut self, tags: Vec<Tag>, is_known: &impl IsKnown) -> Result<Refs, ClientError> {
        let (refs, lists) = Refs::of(tags, &self.key)?;
        for list in lists {
            if !is_known(&list.tag)? {
                self.items_len += list.tags.len() * Tag::LEN;
                self.items.push(ContentItem::RefList(list));
            }
        }
        Ok(refs)
    }
}

/// Whether the vault has recorded a page or list.
pub(crate) trait IsKnown: Fn(&Tag) -> Result<bool, ClientError> {}

impl<T: Fn(&Tag) -> Result<bool, ClientError>> IsKnown for T {}

fn ends_page(name: &[u8]) -> bool {
    let hash = Sha256::digest(name);
    u16::from_be_bytes([hash[0], hash[1]]).is_multiple_of(PAGE_ENTRIES)
}

/// At least how long an entry's encoding is.
fn entry_len(entry: &Entry) -> usize {
    const FIELDS_LEN: usize = 160;
    let xattrs: usize = entry.xattrs.iter().map(|xattr| 16 + xattr.name.len() + xattr.value.len()).sum();
    let (refs, other) = match &entry.kind {
        EntryKind::File(file) => (Some(&file.content), file.holes.len() * 16),
        EntryKind::Dir { pages } => (Some(pages), 0),
        EntryKind::Symlink { target } => (None, target.len()),
        _ => (None, 0),
    };
    let refs = refs.map_or(0, |(Refs::Direct(tags) | Refs::Lists(tags))| tags.len() * Tag::LEN);
    FIELDS_LEN + entry.name.len() + entry.user.len() + entry.group.len() + xattrs + refs + other
}
