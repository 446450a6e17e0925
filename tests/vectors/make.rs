//! How the right vectors were made.

use blobdvm::crypt::{
    Aad, DeviceClass, Layer, LayerKey, MaskKey, PublicKey, Purpose, SealedKind, SegmentKey, TagKey,
    VaultKeys, VaultSecret, mask, seal_salted, sign, tag,
};
use blobdvm::erasure::{Codec, Scheme};
use blobdvm::format::codec::encode;
use blobdvm::format::*;
use blobdvm::types::{DeviceId, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp, VaultId};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::{Value, json};

use super::{check, describe};

pub(crate) const SECRET: [u8; 32] = [0x42; 32];

pub(crate) fn secret_keys() -> VaultKeys {
    VaultKeys::new(VaultSecret::new(SECRET)).unwrap()
}

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng(seed).fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn keys() -> Vec<Value> {
    let make = |secret: [u8; 32], device: u8, provider: u8| {
        let mut vector = json!({
            "secret": hex::encode(secret),
            "device": DeviceId::new([device; 16]),
            "provider": ProviderId::new([provider; 32]),
        });
        for (name, value) in check::derive(&vector) {
            vector[name] = value.into();
        }
        vector
    };
    let mut one = [0; 32];
    one[31] = 1;
    vec![make(SECRET, 0xd0, 0xf0), make(one, 0, 0xff)]
}

/// Two capabilities of one vault, and one of another.
pub(crate) fn capability_keys() -> Vec<Value> {
    let make = |secret: u8, device: u8, provider: u8| {
        let mut vector = json!({
            "secret": hex::encode([secret; 32]),
            "device": DeviceId::new([device; 16]),
            "provider": ProviderId::new([provider; 32]),
        });
        for (name, value) in check::derive_capability(&vector) {
            vector[name] = value.into();
        }
        vector
    };
    vec![make(0x42, 0xd0, 0xf0), make(0x42, 0xd1, 0xf0), make(1, 0, 0xff)]
}

pub(crate) fn sealing() -> Vec<Value> {
    let mut vectors = Vec::new();
    for plain in [b"x".to_vec(), b"so it goes. ".repeat(20), random(100, 1)] {
        let sealed = segment::seal(&plain, &mut rng(plain.len() as u64));
        let packed = compress::pack(&plain, 0);
        vectors.push(json!({
            "what": "segment",
            "key": hex::encode(sealed.key.expose()),
            "plain": hex::encode(plain),
            "packed": hex::encode(packed),
            "sealed": hex::encode(sealed.bytes),
        }));
    }
    let (vault, device, key) = (VaultId::new([1; 16]), DeviceId::new([2; 16]), LayerKey::new([3; 32]));
    let nobody = DeviceId::new([0; 16]);
    let place = [7u64.to_le_bytes().as_slice(), &[9; 32]].concat();
    for (kind, name, layer, device, extra) in [
        (SealedKind::Record, "placement record", Layer::Placement, device, place.as_slice()),
        (SealedKind::Record, "content record", Layer::Content, device, place.as_slice()),
        (SealedKind::Head, "head", Layer::Placement, nobody, &[]),
        (SealedKind::Local, "file of the home", Layer::None, nobody, b"settings"),
    ] {
        let aad = Aad { kind, vault, device, layer, extra };
        vectors.push(json!({
            "what": "salted",
            "kind": name,
            "key": hex::encode(key.expose()),
            "vault": vault,
            "device": device,
            "extra": hex::encode(extra),
            "plain": hex::encode("plain text"),
            "sealed": hex::encode(seal_salted(b"plain text", &aad, &key, &mut rng(1))),
        }));
    }
    let signer = secret_keys();
    for (purpose, name) in [(Purpose::Record, "record"), (Purpose::Device, "device"), (Purpose::Head, "head")]
    {
        vectors.push(json!({
            "what": "signature",
            "purpose": name,
            "message": hex::encode("message"),
            "signer": hex::encode(PublicKey::from(signer.identity()).0),
            "signature": hex::encode(sign::sign(b"message", purpose, signer.identity()).0),
        }));
    }
    vectors.push(json!({
        "what": "segment tag",
        "key": hex::encode([5; 32]),
        "plain": hex::encode("plain text"),
        "tag": tag::segment_tag(b"plain text", &TagKey::new([5; 32])),
    }));
    for index in [0, 1, 254] {
        let mut masked = vec![0xaa; 80];
        mask::mask_shard(&mut masked, ShardIndex(index), &MaskKey::new([6; 32]));
        vectors.push(json!({
            "what": "mask",
            "key": hex::encode([6; 32]),
            "index": index,
            "shard": hex::encode([0xaa; 80]),
            "masked": hex::encode(masked),
        }));
    }
    vectors
}

pub(crate) fn packs() -> Vec<Value> {
    let mut vectors = Vec::new();
    for (need, total) in [(5, 10), (2, 3), (3, 5), (4, 4), (17, 40), (170, 255)] {
        let data = random(usize::from(need) * 2, u64::from(total));
        let data = if need == 5 { vec![0, 1, 4, 5, 2, 3, 6, 7, 8, 9] } else { data };
        let parity = Codec::new(Scheme::new(need, total).unwrap()).encode(&data);
        let shards: Vec<String> = data.chunks(2).chain(parity.chunks(2)).map(hex::encode).collect();
        vectors.push(json!({ "what": "code", "need": need, "total": total, "shards": shards }));
    }
    for (need, total, len) in [(1, 2, 100), (2, 3, 5000), (3, 3, 12_288)] {
        let mut builder = PackBuilder::new(Scheme::new(need, total).unwrap());
        let sealed = random(len, u64::from(need));
        assert!(builder.push(&sealed, &mut rng(1)).filled.is_empty());
        let EncodedPack { pack, shards } = builder.close(&mut rng(2)).unwrap().encode();
        vectors.push(json!({
            "what": "pack",
            "sealed": hex::encode(sealed),
            "coding": hex::encode(encode(&pack.coding).unwrap()),
            "described": describe::coding(&pack.coding),
            "shards": shards.iter().map(hex::encode).collect::<Value>(),
        }));
    }
    vectors
}

pub(crate) fn device(id: u8, class: DeviceClass, continues: Vec<ChainEnd>) -> Device {
    Device::certify(DeviceId::new([id; 16]), class, Timestamp(1_800_000_000), continues, &secret_keys())
}

fn coding(need: u8, total: u8) -> Coding {
    let mut builder = PackBuilder::new(Scheme::new(need, total).unwrap());
    builder.push(&random(1000, 1), &mut rng(1));
    builder.close(&mut rng(2)).unwrap().encode().pack.coding
}

pub(crate) fn placement_items() -> Vec<PlacementItem> {
    let pack = PackId::new([0xaa; 16]);
    let promise = |shard, expires| Promise { pack, shard: ShardIndex(shard), expires: Timestamp(expires) };
    let end = ChainEnd { device: DeviceId::new([1; 16]), sequence: u64::MAX, hash: RecordHash([8; 32]) };
    vec![
        PlacementItem::Device(device(1, DeviceClass::Full, Vec::new())),
        PlacementItem::Device(device(2, DeviceClass::Verify, vec![end])),
        PlacementItem::Pack(Pack { id: pack, coding: coding(2, 3) }),
        PlacementItem::Pack(Pack { id: pack, coding: coding(1, 2) }),
        PlacementItem::Promises(Promises {
            provider: ProviderId::new([0xf0; 32]),
            promises: vec![promise(0, 1_800_000_000), promise(254, u64::MAX)],
        }),
        PlacementItem::Needs(Needs { snapshot: SnapshotId::new([0xcc; 16]), packs: vec![pack] }),
        PlacementItem::Needs(Needs { snapshot: SnapshotId::new([0xcc; 16]), packs: Vec::new() }),
    ]
}

/// Items that let go.
pub(crate) fn removal_items() -> Vec<PlacementItem> {
    let (packs, snapshots) =
        ([1, 2].map(|id| PackId::new([id; 16])), [3, 4].map(|id| SnapshotId::new([id; 16])));
    vec![
        PlacementItem::Condemn(Condemn {
            at: Timestamp(1_800_000_000),
            snapshots: snapshots.to_vec(),
            packs: packs.to_vec(),
        }),
        PlacementItem::Condemn(Condemn { at: Timestamp(u64::MAX), snapshots: Vec::new(), packs: Vec::new() }),
        PlacementItem::Release(Release { pack: packs[0], snapshots: snapshots.to_vec() }),
        PlacementItem::Drop(Dropped { packs: packs.to_vec() }),
    ]
}

pub(crate) fn entry(name: &[u8], kind: EntryKind) -> Entry {
    Entry {
        name: name.to_vec(),
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: "user".into(),
        group: String::new(),
        mtime: -1,
        mtime_nanos: 999_999_999,
        xattrs: Vec::new(),
        link_group: 0,
        kind,
    }
}

pub(crate) fn file(len: u64, tags: Vec<Tag>) -> EntryKind {
    EntryKind::File(File { len, sha256: [0xee; 32], holes: Vec::new(), content: Refs::Direct(tags) })
}

fn entries() -> Vec<Entry> {
    let holes = vec![Hole { offset: 0, len: 4096 }, Hole { offset: 8192, len: 1 }];
    let content = Refs::Lists(vec![Tag::new([1; 32])]);
    let sparse = EntryKind::File(File { len: 1 << 40, sha256: [0xee; 32], holes, content });
    let mut linked = entry("linked ä".as_bytes(), file(3, vec![Tag::new([2; 32])]));
    linked.link_group = 7;
    linked.mode = 0o4755;
    linked.xattrs = vec![
        Xattr { name: b"user.a".into(), value: Vec::new() },
        Xattr { name: b"user.b".into(), value: vec![0, 0xff] },
    ];
    vec![
        entry(b"block", EntryKind::BlockDevice { rdev: 0x0801 }),
        entry(b"char", EntryKind::CharDevice { rdev: 0x0103 }),
        entry(b"dir", EntryKind::Dir { pages: Refs::Direct(vec![Tag::new([4; 32]), Tag::new([5; 32])]) }),
        entry(b"empty", file(0, Vec::new())),
        entry(b"fifo", EntryKind::Fifo),
        linked,
        entry(b"socket", EntryKind::Socket),
        entry(b"sparse", sparse),
        entry(b"symlink", EntryKind::Symlink { target: b"../\xff".into() }),
    ]
}

pub(crate) fn content_items() -> Vec<ContentItem> {
    let piece = |pack, offset, len| Piece { pack: PackId::new([pack; 16]), offset, len };
    let tree_tag_key = secret_keys().tree_tag_key();
    vec![
        ContentItem::Segment(Segment {
            tag: Tag::new([0x11; 32]),
            key: SegmentKey::new([0x22; 32]),
            plain_len: 4 * 1024 * 1024,
            pieces: vec![piece(1, 1_000_000, 48_576), piece(2, 0, 5)],
        }),
        ContentItem::RefList(
            RefList::new(vec![Tag::new([1; 32]), Tag::new([1; 32])], &tree_tag_key).unwrap(),
        ),
        ContentItem::RefList(RefList::new(Vec::new(), &tree_tag_key).unwrap()),
        ContentItem::TreePage(TreePage::new(entries(), &tree_tag_key).unwrap()),
        ContentItem::TreePage(TreePage::new(Vec::new(), &tree_tag_key).unwrap()),
        ContentItem::Snapshot(Snapshot {
            id: SnapshotId::new([0xcc; 16]),
            name: "näme".into(),
            made_at: Timestamp(1_800_000_000),
            host: "host".into(),
            labels: vec!["a".into(), String::new()],
            paths: vec![b"/home/\xff".into()],
            root: Refs::Direct(vec![Tag::new([3; 32])]),
            files: 9,
            bytes: u64::MAX,
        }),
    ]
}

pub(crate) fn items() -> Vec<Value> {
    let vector = |layer, encoding: Vec<u8>, described| json!({ "layer": layer, "encoding": hex::encode(encoding), "described": described });
    let placement = placement_items();
    let placement =
        placement.iter().map(|item| vector("placement", encode(item).unwrap(), describe::placement(item)));
    let content = content_items();
    let removals = removal_items();
    let removals =
        removals.iter().map(|item| vector("placement", encode(item).unwrap(), describe::placement(item)));
    placement
        .chain(content.iter().map(|item| vector("content", encode(item).unwrap(), describe::content(item))))
        .chain(removals)
        .collect()
}

/// Three records of device 1: the device, the other kinds of placement items, all kinds of content items.
pub(crate) fn chain() -> Vec<Record> {
    let first = device(1, DeviceClass::Full, Vec::new());
    let id = first.id;
    let mut bodies = Body::of(&[PlacementItem::Device(first)]).unwrap();
    let later: Vec<_> =
        placement_items().into_iter().filter(|item| !matches!(item, PlacementItem::Device(_))).collect();
    bodies.extend(Body::of(&later).unwrap());
    bodies.extend(Body::of(&content_items()).unwrap());
    seal_chain(&bodies, id)
}

/// Seals one record for each body.
pub(crate) fn seal_chain(bodies: &[Body], device: DeviceId) -> Vec<Record> {
    let keys = secret_keys();
    let signer = keys.device_keys(DeviceClass::Full, &device);
    let mut place = Place { device, sequence: 0, previous: RecordHash::NONE };
    let mut records = Vec::new();
    for body in bodies {
        let layer_key =
            if body.layer() == Layer::Content { keys.content_key() } else { keys.placement_key() };
        let record =
            Record::seal(body, place, keys.vault_id(), &layer_key, &signer, &mut rng(place.sequence));
        place = Place { sequence: place.sequence + 1, previous: record.hash(), ..place };
        records.push(record);
    }
    records
}

pub(crate) fn head() -> Head {
    let records = chain();
    let bytes: Vec<u8> = records.iter().flat_map(|record| record.as_bytes().to_vec()).collect();
    let Device { id, class, key, certificate, .. } = device(1, DeviceClass::Full, Vec::new());
    let pack = |scheme: Scheme, providers: &[u8], bytes: &[u8]| {
        ManifestPack::new(bytes, scheme, &mut rng(5)).encode().into_ref(providers.to_vec())
    };
    let split = records[0].as_bytes().len();
    let run = |level, depth, first, last, pack| Run {
        level,
        depth,
        first,
        last,
        expires: Timestamp(1_807_776_000),
        pack,
    };
    Head {
        device: id,
        class,
        key,
        certificate,
        counter: 3,
        made_at: Timestamp(1_800_000_001),
        last: 2,
        last_hash: records[2].hash(),
        providers: [1, 2, 3].map(|id| ProviderId::new([id; 32])).into(),
        relays: vec!["wss://relay.example/".into()],
        others: vec![OtherHead { device: DeviceId::new([9; 16]), counter: 12 }],
        runs: vec![
            run(1, RunDepth::Records, 0, 0, pack(Scheme::new(1, 2).unwrap(), &[0, 2], &bytes[..split])),
            run(0, RunDepth::Index, 1, 2, pack(Scheme::new(2, 3).unwrap(), &[2, 1, 0], &bytes[split..])),
        ],
    }
}

pub(crate) fn manifest() -> Vec<Value> {
    let keys = secret_keys();
    let records: Vec<u8> = chain().iter().flat_map(|record| record.as_bytes().to_vec()).collect();
    let (described, end) = check::read_chain(&records, &keys).unwrap();
    let head = head();
    let signer = keys.device_keys(head.class, &head.device);
    let sealed = head.seal(keys.vault_id(), &keys.head_key(), &signer, &mut rng(6)).unwrap();
    vec![
        json!({
            "what": "chain",
            "secret": hex::encode(SECRET),
            "records": hex::encode(records),
            "described": described,
            "end": describe::chain_end(&end),
        }),
        json!({
            "what": "head",
            "secret": hex::encode(SECRET),
            "sealed": hex::encode(sealed),
            "described": describe::head(&head),
        }),
    ]
}
