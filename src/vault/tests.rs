//! Laws of the vault as a whole, and what they are tried with.

mod append;
mod capability;
mod crash;
mod heads;
mod homes;
mod import;
mod law;
mod needs;
mod removal;
mod tamper;
mod unfinished;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::crypt::{SegmentKey, VaultSecret};
use crate::env::{Env, ManualClock};
use crate::format::{
    Coding, Condemn, ContentItem, Dropped, Needs, Pack, Piece, PlacementItem, Promise, Promises, RefList,
    Refs, Release, Segment, Snapshot, TreePage, codec,
};
use crate::types::{PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp};

const SECRET: [u8; 32] = [0x42; 32];

fn env(seed: u64) -> Env {
    Env::seeded(seed, Arc::new(ManualClock::new(Timestamp(1_000 + seed))))
}

/// A vault in a temporary home, with the home's folder, which goes when it is dropped.
fn fresh(seed: u64) -> (Vault, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let vault = Home::init(&folder.path().join("home"), VaultSecret::new(SECRET), &env(seed)).unwrap();
    (vault, folder)
}

fn reopen(folder: &TempDir) -> Result<Vault, VaultError> {
    Home::open(&folder.path().join("home"), &env(99))
}

fn log_path(home: &Path, device: crate::types::DeviceId) -> PathBuf {
    home.join("manifest").join(format!("{device}.log"))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn tag(number: u8) -> Tag {
    Tag::new([number; 32])
}

fn pack_id(number: u8) -> PackId {
    PackId::new([number; 16])
}

fn provider(number: u8) -> ProviderId {
    ProviderId::new([number; 32])
}

/// A pack as its encoding says it: 2 of 3 for even numbers, 1 of 2 and masked for odd ones.
fn pack(number: u8) -> PlacementItem {
    let even = number.is_multiple_of(2);
    let (need, total, shard_len) = if even { (2, 3, 4_096_u32) } else { (1, 2, 8_192) };
    let mut bytes = vec![need, total];
    bytes.extend(5_000_u32.to_le_bytes());
    bytes.extend(shard_len.to_le_bytes());
    bytes.extend(vec![number; if even { 0 } else { 32 }]);
    (0..total).for_each(|index| bytes.extend([[number ^ index; 32], [index; 32]].concat()));
    let coding = codec::decode::<Coding>(&bytes, "a coding").unwrap();
    PlacementItem::Pack(Pack { id: pack_id(number), coding })
}

fn promise(pack: u8, shard: u8, provider_number: u8, expires: u64) -> PlacementItem {
    let promise = Promise { pack: pack_id(pack), shard: ShardIndex(shard), expires: Timestamp(expires) };
    PlacementItem::Promises(Promises { provider: provider(provider_number), promises: vec![promise] })
}

fn needs(snapshot: u8, packs: &[u8]) -> PlacementItem {
    let packs = packs.iter().map(|number| pack_id(*number)).collect();
    PlacementItem::Needs(Needs { snapshot: SnapshotId::new([snapshot; 16]), packs })
}

fn condemn(snapshots: &[u8], packs: &[u8], at: u64) -> PlacementItem {
    let snapshots = snapshots.iter().map(|number| SnapshotId::new([*number; 16])).collect();
    let packs = packs.iter().map(|number| pack_id(*number)).collect();
    PlacementItem::Condemn(Condemn { at: Timestamp(at), snapshots, packs })
}

fn release(pack: u8, snapshot: u8) -> PlacementItem {
    PlacementItem::Release(Release { pack: pack_id(pack), snapshots: vec![SnapshotId::new([snapshot; 16])] })
}

fn dropped(pack: u8) -> PlacementItem {
    PlacementItem::Drop(Dropped { packs: vec![pack_id(pack)] })
}

/// Segment `number`, in pack `in_pack`; the key tells the records of one tag apart.
fn segment(number: u8, in_pack: u8) -> ContentItem {
    let piece = Piece { pack: pack_id(in_pack), offset: 0, len: 100 };
    let key = SegmentKey::new([in_pack; 32]);
    ContentItem::Segment(Segment { tag: tag(number), key, plain_len: 90, pieces: vec![piece] })
}

fn ref_list(number: u8) -> ContentItem {
    ContentItem::RefList(RefList { tag: tag(number), tags: vec![tag(1), tag(number)] })
}

fn tree_page(number: u8) -> ContentItem {
    ContentItem::TreePage(TreePage { tag: tag(number), entries: Vec::new() })
}

fn snapshot(number: u8, name: &str) -> ContentItem {
    ContentItem::Snapshot(Snapshot {
        id: SnapshotId::new([number; 16]),
        name: name.into(),
        made_at: Timestamp(number.into()),
        host: "host".into(),
        labels: Vec::new(),
        paths: vec![b"/path".to_vec()],
        root: Refs::Direct(vec![tag(number)]),
        files: 1,
        bytes: 90,
    })
}

/// A put's worth of items that are all about `number`.
fn put(vault: &Vault, number: u8) {
    let placement =
        [pack(number), promise(number, 0, 1, 50), promise(number, 1, 2, 60), needs(number, &[number])];
    let content = [segment(number, number), ref_list(number), tree_page(number), snapshot(number, "put")];
    vault.append(&placement, &content).unwrap();
}

/// All that can be asked about the numbers below `below`, as text.
fn everything(vault: &Vault, below: u8) -> String {
    let mut text = String::new();
    for number in 0..below {
        let segments = vault.segments(&tag(number)).unwrap();
        let keys: Vec<_> = segments.iter().map(|segment| segment.key.expose()[0]).collect();
        let pack = vault.pack(&pack_id(number)).unwrap();
        let mask =
            pack.as_ref().and_then(|entry| entry.pack.coding.mask.as_ref()).map(|mask| mask.expose()[0]);
        let list = vault.ref_list(&tag(number)).unwrap();
        let page = vault.tree_page(&tag(number)).unwrap();
        let needs = vault.needs(&SnapshotId::new([number; 16])).unwrap();
        writeln!(text, "{number}: {segments:?} {keys:?} {pack:?} {mask:?} {list:?} {page:?} {needs:?}")
            .unwrap();
    }
    let packs: std::collections::BTreeSet<_> = vault.packs_after(None, 1_000).unwrap().into_iter().collect();
    let (snapshots, ends) = (vault.snapshots().unwrap(), vault.chain_ends());
    let providers = vault.providers_with_history().unwrap();
    let (removals, needed) = (vault.removals().unwrap(), vault.needed_packs().unwrap());
    writeln!(text, "{removals:?}\n{needed:?}").unwrap();
    writeln!(text, "{packs:?}\n{snapshots:?}\n{providers:?}\n{ends:?}").unwrap();
    text
}
