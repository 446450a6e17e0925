//! What a repack moves, over trees of all shapes.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::moves::{Fresh, Moved, Moves};
use super::reach::Reach;
use crate::client::error::ClientError;
use crate::crypt::SegmentKey;
use crate::env::Env;
use crate::format::{ContentItem, Entry, EntryKind, File, Piece, RefList, Refs, Segment, TreePage};
use crate::types::{PackId, Tag};
use crate::vault::{Home, Vault};

fn tag(rng: &mut StdRng) -> Tag {
    Tag::new(rng.random())
}

fn entry(number: usize, kind: EntryKind) -> Entry {
    let (user, group, xattrs) = (String::new(), String::new(), Vec::new());
    let name = format!("{number:04}").into_bytes();
    let (mode, uid, gid, mtime, mtime_nanos, link_group) = (0o644, 1, 1, 0, 0, 0);
    Entry { name, mode, uid, gid, user, group, mtime, mtime_nanos, xattrs, link_group, kind }
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
    let page = |tag, below| ContentItem::TreePage(TreePage { tag, entries: vec![entry(0, folder(below))] });
    vault.append(&[], &[page(around, inner), page(inner, around)]).unwrap();
    for tag in [missing, around, inner] {
        let (fresh, touched) = (Fresh::new(), BTreeSet::new());
        let found = Moves::new(&vault, &fresh, &touched).below(&Refs::Direct(vec![tag]));
        assert!(matches!(found, Err(ClientError::Dangling { .. })), "{tag:?}: {found:?}");
    }
}
