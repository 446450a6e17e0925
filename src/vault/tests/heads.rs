//! A head that does not fit the home is noticed: copied homes, homes put back, old heads.

use super::*;
use crate::crypt::SegmentKey;
use crate::format::head::RunDepth;
use crate::format::{Head, PackRef, Run};

/// A head of the vault's chain as it is, with a pack that does not matter here.
fn head(vault: &Vault, counter: u64) -> Head {
    let end = vault.chain_position().unwrap();
    let device = vault.device_record(end.device).unwrap();
    let PlacementItem::Pack(pack) = pack(1) else { panic!("a pack") };
    let providers = vec![0; pack.coding.shards.len()];
    let pack = PackRef { key: SegmentKey::new([5; 32]), plain_len: 4_000, coding: pack.coding, providers };
    let run =
        Run { level: 0, depth: RunDepth::Records, first: 0, last: end.sequence, expires: Timestamp(9), pack };
    Head {
        device: end.device,
        class: device.class,
        key: device.key,
        certificate: device.certificate,
        counter,
        made_at: Timestamp(5),
        last: end.sequence,
        last_hash: end.hash,
        providers: vec![provider(1)],
        relays: vec!["wss://relay.example".into()],
        others: Vec::new(),
        runs: vec![run],
    }
}

#[test]
fn the_last_head_is_remembered_and_sealed() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    assert!(vault.head().unwrap().is_none());
    vault.set_head(&head(&vault, 1)).unwrap();
    drop(vault);
    let vault = reopen(&folder).unwrap();
    let kept = vault.head().unwrap().unwrap();
    assert_eq!((kept.counter, kept.chain_end()), (1, vault.chain_position().unwrap()));
    assert_eq!(vault.compare_head(&kept).unwrap(), HeadRelation::Same);
    let sealed = fs::read(folder.path().join("home/head")).unwrap();
    assert!(!sealed.windows(5).any(|window| window == b"relay"));
    vault.start_new_device().unwrap();
    assert!(vault.head().unwrap().is_none(), "it is the old device's");
}

#[test]
fn an_older_head_is_older_even_where_its_records_are_here() {
    let (vault, _folder) = fresh(1);
    put(&vault, 1);
    let older = head(&vault, 1);
    vault.set_head(&older).unwrap();
    put(&vault, 2);
    let newer = head(&vault, 2);
    vault.set_head(&newer).unwrap();
    assert_eq!(vault.compare_head(&older).unwrap(), HeadRelation::Older);
    assert_eq!(vault.compare_head(&newer).unwrap(), HeadRelation::Same);
}

#[test]
fn a_home_that_was_put_back_sees_its_own_head_as_newer() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    vault.set_head(&head(&vault, 1)).unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&folder.path().join("home"), &backup.path().join("home"));
    put(&vault, 2);
    let published = head(&vault, 2);
    vault.set_head(&published).unwrap();

    let put_back = reopen(&backup).unwrap();
    assert_eq!(put_back.compare_head(&published).unwrap(), HeadRelation::Newer);
    // It must go on as a new device; with the chain taken over, the head is no news any more.
    put_back.start_new_device().unwrap();
    let records = vault.record_bytes(published.device, 0, published.last).unwrap();
    put_back.import_chain(published.device, &records).unwrap();
    put_back.note_head(&published).unwrap();
    assert_eq!(put_back.compare_head(&published).unwrap(), HeadRelation::Same);
}

#[test]
fn two_homes_that_wrote_the_same_chain_are_noticed() {
    let (vault, folder) = fresh(1);
    put(&vault, 1);
    vault.set_head(&head(&vault, 1)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder.path().join("home"), &copy.path().join("home"));
    let copied = reopen(&copy).unwrap();
    put(&vault, 2);
    put(&copied, 3);
    let theirs = head(&copied, 2);
    assert_eq!(
        vault.compare_head(&theirs).unwrap(),
        HeadRelation::Forked,
        "another record at the same place"
    );
    vault.set_head(&head(&vault, 2)).unwrap();
    put(&copied, 4);
    let theirs = head(&copied, 2);
    assert_eq!(vault.compare_head(&theirs).unwrap(), HeadRelation::Forked, "the same counter, other records");
}

#[test]
fn the_head_of_another_device_is_news_until_it_was_followed() {
    let (other, _other_folder) = fresh(7);
    put(&other, 1);
    let theirs = head(&other, 4);
    let (vault, _folder) = fresh(8);
    assert_eq!(vault.compare_head(&theirs).unwrap(), HeadRelation::Newer);
    let records = other.record_bytes(other.device(), 0, theirs.last).unwrap();
    vault.import_chain(other.device(), &records).unwrap();
    vault.note_head(&theirs).unwrap();
    assert_eq!(vault.compare_head(&theirs).unwrap(), HeadRelation::Same);
    assert_eq!(vault.compare_head(&head(&other, 3)).unwrap(), HeadRelation::Older);
}
