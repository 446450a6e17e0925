//! Values to test with: fixed keys, and values of every kind from a seed.

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::crypt::{DeviceClass, MaskKey, PublicKey, SegmentKey, Signature, VaultKeys, VaultSecret};
use crate::erasure::Scheme;
use crate::format::*;
use crate::types::{
    BlobHash, DeviceId, MerkleRoot, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp,
};

pub(super) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(super) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng(seed).fill_bytes(&mut bytes);
    bytes
}

pub(super) fn keys() -> VaultKeys {
    VaultKeys::new(VaultSecret::new([7; 32])).unwrap()
}

pub(super) fn device(id: u8) -> Device {
    let id = DeviceId::new([id; 16]);
    Device::certify(id, DeviceClass::Full, Timestamp(1_800_000_000), Vec::new(), &keys())
}

/// Values of every kind, one after another, decided by a seed.
pub(super) struct Sample(pub(super) StdRng);

impl Sample {
    pub(super) fn new(seed: u64) -> Self {
        Self(rng(seed))
    }

    fn array<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut array = [0; LEN];
        self.0.fill_bytes(&mut array);
        array
    }

    fn some<T>(&mut self, max: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.0.random_range(0..=max);
        (0..count).map(|_| make(self)).collect()
    }

    fn ascending<T: Ord>(&mut self, id: impl Fn([u8; 16]) -> T) -> Vec<T> {
        let mut ids = self.some(5, |s| id(s.array()));
        ids.sort_unstable();
        ids
    }

    fn text(&mut self) -> String {
        self.some(20, |s| s.0.random_range('a'..='ž')).into_iter().collect()
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = self.some(20, |s| s.0.random_range(b'0'..=0xff));
        name.push(b'n');
        name
    }

    fn timestamp(&mut self) -> Timestamp {
        Timestamp(self.0.next_u64())
    }

    pub(super) fn placement_item(&mut self) -> PlacementItem {
        let kind = self.0.random_range(0..10);
        self.placement_item_of(kind)
    }

    /// One that may stand behind the beginning of a chain.
    pub(super) fn later_placement_item(&mut self) -> PlacementItem {
        let kind = self.0.random_range(1..9);
        self.placement_item_of(kind)
    }

    fn placement_item_of(&mut self, kind: u8) -> PlacementItem {
        match kind {
            0 => PlacementItem::Device(Device {
                id: DeviceId::new(self.array()),
                class: if self.0.random() { DeviceClass::Full } else { DeviceClass::Verify },
                key: PublicKey(self.array()),
                created: self.timestamp(),
                certificate: Signature(self.array()),
                continues: self.some(3, |s| ChainEnd {
                    device: DeviceId::new(s.array()),
                    sequence: s.0.next_u64(),
                    hash: RecordHash(s.array()),
                }),
            }),
            1 => PlacementItem::Pack(Pack { id: PackId::new(self.array()), coding: self.coding() }),
            2 => PlacementItem::Promises(Promises {
                provider: ProviderId::new(self.array()),
                promises: self.some(5, |s| Promise {
                    pack: PackId::new(s.array()),
                    shard: ShardIndex(s.0.random()),
                    expires: s.timestamp(),
                }),
            }),
            3 => PlacementItem::Condemn(Condemn {
                at: self.timestamp(),
                snapshots: self.ascending(SnapshotId::new),
                packs: self.ascending(PackId::new),
            }),
            4 => PlacementItem::Release(Release {
                pack: PackId::new(self.array()),
                snapshots: self.ascending(SnapshotId::new),
            }),
            5 => PlacementItem::Drop(Dropped { packs: self.ascending(PackId::new) }),
            6 => PlacementItem::Grant(Grant {
                device: DeviceId::new(self.array()),
                created: self.timestamp(),
                author: PublicKey(self.array()),
                label: self.text(),
            }),
            7 => PlacementItem::Revoke(Revoke { device: DeviceId::new(self.array()) }),
            8 => PlacementItem::NeedsAfter(NeedsAfter {
                snapshot: SnapshotId::new(self.array()),
                base: SnapshotId::new(self.array()),
                without: self.ascending(PackId::new),
                with: self.ascending(PackId::new),
            }),
            _ => PlacementItem::Needs(Needs {
                snapshot: SnapshotId::new(self.array()),
                packs: self.some(5, |s| PackId::new(s.array())),
            }),
        }
    }

    pub(super) fn coding(&mut self) -> Coding {
        let total = self.0.random_range(1..=20);
        let scheme = Scheme::new(self.0.random_range(1..=total), total).unwrap();
        Coding {
            scheme,
            sealed_len: self.0.random_range(1..=scheme.pack_capacity()),
            mask: (scheme.need() == 1).then(|| MaskKey::new(self.array())),
            shards: (0..total)
                .map(|_| ShardName { hash: BlobHash::new(self.array()), root: MerkleRoot::new(self.array()) })
                .collect(),
        }
    }

    pub(super) fn content_item(&mut self) -> ContentItem {
        match self.0.random_range(0..4) {
            0 => {
                let plain_len = self.0.random_range(1..=4 * 1024 * 1024);
                let sealed_len = plain_len + 17;
                let cut = self.0.random_range(1..sealed_len);
                let lens = if self.0.random() { vec![sealed_len] } else { vec![cut, sealed_len - cut] };
                let piece = |len| Piece { pack: PackId::new(self.array()), offset: self.0.random(), len };
                let pieces = lens.into_iter().map(piece).collect();
                let (tag, key) = (Tag::new(self.array()), SegmentKey::new(self.array()));
                ContentItem::Segment(Segment { tag, key, plain_len, pieces })
            }
            1 => {
                let tags = self.some(9, |s| Tag::new(s.array()));
                ContentItem::RefList(RefList::new(tags, &keys().tree_tag_key()).unwrap())
            }
            2 => {
                let mut entries = self.some(4, Self::entry);
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                entries.dedup_by(|a, b| a.name == b.name);
                ContentItem::TreePage(TreePage::new(entries, &keys().tree_tag_key()).unwrap())
            }
            _ => ContentItem::Snapshot(Snapshot {
                id: SnapshotId::new(self.array()),
                name: self.text(),
                made_at: self.timestamp(),
                host: self.text(),
                labels: self.some(3, Self::text),
                paths: self.some(3, Self::name),
                root: self.refs(),
                files: self.0.next_u64(),
                bytes: self.0.next_u64(),
            }),
        }
    }

    pub(super) fn entry(&mut self) -> Entry {
        let mut xattrs = self.some(3, |s| Xattr { name: s.name(), value: s.name() });
        xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        xattrs.dedup_by(|a, b| a.name == b.name);
        Entry {
            name: self.name(),
            mode: self.0.random_range(0..=0o7777),
            uid: self.0.random(),
            gid: self.0.random(),
            user: self.text(),
            group: self.text(),
            mtime: self.0.random(),
            mtime_nanos: self.0.random_range(0..1_000_000_000),
            xattrs,
            link_group: self.0.next_u64(),
            kind: self.entry_kind(),
        }
    }

    fn entry_kind(&mut self) -> EntryKind {
        match self.0.random_range(0..7) {
            0 => {
                let holes = vec![Hole { offset: 5, len: 10 }, Hole { offset: 16, len: 1 }];
                let holes = if self.0.random() { holes } else { Vec::new() };
                let len = self.0.random_range(17..u64::MAX);
                EntryKind::File(File { len, sha256: self.array(), holes, content: self.refs() })
            }
            1 => EntryKind::Dir { pages: self.refs() },
            2 => EntryKind::Symlink { target: self.name() },
            3 => EntryKind::Fifo,
            4 => EntryKind::CharDevice { rdev: self.0.next_u64() },
            5 => EntryKind::BlockDevice { rdev: self.0.next_u64() },
            _ => EntryKind::Socket,
        }
    }

    fn refs(&mut self) -> Refs {
        let tags = self.some(4, |s| Tag::new(s.array()));
        if self.0.random() { Refs::Direct(tags) } else { Refs::Lists(tags) }
    }

    pub(super) fn pack_ref(&mut self, provider_count: u8) -> PackRef {
        let coding = self.coding();
        let providers = (0..coding.scheme.total()).map(|_| self.0.random_range(0..provider_count)).collect();
        PackRef {
            key: SegmentKey::new(self.array()),
            plain_len: self.0.random_range(1..=9999),
            coding,
            providers,
        }
    }

    pub(super) fn run_index(&mut self) -> RunIndex {
        let providers = (0..3).map(|_| ProviderId::new(self.array())).collect();
        RunIndex { providers, packs: self.some(3, |s| s.pack_ref(3)) }
    }

    /// A head of device 1 with `run_count` runs.
    pub(super) fn head(&mut self, run_count: u64) -> Head {
        let Device { id, class, key, certificate, .. } = device(1);
        let run = |s: &mut Self, first: u64| Run {
            level: s.0.random(),
            depth: if s.0.random() { RunDepth::Records } else { RunDepth::Index },
            first,
            last: first + 9,
            expires: s.timestamp(),
            pack: s.pack_ref(3),
        };
        Head {
            device: id,
            class,
            key,
            certificate,
            counter: self.0.next_u64(),
            made_at: self.timestamp(),
            last: 10 * run_count - 1,
            last_hash: RecordHash(self.array()),
            providers: (0..3).map(|_| ProviderId::new(self.array())).collect(),
            relays: self.some(3, Self::text),
            others: self.some(3, |s| OtherHead { device: DeviceId::new(s.array()), counter: s.0.next_u64() }),
            runs: (0..run_count).map(|i| run(self, 10 * i)).collect(),
        }
    }
}
