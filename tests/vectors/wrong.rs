//! Bytes that are almost right: how they were made, and how they are read.

use bytes::Bytes;
use std::fmt::Debug;

use blobdvm::crypt::{Aad, Layer, Purpose, SealedKind, SegmentKey, seal_salted, seal_segment, sign};
use blobdvm::erasure::Scheme;
use blobdvm::format::codec::{Writer, decode, encode};
use blobdvm::format::*;
use blobdvm::types::{BlobHash, DeviceId, MerkleRoot, PackId, ProviderId, ShardIndex, Tag};
use serde_json::{Value, json};

use super::make::{content_items, entry, file, head, placement_items, removal_items, rng, secret_keys};
use super::{array, bytes, check, text, wrong_chain};

/// Reads a vector as what it claims to be.
pub(crate) fn read(vector: &Value) -> Result<(), String> {
    let (bytes, keys) = (bytes(vector, "bytes"), secret_keys());
    let outcome = match text(vector, "what") {
        "placement item" => decode::<PlacementItem>(&bytes, "an item").map(drop),
        "content item" => decode::<ContentItem>(&bytes, "an item").map(drop),
        "entry" => decode::<Entry>(&bytes, "an entry").map(drop),
        "index" => decode::<RunIndex>(&bytes, "an index").map(drop),
        "packed data" => compress::unpack(&bytes, 1000, "packed data").map(drop),
        "chain" => return check::read_chain(&bytes, &keys).map(drop).map_err(|fault| name_of(&fault)),
        "head" => check::open_head(&bytes, &keys).map(drop),
        "segment" => {
            let piece =
                Piece { pack: PackId::new([0; 16]), offset: 0, len: u32::try_from(bytes.len()).unwrap() };
            let key = SegmentKey::new(array(vector, "key"));
            let plain_len = u32::try_from(vector["plain_len"].as_u64().unwrap()).unwrap();
            let segment = Segment { tag: Tag::new([0; 32]), key, plain_len, pieces: vec![piece] };
            segment::open(&segment, bytes).map(drop)
        }
        "shard" => {
            let coding: Coding = decode(&super::bytes(vector, "coding"), "a coding").unwrap();
            coding.verify(ShardIndex(0), Bytes::from(bytes)).map(drop)
        }
        "capability" => Capability::parse(str::from_utf8(&bytes).unwrap_or_default()).map(drop),
        other => panic!("{other} is not known"),
    };
    outcome.map_err(|error| name_of(&error))
}

/// Name of an error's innermost variant: what texts say may be said better one day.
fn name_of(error: &impl Debug) -> String {
    let mut text = format!("{error:?}");
    for wrapper in ["Format(", "Crypt(", "Codec(", "Scheme("] {
        text = text.strip_prefix(wrapper).unwrap_or(&text).to_owned();
    }
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// All wrong vectors, each with the error that it gives.
pub(crate) fn make() -> Vec<Value> {
    let parts = [
        placement(),
        content(),
        entries(),
        packed(),
        wrong_chain::make(),
        heads(),
        indexes(),
        blobs(),
        removals(),
    ];
    let with_error = |mut vector: Value| {
        vector["error"] = read(&vector).expect_err(text(&vector, "law")).into();
        vector
    };
    parts.into_iter().flatten().map(with_error).collect()
}

pub(crate) fn wrong(law: &str, what: &str, bytes: impl AsRef<[u8]>) -> Value {
    json!({ "law": law, "what": what, "bytes": hex::encode(bytes) })
}

/// An encoding with `change` made to it.
pub(crate) fn changed(encoding: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = encoding.to_vec();
    change(&mut bytes);
    bytes
}

fn placement() -> Vec<Value> {
    let items: Vec<Vec<u8>> = placement_items().iter().map(|item| encode(item).unwrap()).collect();
    let [device, _, pack, masked, promises, needs, _] = items.as_slice() else { panic!("seven items") };
    let item = |law, bytes: Vec<u8>| wrong(law, "placement item", bytes);
    // A pack: type, id, need, total, sealed_len, shard_len.
    let (need, total, sealed_len, shard_len) = (17, 18, 19, 23);
    vec![
        item("an item has a type", Vec::new()),
        item("a placement item's type is known", changed(device, |b| b[0] = 9)),
        item("type 0 is no item", changed(device, |b| b[0] = 0)),
        item("reserved types are not read yet", changed(needs, |b| b[0] = 7)),
        item("an item is complete", changed(device, |b| b.truncate(b.len() - 1))),
        item("an item ends where it ends", changed(device, |b| b.push(0))),
        item("a device's class is known", changed(device, |b| b[17] = 3)),
        item("a count is within its limit", changed(promises, |b| b[33..37].copy_from_slice(&[0xff; 4]))),
        item("a count is true", changed(promises, |b| b[33] += 1)),
        item("need is at least 1", changed(pack, |b| b[need] = 0)),
        item("need is at most total", changed(pack, |b| b[total] = 1)),
        item("a pack has shards", changed(masked, |b| b[total] = 0)),
        item("a pack is not empty", changed(pack, |b| b[sealed_len..sealed_len + 4].fill(0))),
        item("a pack is within its capacity", changed(pack, |b| b[sealed_len + 3] = 1)),
        item("shard_len follows from sealed_len", changed(pack, |b| b[shard_len + 1] = 0x20)),
        item("a pack of which one shard is enough has a mask", changed(masked, |b| b[need] = 2)),
        item("every shard has a name", changed(pack, |b| b.truncate(b.len() - 64))),
    ]
}

fn removals() -> Vec<Value> {
    let items: Vec<Vec<u8>> = removal_items().iter().map(|item| encode(item).unwrap()).collect();
    let [condemn, empty, release, dropped] = items.as_slice() else { panic!("four items") };
    let item = |law, bytes: Vec<u8>| wrong(law, "placement item", bytes);
    // Condemn: type, at, count, two snapshots, count, two packs. Release: type, pack, count. Drop: type, count.
    let (snapshots, packs, released, packs_dropped) = (13, 49, 21, 5);
    vec![
        item("removed snapshots ascend", changed(condemn, |b| b[snapshots] = 9)),
        item(
            "a snapshot is removed once",
            changed(condemn, |b| b.copy_within(snapshots..snapshots + 16, 29)),
        ),
        item("condemned packs ascend", changed(condemn, |b| b[packs] = 9)),
        item(
            "at most 16384 snapshots are removed by one item",
            changed(empty, |b| b[9..13].copy_from_slice(&[1, 0x40, 0, 0])),
        ),
        item(
            "at most 32768 packs are condemned by one item",
            changed(empty, |b| b[13..17].copy_from_slice(&[1, 0x80, 0, 0])),
        ),
        item("released snapshots ascend", changed(release, |b| b[released] = 9)),
        item("a release is complete", changed(release, |b| b.truncate(b.len() - 1))),
        item("dropped packs ascend", changed(dropped, |b| b[packs_dropped] = 9)),
        item("a drop ends where it ends", changed(dropped, |b| b.push(0))),
    ]
}

fn content() -> Vec<Value> {
    let items: Vec<Vec<u8>> = content_items().iter().map(|item| encode(item).unwrap()).collect();
    let [segment, list, _, page, _, snapshot] = items.as_slice() else { panic!("six items") };
    let item = |law, bytes: Vec<u8>| wrong(law, "content item", bytes);
    // A segment: type, tag, key, plain_len, count, then pieces of pack, offset, length.
    let (plain_len, count, piece_len, next_piece_len) = (65, 69, 73 + 20, 73 + 24 + 20);
    let page_of = |names: &[&[u8]]| {
        let mut out = Writer::new();
        out.u8(3);
        out.raw(&[0; 32]);
        let entries: Vec<Entry> = names.iter().map(|name| entry(name, file(0, Vec::new()))).collect();
        out.list(&entries, 9, "entries").unwrap();
        out.into_bytes()
    };
    vec![
        item("a content item's type is known", changed(segment, |b| b[0] = 5)),
        item("a segment is not empty", changed(segment, |b| b[plain_len..plain_len + 4].fill(0))),
        item("a segment has at most 4 MiB", changed(segment, |b| b[plain_len] = 1)),
        item("no piece is empty", changed(segment, |b| b[next_piece_len..next_piece_len + 4].fill(0))),
        item("a sealed segment is at most 17 bytes longer", changed(segment, |b| b[piece_len + 3] = 1)),
        item(
            "a segment has pieces",
            changed(segment, |b| {
                b.truncate(count);
                b.extend([0; 4]);
            }),
        ),
        item("a reference list is complete", changed(list, |b| b.truncate(b.len() - 1))),
        item(
            "a reference list has at most 16384 tags",
            changed(list, |b| b[33..37].copy_from_slice(&[1, 0x40, 0, 0])),
        ),
        item("a page's names ascend", page_of(&[b"b", b"a"])),
        item("a page's names differ", page_of(&[b"a", b"a"])),
        item(
            "a page has at most 4096 entries",
            changed(page, |b| b[33..37].copy_from_slice(&[1, 0x10, 0, 0])),
        ),
        // A snapshot: type, id, then its name with the two bytes of ä at 22 and 23.
        item("text is UTF-8", changed(snapshot, |b| b[23] = 0xff)),
        item(
            "references are of a known kind",
            changed(snapshot, |b| {
                let root = b.len() - 16 - 32 - 4 - 1;
                b[root] = 3;
            }),
        ),
    ]
}

fn entries() -> Vec<Value> {
    // Name of one byte at 4, mode at 5, uid, gid, user, group, mtime, mtime_nanos at 37, xattrs, group, kind at 53.
    let plain = encode(&entry(b"n", file(100, Vec::new()))).unwrap();
    let named = |law, name: u8| wrong(law, "entry", changed(&plain, |b| b[4] = name));
    let kind = plain.len() - (1 + 8 + 32 + 4 + 1 + 4);
    let holes = |law, holes: &[(u64, u64)]| {
        let bytes = changed(&plain, |b| {
            b.truncate(kind + 1 + 8 + 32);
            b.extend(u32::try_from(holes.len()).unwrap().to_le_bytes());
            for (offset, len) in holes {
                b.extend(offset.to_le_bytes());
                b.extend(len.to_le_bytes());
            }
            b.extend([1, 0, 0, 0, 0]);
        });
        wrong(law, "entry", bytes)
    };
    let nanos = kind - 8 - 4 - 4;
    vec![
        named("a name is not .", b'.'),
        named("a name has no slash", b'/'),
        named("a name has no NUL", 0),
        wrong(
            "a name is not empty",
            "entry",
            changed(&plain, |b| {
                b[0] = 0;
                b.remove(4);
            }),
        ),
        wrong(
            "a name is not ..",
            "entry",
            changed(&plain, |b| {
                b[0] = 2;
                b[4] = b'.';
                b.insert(5, b'.');
            }),
        ),
        wrong("a mode has permission bits only", "entry", changed(&plain, |b| b[6] = 0x80)),
        wrong(
            "a second has 10^9 nanoseconds",
            "entry",
            changed(&plain, |b| b[nanos..nanos + 2].copy_from_slice(&[0, 0xca])),
        ),
        wrong("an entry's kind is known", "entry", changed(&plain, |b| b[kind] = 8)),
        holes("a hole is not empty", &[(5, 0)]),
        holes("holes ascend", &[(50, 1), (5, 1)]),
        holes("holes do not touch", &[(5, 5), (10, 1)]),
        holes("a hole is within its file", &[(99, 2)]),
        holes("a hole's end is a number", &[(1, u64::MAX)]),
    ]
}

fn packed() -> Vec<Value> {
    let frame = compress::pack(&[7; 900], 0);
    let data = |law, bytes: Vec<u8>| wrong(law, "packed data", bytes);
    vec![
        data("packed data has a flag", Vec::new()),
        data("the flag is known", vec![2, 1]),
        data("raw data is within its limit", vec![0; 1002]),
        data("a frame's content is within its limit", compress::pack(&[7; 1001], 0)),
        data("a frame is complete", changed(&frame, |b| b.truncate(b.len() - 1))),
        data("nothing follows the frame", changed(&frame, |b| b.push(0))),
        data("there is one frame", [frame.as_slice(), &frame[1..]].concat()),
        data("flag 1 is followed by a frame", vec![1, 2, 3, 4, 5, 6]),
        data("a frame is shorter than its content", {
            // Magic, single segment with one byte of size, one raw block of three bytes that is the last.
            vec![1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, b'a', b'b', b'c']
        }),
        data("a frame states its content's size", {
            // The same without a size: window descriptor instead.
            vec![1, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x19, 0, 0, b'a', b'b', b'c']
        }),
    ]
}

/// A head that was changed before or after it was signed.
fn sealed_head(before: impl FnOnce(&mut Vec<u8>), after: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (keys, head) = (secret_keys(), head());
    let mut plain = encode(&head).unwrap();
    before(&mut plain);
    let signature = sign::sign(&plain, Purpose::Head, &keys.device_keys(head.class, &head.device));
    plain.extend(signature.0);
    plain.resize(4096 - 48, 0);
    after(&mut plain);
    let (vault, device) = (keys.vault_id(), DeviceId::new([0; 16]));
    let aad = Aad { kind: SealedKind::Head, vault, device, layer: Layer::Placement, extra: &[] };
    seal_salted(&plain, &aad, &keys.head_key(), &mut rng(1))
}

fn heads() -> Vec<Value> {
    let before = |law, change: fn(&mut Vec<u8>)| wrong(law, "head", sealed_head(change, |_| {}));
    let after = |law, change: fn(&mut Vec<u8>)| wrong(law, "head", sealed_head(|_| {}, change));
    let right = sealed_head(|_| {}, |_| {});
    assert!(check::open_head(&right, &secret_keys()).is_ok());
    vec![
        wrong("a head has one of five lengths", "head", &right[1..]),
        wrong("a head authenticates", "head", changed(&right, |b| b[4000] ^= 1)),
        before("a head's version is known", |b| b[0] = 2),
        before("a head's class is known", |b| b[17] = 0),
        before("a head's device is certified", |b| b[1] ^= 1),
        before("a head's last record is that of its runs", |b| b[130] += 1),
        after("a head is signed by its device", |b| b[114] ^= 1),
        after("zeros follow a head", |b| *b.last_mut().unwrap() = 1),
        after("a head has the shortest length with room", |b| b.resize(8192 - 48, 0)),
        // The list of three providers stands at 170; the runs name positions in it.
        before("a head's packs name its providers", |b| {
            b[170] = 2;
            b.drain(174..206);
        }),
    ]
}

fn indexes() -> Vec<Value> {
    let pack = head().runs.remove(1).pack;
    let index =
        RunIndex { providers: [1, 2, 3].map(|id| ProviderId::new([id; 32])).into(), packs: vec![pack] };
    let encoding = encode(&index).unwrap();
    // Version, count, three providers, count, then key and plain_len of the pack.
    let plain_len = 1 + 4 + 96 + 4 + 32;
    vec![
        wrong("an index's version is known", "index", changed(&encoding, |b| b[0] = 2)),
        wrong(
            "an index's packs name its providers",
            "index",
            changed(&encoding, |b| *b.last_mut().unwrap() = 3),
        ),
        wrong(
            "a manifest pack is not empty",
            "index",
            changed(&encoding, |b| b[plain_len..plain_len + 4].fill(0)),
        ),
        wrong("a manifest pack has at most 8 MiB", "index", changed(&encoding, |b| b[plain_len + 3] = 1)),
    ]
}

fn blobs() -> Vec<Value> {
    let sealed = segment::seal(b"so it goes", &mut rng(1));
    let empty = seal_segment(Vec::new(), &mut rng(1));
    let segment = |law, key: &SegmentKey, plain_len: u32, bytes: &[u8]| {
        let mut vector = wrong(law, "segment", bytes);
        vector["key"] = hex::encode(key.expose()).into();
        vector["plain_len"] = plain_len.into();
        vector
    };
    let blob = vec![5; 4096];
    let shard = |law, bytes: &[u8]| {
        let name = ShardName { hash: BlobHash::of(&blob), root: MerkleRoot::new([0; 32]) };
        let scheme = Scheme::new(2, 2).unwrap();
        let coding = Coding { scheme, sealed_len: 8192, mask: None, shards: vec![name; 2] };
        let mut vector = wrong(law, "shard", bytes);
        vector["coding"] = hex::encode(encode(&coding).unwrap()).into();
        vector
    };
    let flipped = changed(&sealed.bytes, |b| b[3] ^= 1);
    vec![
        segment("a sealed segment authenticates", &sealed.key, 10, &flipped),
        segment("a sealed segment is complete", &sealed.key, 10, &sealed.bytes[..sealed.bytes.len() - 1]),
        segment("a segment opens with its own key", &SegmentKey::new([0; 32]), 10, &sealed.bytes),
        segment("a segment is as long as recorded", &sealed.key, 11, &sealed.bytes),
        segment("a segment is not longer than recorded", &sealed.key, 9, &sealed.bytes),
        segment("a segment's plaintext has a flag", &empty.key, 1, &empty.bytes),
        shard("a shard has the recorded hash", &changed(&blob, |b| b[0] ^= 1)),
        shard("a shard has the recorded length", &blob[..4095]),
    ]
}
