//! The journal of what is sent: it outlives the process, says nothing wrong, and counts for nothing in a copy.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::format::FormatError;
use crate::types::BlobHash;
use crate::types::limits::UNFINISHED_AGE_MAX;
use crate::vault::unfinished::{Part, Sent, WHAT};

fn entry(number: u8) -> Sent {
    let part = if number.is_multiple_of(2) {
        Part::Shard { pack: PackId::new([number; 16]), shard: ShardIndex(number) }
    } else {
        Part::Manifest { counter: number.into() }
    };
    let (provider, hash) = (ProviderId::new([number % 3; 32]), BlobHash::new([number; 32]));
    Sent { part, provider, hash, at: Timestamp(1_001) }
}

fn note(vault: &Vault, numbers: std::ops::Range<u8>) {
    for Sent { part, provider, hash, .. } in numbers.map(entry) {
        vault.unfinished().note(part, provider, hash);
    }
}

/// What another process finds, in the order of the numbers.
fn left(folder: &TempDir) -> Vec<Sent> {
    let mut left = reopen(folder).unwrap().unfinished().left();
    left.sort_by_key(|sent| sent.hash);
    left
}

fn journal(folder: &TempDir) -> PathBuf {
    folder.path().join("home/unfinished")
}

#[test]
fn what_was_sent_is_known_to_the_next_process_until_it_is_forgotten() {
    let (vault, folder) = fresh(1);
    note(&vault, 0..5);
    vault.unfinished().settle(|sent| sent.hash == entry(3).hash);
    assert_eq!(vault.unfinished().left().len(), 4);
    drop(vault);
    // Whether it was recorded says the manifest: the journal only grows.
    assert_eq!(left(&folder), (0..5).map(entry).collect::<Vec<_>>());
    let vault = reopen(&folder).unwrap();
    vault.unfinished().forget(entry(2).provider, &[entry(2).hash, entry(4).hash]);
    note(&vault, 7..8);
    vault.unfinished().tidy().unwrap();
    drop(vault);
    let expected: Vec<_> = [0, 1, 3, 4, 7].map(|number| entry(number).hash).into();
    assert_eq!(left(&folder).iter().map(|sent| sent.hash).collect::<Vec<_>>(), expected);
}

#[test]
fn a_journal_that_is_cut_off_or_spoilt_says_what_comes_before() {
    let (vault, folder) = fresh(1);
    note(&vault, 0..4);
    let (whole, inode) = (fs::read(journal(&folder)).unwrap(), fs::metadata(journal(&folder)).unwrap().ino());
    let unfinished = vault.unfinished();
    let count = |bytes: &[u8]| {
        let found = unfinished.parse(bytes, inode);
        let expected = (0..4).map(entry).take(found.len());
        for Sent { part, provider, hash, at } in expected {
            assert_eq!(found.get(&(provider, hash)), Some(&(part, at)));
        }
        found.len()
    };
    assert_eq!(count(&whole), 4);
    assert_eq!(unfinished.parse(&whole, inode + 1).len(), 0);
    let mut last = 0;
    for len in 0..whole.len() {
        let found = count(&whole[..len]);
        assert!((last..4).contains(&found), "{len} bytes");
        last = found;
    }
    assert_eq!(last, 3);
    for at in 0..whole.len() {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x10;
        assert!(count(&spoilt) < 4, "byte {at}");
    }
}

#[test]
fn a_copied_home_has_no_journal_and_neither_has_a_new_device() {
    let (vault, folder) = fresh(1);
    note(&vault, 0..3);
    drop(vault);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder.path().join("home"), &copy.path().join("home"));
    fs::set_permissions(copy.path().join("home/key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(left(&copy), []);
    let vault = reopen(&folder).unwrap();
    vault.start_new_device().unwrap();
    assert_eq!(vault.unfinished().left(), []);
}

#[test]
fn what_was_sent_long_ago_is_left_to_the_search_for_orphans() {
    let (vault, folder) = fresh(1);
    note(&vault, 0..3);
    drop(vault);
    let late = Arc::new(ManualClock::new(Timestamp(1_001 + UNFINISHED_AGE_MAX.as_secs())));
    let home = folder.path().join("home");
    assert_eq!(Home::open(&home, &Env::seeded(1, late.clone())).unwrap().unfinished().left().len(), 3);
    late.advance(std::time::Duration::from_secs(1));
    assert_eq!(Home::open(&home, &Env::seeded(1, late)).unwrap().unfinished().left(), []);
}

#[test]
fn a_journal_of_a_long_put_stays_short() {
    let (vault, folder) = fresh(1);
    for number in 0..40_000_u32 {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_le_bytes());
        let (pack, shard) = (PackId::new([1; 16]), ShardIndex(0));
        vault.unfinished().note(Part::Shard { pack, shard }, ProviderId::new([1; 32]), BlobHash::new(hash));
        vault.unfinished().settle(|_| true);
    }
    assert!(fs::metadata(journal(&folder)).unwrap().len() <= 1024 * 1024);
}

#[test]
fn an_entry_has_one_encoding_and_anything_else_is_refused() {
    for number in 0..4 {
        let bytes = codec::encode(&entry(number)).unwrap();
        assert_eq!(codec::decode::<Sent>(&bytes, WHAT).unwrap(), entry(number));
        for len in 0..bytes.len() {
            assert!(codec::decode::<Sent>(&bytes[..len], WHAT).is_err(), "{len} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(codec::decode::<Sent>(&longer, WHAT).is_err());
        for kind in [0, 3, 255] {
            let mut unknown = bytes.clone();
            unknown[0] = kind;
            let refused = codec::decode::<Sent>(&unknown, WHAT);
            assert!(matches!(refused, Err(FormatError::UnknownType { .. })), "{refused:?}");
        }
    }
}
