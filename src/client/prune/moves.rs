//! What snapshots need after segments of theirs were stored anew. Every page is looked at once, however many snapshots
//! share it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::client::error::ClientError;
use crate::format::{EntryKind, Refs, TreePage};
use crate::types::{PackId, Tag};
use crate::vault::Vault;

use super::reach::{page_of, tags};

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
    /// By page; nothing of pages that are being looked at.
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
                self.pages.insert(tag, Some(Rc::clone(&moved)));
                done = Some(moved);
            };
        }
    }

    fn begin(&self, tag: Tag) -> Result<Open, ClientError> {
        let mut open = Open { tag, folders: Vec::new(), moved: Moved::default() };
        let TreePage { entries, .. } = page_of(&tag, self.vault)?;
        for entry in entries {
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::client::prune::reach::Reach;
    use crate::crypt::SegmentKey;
    use crate::env::Env;
    use crate::format::{ContentItem, Entry as FileEntry, File, Piece, RefList, Segment};
    use crate::vault::Home;

    fn tag(rng: &mut StdRng) -> Tag {
        Tag::new(rng.random())
    }

    fn entry(number: usize, kind: EntryKind) -> FileEntry {
        let (user, group, xattrs) = (String::new(), String::new(), Vec::new());
        let name = format!("{number:04}").into_bytes();
        let (mode, uid, gid, mtime, mtime_nanos, link_group) = (0o644, 1, 1, 0, 0, 0);
        FileEntry { name, mode, uid, gid, user, group, mtime, mtime_nanos, xattrs, link_group, kind }
    }

    /// Trees that share pages, segments that share packs.
    struct Forest {
        segments: Vec<Tag>,
        pages: Vec<Tag>,
    }

    impl Forest {
        fn grow(vault: &Vault, packs: &[PackId], rng: &mut StdRng) -> Self {
            let (mut items, mut forest) = (Vec::new(), Self { segments: Vec::new(), pages: Vec::new() });
            for _ in 0..60 {
                let tag = tag(rng);
                let count = rng.random_range(1..=2);
                let piece = |pack: &PackId| Piece { pack: *pack, offset: 0, len: 30 };
                let pieces: Vec<_> = packs.choose_multiple(rng, count).map(piece).collect();
                let key = SegmentKey::new(rng.random());
                let plain_len = 30 * u32::try_from(count).unwrap() - 17;
                items.push(ContentItem::Segment(Segment { tag, key, plain_len, pieces }));
                forest.segments.push(tag);
            }
            for _ in 0..25 {
                let mut entries = Vec::new();
                for number in 0..rng.random_range(0..6) {
                    let kind = if rng.random_bool(0.5) {
                        let content = refs(&forest.segments, &mut items, rng);
                        EntryKind::File(File { len: 1, sha256: [0; 32], holes: Vec::new(), content })
                    } else {
                        EntryKind::Dir { pages: refs(&forest.pages, &mut items, rng) }
                    };
                    entries.push(entry(number, kind));
                }
                let tag = tag(rng);
                items.push(ContentItem::TreePage(TreePage { tag, entries }));
                forest.pages.push(tag);
            }
            vault.append(&[], &items).unwrap();
            forest
        }
    }

    /// A few of `tags`, now and then by a list.
    fn refs(tags: &[Tag], items: &mut Vec<ContentItem>, rng: &mut StdRng) -> Refs {
        let count = rng.random_range(0..4);
        let tags: Vec<_> = tags.choose_multiple(rng, count).copied().collect();
        if tags.is_empty() || rng.random_bool(0.8) {
            return Refs::Direct(tags);
        }
        let list = tag(rng);
        items.push(ContentItem::RefList(RefList { tag: list, tags }));
        Refs::Lists(vec![list])
    }

    fn vault() -> (Vault, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Home::init_fresh(&folder.path().join("home"), &Env::system()).unwrap();
        (vault, folder)
    }

    #[test]
    fn what_moves_is_what_each_tree_alone_reaches() {
        let mut moved_some = 0;
        for seed in 0..12 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (vault, _folder) = vault();
            let packs: Vec<_> = (0..20).map(|_| PackId::new(rng.random())).collect();
            let forest = Forest::grow(&vault, &packs, &mut rng);
            let touched: BTreeSet<_> = packs.iter().filter(|_| rng.random_bool(0.5)).copied().collect();
            let anew = forest.segments.iter().filter(|_| rng.random_bool(0.3));
            let fresh: Fresh =
                anew.map(|tag| (*tag, BTreeSet::from([PackId::new([tag.as_bytes()[0]; 16])]))).collect();
            let mut moves = Moves::new(&vault, &fresh, &touched);
            for _ in 0..20 {
                let root = Refs::Direct(forest.pages.choose_multiple(&mut rng, 2).copied().collect());
                let mut reach = Reach::default();
                reach.add(&root, &vault).unwrap();
                let mut expected = Moved::default();
                for tag in &reach.segments {
                    match fresh.get(tag) {
                        Some(packs) => expected.new.extend(packs),
                        None => {
                            let stored = vault.segments(tag).unwrap();
                            expected.kept.extend(stored[0].pieces.iter().map(|piece| piece.pack));
                        }
                    }
                }
                expected.kept.retain(|pack| touched.contains(pack));
                moved_some += expected.new.len().min(expected.kept.len());
                assert_eq!(moves.below(&root).unwrap(), expected, "seed {seed}");
            }
        }
        assert!(moved_some > 100, "{moved_some}");
    }

    #[test]
    fn page_that_is_missing_or_lies_below_itself_is_an_error() {
        let (vault, _folder) = vault();
        let [missing, around, inner] = [1, 2, 3].map(|byte| Tag::new([byte; 32]));
        let folder = |page| EntryKind::Dir { pages: Refs::Direct(vec![page]) };
        let page =
            |tag, below| ContentItem::TreePage(TreePage { tag, entries: vec![entry(0, folder(below))] });
        vault.append(&[], &[page(around, inner), page(inner, around)]).unwrap();
        for tag in [missing, around, inner] {
            let (fresh, touched) = (Fresh::new(), BTreeSet::new());
            let found = Moves::new(&vault, &fresh, &touched).below(&Refs::Direct(vec![tag]));
            assert!(matches!(found, Err(ClientError::Dangling { .. })), "{tag:?}: {found:?}");
        }
    }
}
