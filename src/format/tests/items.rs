//! Items of records: one encoding each, and what no writer may write.

use proptest::prelude::*;

use super::sample::{Sample, bytes, keys};
use crate::crypt::{MaskKey, SegmentKey};
use crate::erasure::Scheme;
use crate::format::codec::{Encoding, Reader, Writer, decode, encode};
use crate::format::*;
use crate::types::limits::{PAGE_LEN_MAX, RECORD_BODY_LEN_MAX, REF_COUNT_MAX};
use crate::types::{BlobHash, MerkleRoot, PackId, SnapshotId, Tag};

/// What is read is what was written, byte for byte; every shorter input is refused, and so is every longer one.
fn assert_one_encoding<T: Encoding>(value: &T) {
    let encoding = encode(value).unwrap();
    let read: T = decode(&encoding, "a value").unwrap();
    assert_eq!(encode(&read).unwrap(), encoding);
    for len in 0..encoding.len() {
        assert!(decode::<T>(&encoding[..len], "a value").is_err(), "{len} of {} bytes", encoding.len());
    }
    let longer = [encoding.as_slice(), &[0]].concat();
    let too_long = FormatError::TrailingBytes { what: "a value", len: 1 };
    assert_eq!(decode::<T>(&longer, "a value").err(), Some(too_long));
}

/// Whatever is accepted is written back as it was.
fn assert_canonical<T: Encoding>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes, "a value") {
        assert_eq!(encode(&value).unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn placement_items_have_one_encoding(seed: u64) {
        assert_one_encoding(&Sample::new(seed).placement_item());
    }

    #[test]
    fn content_items_have_one_encoding(seed: u64) {
        assert_one_encoding(&Sample::new(seed).content_item());
    }

    #[test]
    fn entries_have_one_encoding(seed: u64) {
        assert_one_encoding(&Sample::new(seed).entry());
    }

    #[test]
    fn run_indexes_have_one_encoding(seed: u64) {
        assert_one_encoding(&Sample::new(seed).run_index());
    }

    #[test]
    fn damaged_items_are_refused_or_canonical(seed: u64, at: prop::sample::Index, to: u8) {
        let mut sample = Sample::new(seed);
        let mut placement = encode(&sample.placement_item()).unwrap();
        *at.get_mut(&mut placement) = to;
        assert_canonical::<PlacementItem>(&placement);
        let mut content = encode(&sample.content_item()).unwrap();
        *at.get_mut(&mut content) = to;
        assert_canonical::<ContentItem>(&content);
        let mut index = encode(&sample.run_index()).unwrap();
        *at.get_mut(&mut index) = to;
        assert_canonical::<RunIndex>(&index);
    }
}

#[test]
fn count_that_the_input_cannot_hold_allocates_no_more_than_the_input() {
    let mut out = Writer::new();
    out.u32(u32::try_from(REF_COUNT_MAX).unwrap());
    let input = out.into_bytes();
    let error = Reader::new(&input, "a list").list::<Tag>(REF_COUNT_MAX, "tags").unwrap_err();
    assert_eq!(error, FormatError::Truncated { what: "a list", wanted: 32, left: 0 });
    let error = Reader::new(&[0xff; 4], "a list").list::<Tag>(REF_COUNT_MAX, "tags").unwrap_err();
    assert_eq!(error, FormatError::TooMany { what: "tags", count: u64::from(u32::MAX), max: 16_384 });
}

fn refused<T: Encoding>(value: &T) -> FormatError {
    encode(value).unwrap_err()
}

fn file_entry(name: &str) -> Entry {
    let file = File { len: 0, sha256: [0; 32], holes: Vec::new(), content: Refs::Direct(Vec::new()) };
    let mut entry = Sample::new(1).entry();
    entry.name = name.into();
    entry.kind = EntryKind::File(file);
    entry
}

#[test]
fn names_that_would_leave_their_folder_are_refused() {
    for name in ["", ".", "..", "a/b", "/", "a\0"] {
        assert!(matches!(refused(&file_entry(name)), FormatError::Invalid { .. }), "{name:?}");
    }
    for name in ["...", "a", "a b", "ä", "-", "~"] {
        assert!(encode(&file_entry(name)).is_ok(), "{name:?}");
    }
    assert!(matches!(refused(&file_entry(&"n".repeat(1025))), FormatError::TooMany { max: 1024, .. }));
}

#[test]
fn pages_are_in_order_and_without_repetition() {
    let key = keys().tree_tag_key();
    let page = |names: &[&str]| TreePage::new(names.iter().map(|name| file_entry(name)).collect(), &key);
    assert!(page(&[]).is_ok() && page(&["a", "aa", "b"]).is_ok());
    for names in [["b", "a"], ["a", "a"], ["aa", "a"]] {
        let error = page(&names).unwrap_err();
        assert_eq!(
            error,
            FormatError::Invalid { what: "a tree page", rule: "names are in order and different" }
        );
    }
}

#[test]
fn pages_are_bounded_in_bytes() {
    let mut entries: Vec<Entry> = (0..9).map(|i| file_entry(&i.to_string())).collect();
    for entry in &mut entries {
        entry.xattrs = vec![Xattr { name: b"user.x".into(), value: vec![0; 65_000] }];
    }
    let error = TreePage::new(entries, &keys().tree_tag_key()).unwrap_err();
    let FormatError::TooMany { what: "bytes of a tree page", max, .. } = error else { panic!("{error}") };
    assert_eq!(max, PAGE_LEN_MAX as u64);
}

#[test]
fn holes_are_in_order_apart_and_within_the_file() {
    let with_holes = |holes: &[(u64, u64)]| {
        let holes = holes.iter().map(|(offset, len)| Hole { offset: *offset, len: *len }).collect();
        let file = File { len: 100, sha256: [0; 32], holes, content: Refs::Direct(Vec::new()) };
        encode(&Entry { kind: EntryKind::File(file), ..file_entry("f") })
    };
    assert!(with_holes(&[(0, 10), (11, 89)]).is_ok());
    for holes in
        [vec![(0, 0)], vec![(0, 101)], vec![(5, 5), (0, 2)], vec![(0, 5), (5, 5)], vec![(1, u64::MAX)]]
    {
        assert!(with_holes(&holes).is_err(), "{holes:?}");
    }
}

#[test]
fn segment_is_as_long_as_its_pieces_can_make_it() {
    let segment = |plain_len, lens: &[u32]| {
        let piece = |len: &u32| Piece { pack: PackId::new([1; 16]), offset: 0, len: *len };
        let key = SegmentKey::new([0; 32]);
        encode(&Segment { tag: Tag::new([0; 32]), key, plain_len, pieces: lens.iter().map(piece).collect() })
    };
    assert!(segment(1, &[18]).is_ok() && segment(100, &[100, 17]).is_ok() && segment(100, &[18]).is_ok());
    for (plain_len, lens) in [
        (0, vec![18]),
        (1, vec![17]),
        (1, vec![19]),
        (100, vec![]),
        (100, vec![50, 0]),
        (4 * 1024 * 1024 + 1, vec![18]),
        (100, vec![u32::MAX, 18]),
    ] {
        assert!(segment(plain_len, &lens).is_err(), "{plain_len} bytes in {lens:?}");
    }
}

#[test]
fn coding_says_what_its_numbers_allow() {
    let coding = |need, total, sealed_len, masked: bool, names| {
        let name = ShardName { hash: BlobHash::new([0; 32]), root: MerkleRoot::new([0; 32]) };
        encode(&Coding {
            scheme: Scheme::new(need, total).unwrap(),
            sealed_len,
            mask: masked.then(|| MaskKey::new([0; 32])),
            shards: vec![name; names],
        })
    };
    assert!(coding(2, 3, 1, false, 3).is_ok() && coding(1, 2, 1, true, 2).is_ok());
    assert!(coding(2, 3, 1024 * 1024, false, 3).is_ok());
    for (need, total, sealed_len, masked, names) in [
        (2, 3, 0, false, 3),
        (2, 3, 1024 * 1024 + 1, false, 3),
        (2, 3, 1, true, 3),
        (1, 3, 1, false, 3),
        (2, 3, 1, false, 2),
    ] {
        assert!(coding(need, total, sealed_len, masked, names).is_err(), "{need} of {total}, {sealed_len}");
    }
}

#[test]
fn many_tags_go_into_lists() {
    let key = keys().tree_tag_key();
    let tags = |count: usize| (0..count).map(|i| Tag::new(bytes(32, i as u64).try_into().unwrap())).collect();
    let (refs, lists) = Refs::of(tags(1024), &key).unwrap();
    assert!(matches!(refs, Refs::Direct(tags) if tags.len() == 1024) && lists.is_empty());
    let (refs, lists) = Refs::of(tags(16_385), &key).unwrap();
    assert_eq!(lists.iter().map(|list| list.tags.len()).collect::<Vec<_>>(), [16_384, 1]);
    assert_eq!(refs, Refs::Lists(lists.iter().map(|list| list.tag).collect()));
}

#[test]
fn items_are_spread_over_as_many_bodies_as_they_take() {
    let needs = |count| {
        let packs = vec![PackId::new([1; 16]); count];
        PlacementItem::Needs(Needs { snapshot: SnapshotId::new([2; 16]), packs })
    };
    assert!(Body::of::<PlacementItem>(&[]).unwrap().is_empty());
    let items: Vec<_> = (0..5).map(|_| needs(30_000)).collect();
    let bodies = Body::of(&items).unwrap();
    assert_eq!(bodies.iter().map(Body::item_count).collect::<Vec<_>>(), [2, 2, 1]);
    const { assert!(2 * 16 * 30_000 < RECORD_BODY_LEN_MAX && 3 * 16 * 30_000 > RECORD_BODY_LEN_MAX) };
}
