//! What snapshots need after segments of theirs were stored anew. Pages that snapshots share are looked at once, but for
//! those few that stand above many packs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::client::error::ClientError;
use crate::client::get::{page, tags};
use crate::format::{EntryKind, Refs};
use crate::types::{PackId, Tag};
use crate::vault::Vault;

/// Packs that a remembered page names at most.
const REMEMBERED_LEN_MAX: usize = if cfg!(test) { 3 } else { 1_000 };

/// Packs of segments that were stored anew.
pub(super) type Fresh = BTreeMap<Tag, BTreeSet<PackId>>;

/// What the segments below something need of the packs that a repack touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// New packs: of segments that were stored anew.
    pub(super) new: BTreeSet<PackId>,
    /// Touched packs that hold segments which were not stored anew.
    pub(super) kept: BTreeSet<PackId>,
}

/// A walk over trees.
pub(super) struct Moves<'a> {
    vault: &'a Vault,
    fresh: &'a Fresh,
    touched: &'a BTreeSet<PackId>,
    /// By page; nothing of pages that are being looked at. Those above many others are not remembered: they differ from
    /// snapshot to snapshot, and each has nearly all there is.
    pages: BTreeMap<Tag, Option<Rc<Moved>>>,
}

/// A page that is being looked at: what its folders hold is found before it is done itself.
struct Open {
    tag: Tag,
    folders: Vec<Tag>,
    moved: Moved,
}

impl<'a> Moves<'a> {
    pub(super) fn new(vault: &'a Vault, fresh: &'a Fresh, touched: &'a BTreeSet<PackId>) -> Self {
        Self { vault, fresh, touched, pages: BTreeMap::new() }
    }

    /// What the segments below the pages `root` need.
    ///
    /// # Errors
    /// [`ClientError::Dangling`] if something is not recorded, or a page lies below itself.
    pub(super) fn below(&mut self, root: &Refs) -> Result<Moved, ClientError> {
        let mut all = Moved::default();
        for tag in tags(root, self.vault)? {
            all.add(&*self.of_page(tag)?);
        }
        Ok(all)
    }

    /// Folders are as deep as users make them: what is open stands in a list, not on the stack.
    fn of_page(&mut self, tag: Tag) -> Result<Rc<Moved>, ClientError> {
        let mut open = Vec::new();
        let mut next = tag;
        loop {
            let mut done = match self.pages.entry(next) {
                Entry::Occupied(known) => {
                    let below_itself = || ClientError::Dangling { what: format!("page {}", next.short()) };
                    Some(known.get().clone().ok_or_else(below_itself)?)
                }
                Entry::Vacant(place) => {
                    place.insert(None);
                    open.push(self.begin(next)?);
                    None
                }
            };
            // What is done belongs to the page above, which may be done with it.
            next = loop {
                let Some(page) = open.last_mut() else {
                    return Ok(done.expect("the first page is open until it is done"));
                };
                if let Some(done) = done.take() {
                    page.moved.add(&done);
                }
                if let Some(folder) = page.folders.pop() {
                    break folder;
                }
                let Open { tag, moved, .. } = open.pop().expect("it was looked at just now");
                let moved = Rc::new(moved);
                if moved.new.len() + moved.kept.len() <= REMEMBERED_LEN_MAX {
                    self.pages.insert(tag, Some(Rc::clone(&moved)));
                } else {
                    self.pages.remove(&tag);
                }
                done = Some(moved);
            };
        }
    }

    fn begin(&self, tag: Tag) -> Result<Open, ClientError> {
        let mut open = Open { tag, folders: Vec::new(), moved: Moved::default() };
        for entry in page(&tag, self.vault)?.entries {
            match &entry.kind {
                EntryKind::File(file) => {
                    for segment in tags(&file.content, self.vault)? {
                        self.add_segment(&segment, &mut open.moved)?;
                    }
                }
                EntryKind::Dir { pages } => open.folders.extend(tags(pages, self.vault)?),
                _ => {}
            }
        }
        Ok(open)
    }

    fn add_segment(&self, tag: &Tag, moved: &mut Moved) -> Result<(), ClientError> {
        if let Some(packs) = self.fresh.get(tag) {
            moved.new.extend(packs);
        } else {
            let segments = self.vault.segments(tag)?;
            let packs = segments.iter().flat_map(|segment| &segment.pieces).map(|piece| piece.pack);
            moved.kept.extend(packs.filter(|pack| self.touched.contains(pack)));
        }
        Ok(())
    }
}

impl Moved {
    fn add(&mut self, more: &Self) {
        self.new.extend(&more.new);
        self.kept.extend(&more.kept);
    }
}
