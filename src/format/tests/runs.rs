//! Runs of chains that are too long for one.

use super::manifest::chain;
use super::sample::rng;
use crate::erasure::Scheme;
use crate::format::runs::{FULL_LEVEL, cut, plan};
use crate::format::*;
use crate::types::ProviderId;

#[test]
fn full_runs_stay_as_they_are_and_a_stretch_that_is_too_long_becomes_some() {
    let full = |first, last| RunSpan { level: FULL_LEVEL, first, last };
    let runs: Vec<_> = (0..10)
        .map(|i| full(i, i))
        .chain((10..17).map(|i| RunSpan { level: 0, first: i, last: i }))
        .collect();
    let merged = RunSpan { level: 1, first: 10, last: 17 };
    for run_max in [64, 5, 1] {
        assert_eq!(plan(&runs, 17, run_max), Some(Plan { keep: 10, write: merged }), "{run_max}");
    }
    assert_eq!(
        cut(merged, &[12, 15, 17]),
        [full(10, 12), full(13, 15), RunSpan { level: 1, first: 16, last: 17 }]
    );
    assert_eq!(cut(merged, &[17]), [merged]);
}

#[test]
fn index_of_the_longest_run_fits_its_pack() {
    for total in [1, 2, 3, 5, 12, 255] {
        let scheme = Scheme::for_manifest(total).unwrap();
        let count = ManifestPack::run_len_max(scheme) / ManifestPack::capacity(scheme) as u64;
        let pack = |_| {
            ManifestPack::new(b"records", scheme, &mut rng(1)).encode().into_ref(vec![
                254;
                usize::from(
                    scheme.total()
                )
            ])
        };
        let packs = (0..2).map(pack).collect();
        let providers = (0..=254).map(|i| ProviderId::new([i; 32])).collect();
        let two = codec::encode(&RunIndex { providers, packs }).unwrap().len() as u64;
        let empty = (1 + 4 + 255 * 32 + 4) as u64;
        let all = empty + (two - empty) / 2 * count;
        let capacity = ManifestPack::capacity(scheme) as u64;
        assert!(count > 0 && all <= capacity, "{total}: {count} packs take {all} of {capacity}");
        assert!(count > 1_000 || total == 1 || scheme.total() > 10, "{total}: {count}");
    }
}

#[test]
fn whole_records_are_told_from_parts() {
    let records: Vec<Vec<u8>> = chain(3).iter().map(|record| record.as_bytes().to_vec()).collect();
    let all = records.concat();
    for len in 0..=all.len() {
        let ends = [0, records[0].len(), records[0].len() + records[1].len(), all.len()];
        let whole = ends.into_iter().rfind(|end| *end <= len).unwrap();
        assert_eq!(Record::whole_len(&all[..len]), whole, "{len}");
    }
    assert_eq!(Record::whole_len(&[0xff; 200]), 0);
}
