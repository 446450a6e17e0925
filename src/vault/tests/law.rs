//! The catalog is a cache: rebuilt from the manifest, it answers everything as the kept one does.

use proptest::prelude::*;

use super::*;

/// One step in the life of a vault.
#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Segment(u8, u8),
    Promise(u8, u8, u8, u64),
    Needs(u8, Vec<u8>),
    Condemn(u8, u8),
    Release(u8, u8),
    Drop(u8),
    NewDevice,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Step::Put),
        2 => (0..6_u8, 0..6_u8).prop_map(|(number, pack)| Step::Segment(number, pack)),
        3 => (0..6_u8, 0..2_u8, 0..3_u8, 0..9_u64).prop_map(|(a, b, c, d)| Step::Promise(a, b, c, d)),
        1 => (0..6_u8, proptest::collection::vec(0..6_u8, 0..4)).prop_map(|(a, b)| Step::Needs(a, b)),
        1 => (0..6_u8, 0..6_u8).prop_map(|(snapshot, pack)| Step::Condemn(snapshot, pack)),
        1 => (0..6_u8, 0..6_u8).prop_map(|(pack, snapshot)| Step::Release(pack, snapshot)),
        1 => (0..6_u8).prop_map(Step::Drop),
        1 => Just(Step::NewDevice),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rebuilt_catalog_answers_as_the_kept_one(steps in proptest::collection::vec(step(), 0..25)) {
        let (vault, folder) = fresh(1);
        let mut vault = Some(vault);
        for step in steps {
            let open = vault.as_ref().unwrap();
            match step {
                Step::Put(number) => put(open, number),
                Step::Segment(number, pack) => open.append(&[], &[segment(number, pack)]).unwrap(),
                Step::Promise(a, b, c, d) => open.append(&[promise(a, b, c, d)], &[]).unwrap(),
                Step::Needs(snapshot, packs) => open.append(&[needs(snapshot, &packs)], &[]).unwrap(),
                Step::Condemn(snapshot, pack) => open.append(&[condemn(&[snapshot], &[pack], pack.into())], &[]).unwrap(),
                Step::Release(pack, snapshot) => open.append(&[release(pack, snapshot)], &[]).unwrap(),
                Step::Drop(pack) => open.append(&[dropped(pack)], &[]).unwrap(),
                Step::NewDevice => { open.start_new_device().unwrap(); }
                Step::Reopen => {
                    drop(vault.take());
                    vault = Some(reopen(&folder).unwrap());
                }
            }
        }
        let kept = everything(vault.as_ref().unwrap(), 6);
        drop(vault);
        fs::remove_file(folder.path().join("home/catalog.redb")).unwrap();
        prop_assert_eq!(everything(&reopen(&folder).unwrap(), 6), kept);
    }
}
