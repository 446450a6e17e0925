//! A whole vault: what three providers keep, the secret, and the files that come back.

use std::collections::BTreeMap;

use blobdvm::crypt::{DeviceClass, Layer, VaultKeys, tag};
use blobdvm::erasure::Scheme;
use blobdvm::format::codec::{decode, encode};
use blobdvm::format::*;
use blobdvm::types::limits::HEAD_LEN_CLASSES;
use blobdvm::types::{BlobHash, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp};
use bytes::Bytes;
use rand::RngCore;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::check;
use super::make::{self, SECRET, secret_keys};

type Blobs = BTreeMap<BlobHash, Vec<u8>>;

/// Restores all files of the vault's only snapshot as docs/format.md says, with each provider gone in turn.
pub(crate) fn check(vector: &Value) {
    let stores: Vec<Blobs> = vector["stores"].as_object().unwrap().values().map(read_store).collect();
    for gone in 0..stores.len() {
        let left = stores.iter().enumerate().filter(|(index, _)| *index != gone);
        let blobs: Blobs = left.flat_map(|(_, store)| store.clone()).collect();
        let restored = restore(&blobs, vector);
        let expected = vector["files"].as_object().unwrap();
        assert_eq!(restored.len(), expected.len());
        for (name, bytes) in restored {
            assert_eq!(hex::encode(bytes), expected[&name].as_str().unwrap(), "{name}");
        }
    }
}

fn read_store(store: &Value) -> Blobs {
    let blobs = store.as_array().unwrap().iter().map(|blob| hex::decode(blob.as_str().unwrap()).unwrap());
    blobs.map(|blob| (BlobHash::of(&blob), blob)).collect()
}

fn restore(blobs: &Blobs, vector: &Value) -> BTreeMap<String, Vec<u8>> {
    let keys = check::vault_keys(vector);
    let candidates = blobs.values().filter(|blob| HEAD_LEN_CLASSES.contains(&blob.len()));
    let heads = candidates.filter_map(|blob| check::open_head(blob, &keys).ok());
    let head = heads.max_by_key(|head| head.counter).expect("a head is among the blobs");
    let mut records = Vec::new();
    for run in &head.runs {
        let held = open_pack(&run.pack, blobs);
        match run.depth {
            RunDepth::Records => records.extend(held),
            RunDepth::Index => {
                let index: RunIndex = decode(&held, "an index").unwrap();
                index.packs.iter().for_each(|pack| records.extend(open_pack(pack, blobs)));
            }
        }
    }
    let (_, end) = check::read_chain(&records, &keys).unwrap();
    assert_eq!(end, head.chain_end());

    let (mut packs, mut segments, mut pages, mut snapshots) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut input = codec::Reader::new(&records, "a chain");
    while input.remaining() > 0 {
        let record = Record::read(&mut input).unwrap();
        if record.layer() == Layer::Placement {
            for item in record.open(keys.vault_id(), &keys.placement_key()).unwrap() {
                if let PlacementItem::Pack(pack) = item {
                    packs.insert(pack.id, pack.coding.decode(&shards(&pack.coding, blobs)).unwrap());
                }
            }
            continue;
        }
        for item in record.open(keys.vault_id(), &keys.content_key()).unwrap() {
            match item {
                ContentItem::Segment(segment) => drop(segments.insert(segment.tag, segment)),
                ContentItem::TreePage(page) => drop(pages.insert(page.tag, page.entries)),
                ContentItem::Snapshot(snapshot) => snapshots.push(snapshot),
                _ => {}
            }
        }
    }
    let mut files = BTreeMap::new();
    for entry in tags(&snapshots[0].root).iter().flat_map(|tag| &pages[tag]) {
        let EntryKind::File(file) = &entry.kind else { continue };
        let bytes: Vec<u8> =
            tags(&file.content).iter().flat_map(|tag| open_segment(&segments[tag], &packs)).collect();
        assert_eq!((bytes.len() as u64, Sha256::digest(&bytes).into()), (file.len, file.sha256));
        files.insert(String::from_utf8(entry.name.clone()).unwrap(), bytes);
    }
    files
}

fn shards(coding: &Coding, blobs: &Blobs) -> Vec<VerifiedShard> {
    let found = |(index, name): (u8, &ShardName)| {
        coding.verify(ShardIndex(index), Bytes::from(blobs.get(&name.hash)?.clone())).ok()
    };
    (0..=u8::MAX).zip(&coding.shards).filter_map(found).collect()
}

fn open_pack(pack: &PackRef, blobs: &Blobs) -> Vec<u8> {
    pack.open(&shards(&pack.coding, blobs)).unwrap().to_vec()
}

fn open_segment(segment: &Segment, packs: &BTreeMap<PackId, Vec<u8>>) -> Vec<u8> {
    let pieces = segment.pieces.iter().flat_map(|piece| piece.of(&packs[&piece.pack]).unwrap());
    segment::open(segment, pieces.copied().collect()).unwrap().to_vec()
}

fn tags(refs: &Refs) -> &[Tag] {
    match refs {
        Refs::Direct(tags) => tags,
        Refs::Lists(_) => panic!("a small vault has no lists"),
    }
}

/// What three providers keep, as it grows.
struct Making {
    keys: VaultKeys,
    random: StdRng,
    stores: Vec<Vec<Vec<u8>>>,
}

impl Making {
    fn store<'a>(&mut self, shards: impl IntoIterator<Item = &'a Bytes>) {
        self.stores.iter_mut().zip(shards).for_each(|(store, shard)| store.push(shard.to_vec()));
    }

    /// Stores the files in one pack, 2 of 3; gives back the bodies that record them.
    fn files(&mut self, files: &[(&str, Vec<u8>)]) -> Vec<Body> {
        let mut builder = PackBuilder::new(Scheme::new(2, 3).unwrap());
        let (mut content, mut entries) = (Vec::new(), Vec::new());
        for (name, bytes) in files {
            let mut refs = Vec::new();
            if !bytes.is_empty() {
                let sealed = segment::seal(bytes, &mut self.random);
                let tag = tag::segment_tag(bytes, &self.keys.segment_tag_key());
                let pieces = builder.push(&sealed.bytes, &mut self.random).pieces;
                let plain_len = u32::try_from(bytes.len()).unwrap();
                content.push(ContentItem::Segment(Segment { tag, key: sealed.key, plain_len, pieces }));
                refs.push(tag);
            }
            let (len, sha256) = (bytes.len() as u64, Sha256::digest(bytes).into());
            let file = File { len, sha256, holes: Vec::new(), content: Refs::Direct(refs) };
            entries.push(make::entry(name.as_bytes(), EntryKind::File(file)));
        }
        let EncodedPack { pack, shards } = builder.close(&mut self.random).unwrap().encode();
        self.store(&shards);

        let page = TreePage::new(entries, &self.keys.tree_tag_key()).unwrap();
        let snapshot = Snapshot {
            id: SnapshotId::new([0xcc; 16]),
            name: "first".into(),
            made_at: Timestamp(1_800_000_000),
            host: "host".into(),
            labels: Vec::new(),
            paths: Vec::new(),
            root: Refs::Direct(vec![page.tag]),
            files: files.len() as u64,
            bytes: files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        };
        let needs = Needs { snapshot: snapshot.id, packs: vec![pack.id] };
        content.extend([ContentItem::TreePage(page), ContentItem::Snapshot(snapshot)]);
        let placement = [PlacementItem::Pack(pack), PlacementItem::Needs(needs)];
        Body::of(&placement).unwrap().into_iter().chain(Body::of(&content).unwrap()).collect()
    }

    /// Stores a part of the manifest, 1 of 3.
    fn manifest_pack(&mut self, plain: &[u8]) -> PackRef {
        let scheme = Scheme::for_manifest(3).unwrap();
        let encoded = ManifestPack::new(plain, scheme, &mut self.random).encode();
        self.store(&encoded.shards);
        encoded.into_ref(vec![0, 1, 2])
    }
}

/// Three files at three providers, 2 of 3; the manifest 1 of 3, its second run behind an index.
pub(crate) fn make() -> Value {
    let mut making = Making { keys: secret_keys(), random: make::rng(7), stores: vec![Vec::new(); 3] };
    let mut incompressible = vec![0; 3000];
    making.random.fill_bytes(&mut incompressible);
    let files = [("empty", Vec::new()), ("random", incompressible), ("text", b"so it goes. ".repeat(100))];

    let device = make::device(1, DeviceClass::Full, Vec::new());
    let mut bodies = Body::of(&[PlacementItem::Device(device.clone())]).unwrap();
    bodies.extend(making.files(&files));
    let records = make::seal_chain(&bodies, device.id);

    let providers: Vec<_> = [1, 2, 3].map(|id| ProviderId::new([id; 32])).into();
    let first = making.manifest_pack(records[0].as_bytes());
    let rest = [records[1].as_bytes(), records[2].as_bytes()].concat();
    let packs = rest.chunks(rest.len() / 2 + 1).map(|part| making.manifest_pack(part)).collect();
    let index = encode(&RunIndex { providers: providers.clone(), packs }).unwrap();
    let index = making.manifest_pack(&index);
    let run = |level, depth, first, last, pack| Run {
        level,
        depth,
        first,
        last,
        expires: Timestamp(1_807_776_000),
        pack,
    };
    let head = Head {
        device: device.id,
        class: device.class,
        key: device.key,
        certificate: device.certificate,
        counter: 1,
        made_at: Timestamp(1_800_000_002),
        last: 2,
        last_hash: records[2].hash(),
        providers,
        relays: Vec::new(),
        others: Vec::new(),
        runs: vec![run(1, RunDepth::Records, 0, 0, first), run(0, RunDepth::Index, 1, 2, index)],
    };
    let Making { keys, mut random, mut stores } = making;
    let signer = keys.device_keys(device.class, &device.id);
    for store in &mut stores {
        store.push(head.seal(keys.vault_id(), &keys.head_key(), &signer, &mut random).unwrap());
    }
    let store = |(id, blobs): (u8, &Vec<Vec<u8>>)| {
        (ProviderId::new([id; 32]).to_string(), blobs.iter().map(hex::encode).collect::<Value>())
    };
    json!({
        "secret": hex::encode(SECRET),
        "stores": (1..).zip(&stores).map(store).collect::<serde_json::Map<_, _>>(),
        "files": files.map(|(name, bytes)| (name.to_owned(), hex::encode(bytes).into())).into_iter().collect::<serde_json::Map<_, Value>>(),
    })
}
