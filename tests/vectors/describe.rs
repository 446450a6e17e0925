//! What decoded values are, in JSON: bytes as hexadecimal, numbers as numbers, 64-bit ones as decimal text.

use blobdvm::format::*;
use serde_json::{Value, json};

fn hexes<T: ToString>(ids: &[T]) -> Value {
    ids.iter().map(ToString::to_string).collect()
}

pub(crate) fn placement(item: &PlacementItem) -> Value {
    match item {
        PlacementItem::Device(device) => json!({
            "type": "Device",
            "id": device.id,
            "class": device.class.code(),
            "key": hex::encode(device.key.0),
            "created": device.created.0.to_string(),
            "certificate": hex::encode(device.certificate.0),
            "continues": device.continues.iter().map(chain_end).collect::<Value>(),
        }),
        PlacementItem::Pack(pack) => json!({ "type": "Pack", "id": pack.id, "coding": coding(&pack.coding) }),
        PlacementItem::Promises(promises) => json!({
            "type": "Promises",
            "provider": promises.provider,
            "promises": promises.promises.iter().map(|promise| json!({
                "pack": promise.pack,
                "shard": promise.shard.0,
                "expires": promise.expires.0.to_string(),
            })).collect::<Value>(),
        }),
        PlacementItem::Needs(needs) => json!({
            "type": "Needs",
            "snapshot": needs.snapshot,
            "packs": hexes(&needs.packs),
        }),
        PlacementItem::NeedsAfter(needs) => json!({
            "type": "NeedsAfter",
            "snapshot": needs.snapshot,
            "base": needs.base,
            "without": hexes(&needs.without),
            "with": hexes(&needs.with),
        }),
        PlacementItem::Condemn(condemn) => json!({
            "type": "Condemn",
            "at": condemn.at.0.to_string(),
            "snapshots": hexes(&condemn.snapshots),
            "packs": hexes(&condemn.packs),
        }),
        PlacementItem::Release(release) => json!({
            "type": "Release",
            "pack": release.pack,
            "snapshots": hexes(&release.snapshots),
        }),
        PlacementItem::Drop(dropped) => json!({ "type": "Drop", "packs": hexes(&dropped.packs) }),
        PlacementItem::Grant(grant) => json!({
            "type": "Grant",
            "device": grant.device,
            "created": grant.created.0.to_string(),
            "author": hex::encode(grant.author.0),
            "label": grant.label,
        }),
        PlacementItem::Revoke(revoke) => json!({ "type": "Revoke", "device": revoke.device }),
        other => panic!("{other:?} has no description"),
    }
}

pub(crate) fn content(item: &ContentItem) -> Value {
    match item {
        ContentItem::Segment(segment) => json!({
            "type": "Segment",
            "tag": segment.tag,
            "key": hex::encode(segment.key.expose()),
            "plain_len": segment.plain_len,
            "pieces": segment.pieces.iter().map(|piece| json!({
                "pack": piece.pack,
                "offset": piece.offset,
                "len": piece.len,
            })).collect::<Value>(),
        }),
        ContentItem::RefList(list) => {
            json!({ "type": "RefList", "tag": list.tag, "tags": hexes(&list.tags) })
        }
        ContentItem::TreePage(page) => json!({
            "type": "TreePage",
            "tag": page.tag,
            "entries": page.entries.iter().map(entry).collect::<Value>(),
        }),
        ContentItem::Snapshot(snapshot) => json!({
            "type": "Snapshot",
            "id": snapshot.id,
            "name": snapshot.name,
            "made_at": snapshot.made_at.0.to_string(),
            "host": snapshot.host,
            "labels": snapshot.labels,
            "paths": snapshot.paths.iter().map(hex::encode).collect::<Value>(),
            "root": refs(&snapshot.root),
            "files": snapshot.files.to_string(),
            "bytes": snapshot.bytes.to_string(),
        }),
        other => panic!("{other:?} has no description"),
    }
}

pub(crate) fn coding(coding: &Coding) -> Value {
    json!({
        "need": coding.scheme.need(),
        "total": coding.scheme.total(),
        "sealed_len": coding.sealed_len,
        "shard_len": coding.shard_len(),
        "mask": coding.mask.as_ref().map(|mask| hex::encode(mask.expose())),
        "shards": coding.shards.iter().map(|shard| json!([shard.hash, shard.root])).collect::<Value>(),
    })
}

pub(crate) fn chain_end(end: &ChainEnd) -> Value {
    json!({
        "device": end.device,
        "sequence": end.sequence.to_string(),
        "hash": hex::encode(end.hash.0),
    })
}

pub(crate) fn head(head: &Head) -> Value {
    json!({
        "device": head.device,
        "class": head.class.code(),
        "key": hex::encode(head.key.0),
        "certificate": hex::encode(head.certificate.0),
        "counter": head.counter.to_string(),
        "made_at": head.made_at.0.to_string(),
        "chain_end": chain_end(&head.chain_end()),
        "providers": hexes(&head.providers),
        "relays": head.relays,
        "others": head.others.iter().map(|other| json!([other.device, other.counter.to_string()])).collect::<Value>(),
        "runs": head.runs.iter().map(|run| json!({
            "level": run.level,
            "depth": match run.depth { RunDepth::Records => 0, RunDepth::Index => 1 },
            "first": run.first.to_string(),
            "last": run.last.to_string(),
            "expires": run.expires.0.to_string(),
            "pack": pack_ref(&run.pack),
        })).collect::<Value>(),
    })
}

fn pack_ref(pack: &PackRef) -> Value {
    json!({
        "key": hex::encode(pack.key.expose()),
        "plain_len": pack.plain_len,
        "coding": coding(&pack.coding),
        "providers": pack.providers,
    })
}

fn refs(refs: &Refs) -> Value {
    match refs {
        Refs::Direct(tags) => json!({ "direct": hexes(tags) }),
        Refs::Lists(tags) => json!({ "lists": hexes(tags) }),
    }
}

fn entry(entry: &Entry) -> Value {
    let kind = match &entry.kind {
        EntryKind::File(file) => json!({
            "file": {
                "len": file.len.to_string(),
                "sha256": hex::encode(file.sha256),
                "holes": file.holes.iter().map(|hole| json!([hole.offset.to_string(), hole.len.to_string()])).collect::<Value>(),
                "content": refs(&file.content),
            }
        }),
        EntryKind::Dir { pages } => json!({ "dir": refs(pages) }),
        EntryKind::Symlink { target } => json!({ "symlink": hex::encode(target) }),
        EntryKind::Fifo => json!("fifo"),
        EntryKind::CharDevice { rdev } => json!({ "char_device": rdev.to_string() }),
        EntryKind::BlockDevice { rdev } => json!({ "block_device": rdev.to_string() }),
        EntryKind::Socket => json!("socket"),
    };
    json!({
        "name": hex::encode(&entry.name),
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "group": entry.group,
        "mtime": entry.mtime.to_string(),
        "mtime_nanos": entry.mtime_nanos,
        "xattrs": entry.xattrs.iter().map(|xattr| json!([hex::encode(&xattr.name), hex::encode(&xattr.value)])).collect::<Value>(),
        "link_group": entry.link_group.to_string(),
        "kind": kind,
    })
}
