//! From what was read to tree pages: folders become lists of pages, files lists of segments.

use sha2::{Digest, Sha256};

use crate::client::error::ClientError;
use crate::crypt::TagKey;
use crate::format::{ContentItem, Entry, EntryKind, File, Hole, RefList, Refs, TreePage};
use crate::types::Tag;
use crate::types::limits::{PAGE_ENTRY_COUNT_MAX, REF_COUNT_MAX};

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
    /// Lists of the first segments of the file that is being read.
    lists: Vec<Tag>,
    /// Its segments behind those that are in lists.
    segments: Vec<Tag>,
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
        let (items, lists, segments) = Default::default();
        Self { key, folders: vec![Folder::default()], items, items_len: 0, lists, segments }
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

    /// The next segment of the file that is being read. However long it is, no more than one list of them is held.
    pub(crate) fn segment(&mut self, tag: Tag, is_known: &impl IsKnown) -> Result<(), ClientError> {
        if self.segments.len() == REF_COUNT_MAX {
            self.close_list(is_known)?;
        }
        self.segments.push(tag);
        Ok(())
    }

    /// The file that is being read will not be recorded.
    pub(crate) fn drop_file(&mut self) {
        self.segments.clear();
        self.lists.clear();
    }

    /// The bytes of the file that is being read as they are recorded, after its last segment.
    pub(crate) fn file(
        &mut self,
        (len, sha256): (u64, [u8; 32]),
        holes: Vec<Hole>,
        is_known: &impl IsKnown,
    ) -> Result<File, ClientError> {
        let content = if self.lists.is_empty() {
            let tags = std::mem::take(&mut self.segments);
            self.refs(tags, is_known)?
        } else {
            self.close_list(is_known)?;
            Refs::of_lists(std::mem::take(&mut self.lists))?
        };
        Ok(File { len, sha256, holes, content })
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
            self.add_list(list, is_known)?;
        }
        Ok(refs)
    }

    fn close_list(&mut self, is_known: &impl IsKnown) -> Result<(), ClientError> {
        let list = RefList::new(std::mem::take(&mut self.segments), &self.key)?;
        self.lists.push(list.tag);
        self.add_list(list, is_known)
    }

    fn add_list(&mut self, list: RefList, is_known: &impl IsKnown) -> Result<(), ClientError> {
        if !is_known(&list.tag)? {
            self.items_len += list.tags.len() * Tag::LEN;
            self.items.push(ContentItem::RefList(list));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tag(number: usize) -> Tag {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Tag::new(bytes)
    }

    fn key() -> TagKey {
        TagKey::new([1; 32])
    }

    #[test]
    fn content_of_a_file_is_the_same_whether_its_segments_come_one_by_one_or_together() {
        for count in [0, 1, 1_024, 1_025, REF_COUNT_MAX, REF_COUNT_MAX + 1, 2 * REF_COUNT_MAX + 5] {
            let tags: Vec<_> = (0..count).map(tag).collect();
            let (expected, lists) = Refs::of(tags.clone(), &key()).unwrap();
            let mut builder = TreeBuilder::new(key());
            // What is known already, and what belongs to another file, is nothing to this one.
            builder.segment(tag(99), &|_: &Tag| Ok(false)).unwrap();
            builder.drop_file();
            let known: BTreeSet<_> = lists.iter().take(1).map(|list| list.tag).collect();
            let is_known = |tag: &Tag| Ok(known.contains(tag));
            for tag in tags {
                builder.segment(tag, &is_known).unwrap();
                assert!(builder.segments.len() <= REF_COUNT_MAX, "no more than a list is held");
            }
            let file = builder.file((1, [0; 32]), Vec::new(), &is_known).unwrap();
            assert_eq!(file.content, expected, "{count}");
            let recorded = builder.take_items(0).into_iter().map(|item| match item {
                ContentItem::RefList(list) => (list.tag, list.tags),
                other => panic!("{other:?}"),
            });
            let expected = lists.into_iter().skip(1).map(|list| (list.tag, list.tags));
            assert!(recorded.eq(expected), "{count}");
            let next = builder.file((0, [0; 32]), Vec::new(), &is_known).unwrap();
            assert_eq!(next.content, Refs::Direct(Vec::new()), "the next file begins with nothing");
        }
    }
}
