//! Segments: cutting, packing, sealing.

use std::borrow::Cow;

use proptest::prelude::*;

use super::sample::{bytes, keys, rng};
use crate::crypt::tag::segment_tag;
use crate::format::segment::SEGMENT_OVERHEAD;
use crate::format::*;
use crate::types::PackId;
use crate::types::limits::{SEGMENT_LEN_AVG, SEGMENT_LEN_MAX, SEGMENT_LEN_MIN};

/// Lengths of all segments of `file`, read `step` bytes at a time.
fn cut_all(file: &[u8], step: usize, cutter: &Cutter) -> Vec<usize> {
    let (mut lens, mut begin, mut end) = (Vec::new(), 0, 0);
    while begin < file.len() {
        match cutter.cut(&file[begin..end]) {
            Some(len) => lens.push(len),
            None if end < file.len() => {
                end = (end + step).min(file.len());
                continue;
            }
            None => lens.push(end - begin),
        }
        begin += lens[lens.len() - 1];
    }
    lens
}

#[test]
fn cuts_do_not_depend_on_how_the_file_is_read() {
    let file = bytes(20_000_001, 1);
    let cutter = Cutter::new(42);
    let lens = cut_all(&file, file.len(), &cutter);
    assert_eq!(lens.iter().sum::<usize>(), file.len());
    for step in [1_000_003, 4 * 1024 * 1024] {
        assert_eq!(cut_all(&file, step, &cutter), lens);
    }
    let (last, all_but_last) = lens.split_last().unwrap();
    for len in all_but_last {
        assert!((SEGMENT_LEN_MIN as usize..=SEGMENT_LEN_MAX as usize).contains(len), "{len}");
    }
    assert!(*last <= SEGMENT_LEN_MAX as usize);
    let average = all_but_last.iter().sum::<usize>() / all_but_last.len();
    assert!(average.abs_diff(SEGMENT_LEN_AVG as usize) < SEGMENT_LEN_AVG as usize / 2, "{average}");
}

#[test]
fn cuts_find_themselves_again_after_an_insertion() {
    let file = bytes(12_000_000, 2);
    let cutter = Cutter::new(42);
    let before = cut_all(&file, file.len(), &cutter);
    let after = cut_all(&[&[1; 777], file.as_slice()].concat(), file.len(), &cutter);
    assert_eq!(before.last(), after.last());
    assert_eq!(before[before.len() - 2], after[after.len() - 2]);
}

#[test]
fn cuts_depend_on_the_vault() {
    let file = bytes(8_000_000, 3);
    assert_ne!(cut_all(&file, file.len(), &Cutter::new(1)), cut_all(&file, file.len(), &Cutter::new(2)));
}

#[test]
fn data_without_boundaries_is_cut_at_the_maximum() {
    let zeros = vec![0; SEGMENT_LEN_MAX as usize + 5];
    let cutter = Cutter::new(42);
    assert_eq!(cutter.cut(&zeros), Some(SEGMENT_LEN_MAX as usize));
    assert_eq!(cutter.cut(&zeros[6..]), None);
    assert_eq!(cutter.cut(&[]), None);
}

fn record(plain: &[u8], key: crate::crypt::SegmentKey, sealed_len: usize) -> Segment {
    let piece = Piece { pack: PackId::new([1; 16]), offset: 0, len: u32::try_from(sealed_len).unwrap() };
    let tag = segment_tag(plain, &keys().segment_tag_key());
    Segment { tag, key, plain_len: u32::try_from(plain.len()).unwrap(), pieces: vec![piece] }
}

#[test]
fn segment_opens_to_what_was_sealed() {
    let texts = [vec![1], bytes(5000, 1), vec![0; 500_000], bytes(SEGMENT_LEN_MAX as usize, 2)];
    for plain in texts {
        let sealed = segment::seal(&plain, &mut rng(5));
        assert!(sealed.bytes.len() <= plain.len() + SEGMENT_OVERHEAD);
        let recorded = record(&plain, sealed.key, sealed.bytes.len());
        assert_eq!(segment::open(&recorded, sealed.bytes).unwrap(), plain);
    }
}

#[test]
fn what_compresses_is_compressed_and_what_does_not_is_not() {
    let sealed_len = |plain: &[u8]| segment::seal(plain, &mut rng(5)).bytes.len();
    assert!(sealed_len(&b"so it goes. ".repeat(30_000)) < 1000);
    assert_eq!(sealed_len(&bytes(300_000, 1)), 300_000 + SEGMENT_OVERHEAD);
    assert_eq!(sealed_len(b"x"), 1 + SEGMENT_OVERHEAD);
}

#[test]
fn segment_of_another_length_or_another_key_does_not_open() {
    let plain = bytes(5000, 1);
    let sealed = segment::seal(&plain, &mut rng(5));
    let mut recorded = record(&plain, sealed.key, sealed.bytes.len());
    assert!(segment::open(&recorded, sealed.bytes[1..].to_vec()).is_err());
    recorded.plain_len += 1;
    assert!(segment::open(&recorded, sealed.bytes.clone()).is_err());
    recorded.plain_len -= 2;
    assert!(segment::open(&recorded, sealed.bytes.clone()).is_err());
    recorded.plain_len += 1;
    recorded.key = crate::crypt::SegmentKey::new([0; 32]);
    let error = segment::open(&recorded, sealed.bytes).unwrap_err();
    assert_eq!(error.to_string(), "a sealed segment does not authenticate");
}

#[test]
fn decompression_is_bounded() {
    let bomb = compress::pack(&vec![0; 1_000_000], 0);
    assert!(bomb.len() < 1000);
    assert!(
        matches!(compress::unpack(&bomb, 1_000_000, "x"), Ok(Cow::Owned(plain)) if plain.len() == 1_000_000)
    );
    let too_many = FormatError::TooMany { what: "bytes after decompression", count: 1_000_000, max: 999_999 };
    assert_eq!(compress::unpack(&bomb, 999_999, "x"), Err(too_many));
}

#[test]
fn only_one_frame_with_its_size_is_a_compressed_text() {
    let frame = compress::pack(&[7; 1000], 0);
    assert_eq!(compress::unpack(&frame, 1000, "x").unwrap().len(), 1000);
    let followed = [frame.as_slice(), &[0]].concat();
    let twice = [frame.as_slice(), &frame[1..]].concat();
    let unknown_size = [&[1], zstd::stream::encode_all([7; 1000].as_slice(), 3).unwrap().as_slice()].concat();
    let longer = [&[1], zstd::bulk::compress(b"abc", 3).unwrap().as_slice()].concat();
    for bad in [
        followed,
        twice,
        unknown_size,
        longer,
        vec![1],
        vec![],
        vec![2, 0],
        frame[..frame.len() - 1].to_vec(),
    ] {
        assert!(compress::unpack(&bad, 2000, "x").is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn compression_is_undone(data in prop::collection::vec(0..4u8, 0..3000)) {
        let packed = compress::pack(&data, 16);
        prop_assert!(packed.len() <= 1 + data.len());
        let unpacked = compress::unpack(&packed, data.len(), "x").unwrap();
        prop_assert_eq!(unpacked.as_ref(), data.as_slice());
    }
}
