//! Needs that are told by those of another snapshot: right ones and wrong ones.

use blobdvm::format::codec::encode;
use blobdvm::format::{NeedsAfter, PlacementItem};
use blobdvm::types::{PackId, SnapshotId};
use serde_json::{Value, json};

use super::describe;
use super::wrong::{changed, read, wrong};

fn needs(without: &[u8], with: &[u8]) -> PlacementItem {
    let packs = |numbers: &[u8]| numbers.iter().map(|number| PackId::new([*number; 16])).collect();
    PlacementItem::NeedsAfter(NeedsAfter {
        snapshot: SnapshotId::new([0xcc; 16]),
        base: SnapshotId::new([0xcd; 16]),
        without: packs(without),
        with: packs(with),
    })
}

pub(crate) fn items() -> Vec<Value> {
    let vector = |item: &PlacementItem| {
        json!({
            "layer": "placement",
            "encoding": hex::encode(encode(item).unwrap()),
            "described": describe::placement(item),
        })
    };
    [needs(&[], &[]), needs(&[1], &[2, 3]), needs(&[1, 9], &[])].iter().map(vector).collect()
}

pub(crate) fn wrong_items() -> Vec<Value> {
    let right = encode(&needs(&[1, 3], &[2, 4])).unwrap();
    let item = |law, bytes: Vec<u8>| wrong(law, "placement item", bytes);
    // Type, snapshot, base; a count and two packs; a count and two packs.
    let (base, without, with) = (1 + 16, 1 + 32 + 4, 1 + 32 + 4 + 32 + 4);
    let vectors = vec![
        item("needs after others are complete", changed(&right, |bytes| bytes.truncate(bytes.len() - 1))),
        item("needs after others end where they end", changed(&right, |bytes| bytes.push(0))),
        item(
            "needs after others are told by another",
            changed(&right, |bytes| bytes[base..base + 16].fill(0xcc)),
        ),
        item("packs that are left out ascend", changed(&right, |bytes| bytes[without..without + 16].fill(3))),
        item("packs that are added ascend", changed(&right, |bytes| bytes[with..with + 16].fill(5))),
        item("no pack is left out and added", changed(&right, |bytes| bytes[with..with + 16].fill(1))),
        item("at most 16,384 packs are left out", changed(&right, |bytes| bytes[without - 3] = 0x80)),
        item("at most 16,384 packs are added", changed(&right, |bytes| bytes[with - 3] = 0x80)),
    ];
    let with_error = |mut vector: Value| {
        vector["error"] = read(&vector).expect_err("it is wrong").into();
        vector
    };
    vectors.into_iter().map(with_error).collect()
}
