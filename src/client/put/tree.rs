//! From what was found and read to tree pages: folders become lists of pages, files lists of segments.

use std::os::unix::fs::MetadataExt;

use crate::client::put::scan::{Found, FoundKind};
use crate::crypt::TagKey;
use crate::format::{ContentItem, Entry, EntryKind, File, FormatError, Refs, TreePage};
use crate::types::Tag;
use crate::types::limits::PAGE_ENTRY_COUNT_MAX;

/// Bytes of entries after which a page is closed, well below what a record holds.
const PAGE_BYTES: usize = 256 * 1024;

/// What was read of one file.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) len: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) tags: Vec<Tag>,
}

/// Builds the pages of a snapshot. Pages and lists that the vault has already are left out.
pub(crate) struct TreeBuilder<'a, K> {
    key: &'a TagKey,
    is_known: K,
    items: Vec<ContentItem>,
}

impl<'a, K: FnMut(&Tag) -> bool> TreeBuilder<'a, K> {
    /// A builder that names pages under `key` and asks `is_known` what the vault holds.
    pub(crate) fn new(key: &'a TagKey, is_known: K) -> Self {
        Self { key, is_known, items: Vec::new() }
    }

    /// Pages of the folder that `found` is in. Takes `contents` in the order in which the files were found.
    pub(crate) fn folder(
        &mut self,
        found: &[Found],
        contents: &mut impl Iterator<Item = Content>,
    ) -> Result<Refs, FormatError> {
        let mut pages = Vec::new();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for child in found {
            let entry = self.entry(child, contents)?;
            bytes += entry_bytes(&entry);
            entries.push(entry);
            if entries.len() == PAGE_ENTRY_COUNT_MAX || bytes >= PAGE_BYTES {
                pages.push(self.page(std::mem::take(&mut entries))?);
                bytes = 0;
            }
        }
        if !entries.is_empty() {
            pages.push(self.page(entries)?);
        }
        self.refs(pages)
    }

    /// Everything that has to be recorded.
    pub(crate) fn into_items(self) -> Vec<ContentItem> {
        self.items
    }

    fn entry(
        &mut self,
        found: &Found,
        contents: &mut impl Iterator<Item = Content>,
    ) -> Result<Entry, FormatError> {
        let kind = match &found.kind {
            FoundKind::File => {
                let content = contents.next().expect("every file that was found was read");
                let content_refs = self.refs(content.tags)?;
                let (len, sha256) = (content.len, content.sha256);
                EntryKind::File(File { len, sha256, holes: Vec::new(), content: content_refs })
            }
            FoundKind::Dir(children) => EntryKind::Dir { pages: self.folder(children, contents)? },
            FoundKind::Symlink(target) => EntryKind::Symlink { target: target.clone() },
            FoundKind::Fifo => EntryKind::Fifo,
            FoundKind::CharDevice => EntryKind::CharDevice { rdev: found.rdev() },
            FoundKind::BlockDevice => EntryKind::BlockDevice { rdev: found.rdev() },
            FoundKind::Socket => EntryKind::Socket,
        };
        let metadata = &found.metadata;
        Ok(Entry {
            name: found.name.clone(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            user: String::new(),
            group: String::new(),
            mtime: metadata.mtime(),
            mtime_nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
            xattrs: Vec::new(),
            link_group: 0,
            kind,
        })
    }

    fn page(&mut self, entries: Vec<Entry>) -> Result<Tag, FormatError> {
        let page = TreePage::new(entries, self.key)?;
        let tag = page.tag;
        if !(self.is_known)(&tag) {
            self.items.push(ContentItem::TreePage(page));
        }
        Ok(tag)
    }

    fn refs(&mut self, tags: Vec<Tag>) -> Result<Refs, FormatError> {
        let (refs, lists) = Refs::of(tags, self.key)?;
        for list in lists {
            if !(self.is_known)(&list.tag) {
                self.items.push(ContentItem::RefList(list));
            }
        }
        Ok(refs)
    }
}

/// Roughly how long an entry's encoding is.
fn entry_bytes(entry: &Entry) -> usize {
    let tags = match &entry.kind {
        EntryKind::File(file) => &file.content,
        EntryKind::Dir { pages } => pages,
        _ => return 128 + entry.name.len(),
    };
    let (Refs::Direct(tags) | Refs::Lists(tags)) = tags;
    128 + entry.name.len() + tags.len() * Tag::LEN
}
