//! What a large vault costs besides its bytes: manifest, catalog, memory, time, at a hundredth of the sizes that
//! docs/scaling.md speaks of.
//!
//! `cargo bench --bench scale`; `BLOBDVM_SCALE_PACKS` and `BLOBDVM_SCALE_FILES` set other sizes. Nothing is stored
//! anywhere: the records are those that puts of such a vault would make, with random hashes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use blobdvm::crypt::SegmentKey;
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::format::{
    Coding, ContentItem, Entry, EntryKind, File, Pack, Piece, PlacementItem, Promise, Promises, Refs,
    Release, Segment, ShardName, Snapshot, TreePage,
};
use blobdvm::types::{BlobHash, MerkleRoot, PackId, ProviderId, ShardIndex, SnapshotId, Tag, Timestamp};
use blobdvm::vault::{Home, Vault};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// A hundredth of 1 TiB in packs of 1 MiB.
const PACKS: usize = 10_486;
/// A hundredth of ten million.
const FILES: usize = 100_000;
/// Packs that a put records at once.
const RECORDED_TOGETHER: usize = 4;
/// Files of 10 KiB in a pack of 1 MiB.
const SMALL_FILES_PER_PACK: usize = 100;
/// Entries of a page, about as many as the builder of trees puts into one.
const PAGE_ENTRIES: usize = 500;
/// Packs that are looked up together.
const LOOKED_UP_TOGETHER: usize = 5_000;
/// Snapshots of changes.
const DAYS: usize = 10;
/// Bytes of a sealed segment in a pack of its own.
const SEGMENT_LEN: u32 = 1_000_000;
/// `st_blocks` counts these (stat(2)).
const BLOCK_LEN: u64 = 512;
/// Tells a second process which vault to go through, so that its memory can be seen.
const CHECKED: &str = "BLOBDVM_SCALE_CHECKED";

fn main() {
    if let Some(home) = std::env::var_os(CHECKED) {
        return check(Path::new(&home));
    }
    println!("| vault | what | | for each |");
    println!("|---|---|--:|--:|");
    let packs = number("BLOBDVM_SCALE_PACKS", PACKS);
    measure("large files", packs, 1);
    measure("large files, four times as many", 4 * packs, 1);
    let files = number("BLOBDVM_SCALE_FILES", FILES);
    measure("small files", files.div_ceil(SMALL_FILES_PER_PACK), SMALL_FILES_PER_PACK);
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// One vault under measurement.
struct World {
    vault: Vault,
    rng: StdRng,
    providers: Vec<ProviderId>,
    files_per_pack: usize,
    packs: BTreeSet<PackId>,
    last: Option<SnapshotId>,
    /// Files that are not in a page yet.
    entries: Vec<Entry>,
    pages: Vec<Tag>,
    file_count: usize,
}

/// Measures a vault of so many packs, each with the bytes of so many files.
fn measure(name: &'static str, packs: usize, files_per_pack: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    let vault = Home::init_fresh(&home, &Env::system()).expect("a new vault");
    let mut world = World::new(vault, files_per_pack);
    println!("| **{name}** | {packs} packs, {} files | | |", packs * files_per_pack);

    let started = Instant::now();
    world.store(packs);
    world.snapshot();
    world.row("time to record", started.elapsed().as_secs_f64(), "s");
    world.row("manifest", bytes_in(&home.join("manifest")), "B");
    world.growth("snapshot of what did not change", &home, World::snapshot);
    world.growth("ten snapshots, a hundredth more in each", &home, |world| {
        for _ in 0..DAYS {
            world.store(packs / 100);
            world.snapshot();
        }
    });
    world.growth("all promises renewed once", &home, World::renew);

    let started = Instant::now();
    assert_eq!(world.vault.needed_packs().expect("needs").len(), world.packs.len());
    world.row("time to find what is needed", started.elapsed().as_secs_f64(), "s");
    let started = Instant::now();
    look_up_all(&world.vault);
    world.row("time to look up all packs", started.elapsed().as_secs_f64(), "s");
    world.release();
    let World { vault, packs, .. } = world;
    drop(vault);
    reopen(&home, packs.len());
    let this = std::env::current_exe().expect("this program");
    let ended = Command::new(this).env(CHECKED, &home).status().expect("it starts");
    assert!(ended.success());
}

/// Goes through a vault as a check does, and says what memory that took.
fn check(home: &Path) {
    let vault = Home::open(home, &Env::system()).expect("the vault");
    let opened = memory_bytes("VmHWM:");
    let needed = vault.needed_packs().expect("needs");
    look_up_all(&vault);
    print_row("memory to open", opened, "B", needed.len());
    print_row("memory to find what is needed and look it up", memory_bytes("VmHWM:"), "B", needed.len());
}

fn reopen(home: &Path, packs: usize) {
    let open = || drop(Home::open(home, &Env::system()).expect("the vault"));
    let started = Instant::now();
    open();
    let opened = started.elapsed().as_secs_f64();
    let catalog = fs::metadata(home.join("catalog.redb")).expect("it is there");
    print_row("catalog: its file", number_of(catalog.len()), "B", packs);
    print_row("catalog: on the disk", number_of(catalog.blocks() * BLOCK_LEN), "B", packs);
    print_row("catalog: compacted", bytes_compacted(home), "B", packs);
    fs::remove_file(home.join("catalog.redb")).expect("the catalog is there");
    let started = Instant::now();
    open();
    let rebuilt = started.elapsed().as_secs_f64();
    print_row("time to open", opened, "s", packs);
    print_row("time to build the catalog anew", rebuilt, "s", packs);
}

impl World {
    fn new(vault: Vault, files_per_pack: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let providers = (0..3).map(|_| ProviderId::new(rng.random())).collect();
        let (packs, last, entries, pages) = (BTreeSet::new(), None, Vec::new(), Vec::new());
        Self { vault, rng, providers, files_per_pack, packs, last, entries, pages, file_count: 0 }
    }

    /// Records packs as a put does that stores them, 2 of 3.
    fn store(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let together = left.min(RECORDED_TOGETHER);
            left -= together;
            let (mut placement, mut content) = (Vec::new(), Vec::new());
            let mut promises = vec![Vec::new(); self.providers.len()];
            for _ in 0..together {
                let pack = self.pack();
                for (shard, promises) in (0..).map(ShardIndex).zip(&mut promises) {
                    let expires = Timestamp(1_800_000_000 + self.rng.random_range(0..3_600));
                    promises.push(Promise { pack: pack.id, shard, expires });
                }
                content.extend((0..self.files_per_pack).map(|index| self.file(pack.id, index)));
                self.packs.insert(pack.id);
                placement.push(PlacementItem::Pack(pack));
            }
            let promised = self.providers.iter().zip(promises);
            placement.extend(promised.map(|(provider, promises)| {
                PlacementItem::Promises(Promises { provider: *provider, promises })
            }));
            self.vault.append(&placement, &content).expect("recorded");
            self.close_pages(PAGE_ENTRIES);
        }
    }

    fn pack(&mut self) -> Pack {
        let name = |rng: &mut StdRng| ShardName {
            hash: BlobHash::new(rng.random()),
            root: MerkleRoot::new(rng.random()),
        };
        let shards = (0..3).map(|_| name(&mut self.rng)).collect();
        let scheme = Scheme::new(2, 3).expect("2 of 3");
        let coding = Coding { scheme, sealed_len: scheme.pack_capacity(), mask: None, shards };
        Pack { id: PackId::new(self.rng.random()), coding }
    }

    /// A file of one segment.
    fn file(&mut self, pack: PackId, index: usize) -> ContentItem {
        let tag = Tag::new(self.rng.random());
        let len = SEGMENT_LEN / u32::try_from(self.files_per_pack).expect("a few");
        self.file_count += 1;
        let content = Refs::Direct(vec![tag]);
        let file = File { len: len.into(), sha256: self.rng.random(), holes: Vec::new(), content };
        self.entries.push(Entry {
            name: format!("{:08} a file name of usual length.txt", self.file_count).into_bytes(),
            mode: 0o644,
            uid: 1000,
            gid: 1000,
            user: "user".into(),
            group: "user".into(),
            mtime: self.rng.random_range(1_700_000_000..1_790_000_000),
            mtime_nanos: self.rng.random_range(0..1_000_000_000),
            xattrs: Vec::new(),
            link_group: 0,
            kind: EntryKind::File(file),
        });
        let offset = u32::try_from(index).expect("a few") * len;
        let (key, pieces) = (SegmentKey::new(self.rng.random()), vec![Piece { pack, offset, len }]);
        ContentItem::Segment(Segment { tag, key, plain_len: len, pieces })
    }

    /// Records what makes whole pages.
    fn close_pages(&mut self, entries_min: usize) {
        while !self.entries.is_empty() && self.entries.len() >= entries_min {
            let count = self.entries.len().min(PAGE_ENTRIES);
            let entries = self.entries.drain(..count).collect();
            let tag = Tag::new(self.rng.random());
            self.pages.push(tag);
            self.vault.append(&[], &[ContentItem::TreePage(TreePage { tag, entries })]).expect("recorded");
        }
    }

    /// Records a snapshot of everything.
    fn snapshot(&mut self) {
        self.close_pages(1);
        let id = SnapshotId::new(self.rng.random());
        let needs = self.vault.needs_items(id, &self.packs, self.last.as_ref()).expect("needs");
        self.last = Some(id);
        let (files, made_at) = (self.file_count as u64, Timestamp(1_790_000_000));
        let record = Snapshot {
            id,
            name: "home".into(),
            made_at,
            host: "host".into(),
            labels: Vec::new(),
            paths: Vec::new(),
            // The pages stand for a tree; its root is one of them.
            root: Refs::Direct(self.pages.iter().copied().take(1).collect()),
            files,
            bytes: files * u64::from(SEGMENT_LEN),
        };
        self.vault.append(&needs, &[ContentItem::Snapshot(record)]).expect("recorded");
    }

    /// Records that everything is promised for longer.
    fn renew(&mut self) {
        let packs: Vec<_> = self.packs.iter().copied().collect();
        for part in packs.chunks(LOOKED_UP_TOGETHER) {
            let mut items = Vec::new();
            for (shard, provider) in (0..).map(ShardIndex).zip(self.providers.clone()) {
                let promise = |pack: &PackId| {
                    let expires = Timestamp(1_810_000_000 + self.rng.random_range(0..3_600));
                    Promise { pack: *pack, shard, expires }
                };
                let promises = part.iter().map(promise).collect();
                items.push(PlacementItem::Promises(Promises { provider, promises }));
            }
            self.vault.append(&items, &[]).expect("recorded");
        }
    }

    /// Releases all snapshots from a hundredth of the packs, as a prune does that has stored anew what lived in them.
    fn release(&mut self) {
        let count = self.packs.len() / 100;
        let packs: BTreeSet<_> = self.packs.iter().step_by(100).take(count).copied().collect();
        let started = Instant::now();
        let snapshots = self.vault.snapshots_with_needs().expect("snapshots");
        let needs = self.vault.needs_among(&snapshots, &packs).expect("needs");
        self.row("time to find who needs a hundredth of the packs", started.elapsed().as_secs_f64(), "s");
        let needs: Vec<_> = snapshots.iter().map(|snapshot| (*snapshot, needs.of(snapshot))).collect();
        let release = |pack: &PackId| {
            let needed = needs.iter().filter(|(_, packs)| packs.contains(pack));
            let snapshots = needed.map(|(snapshot, _)| *snapshot).collect();
            PlacementItem::Release(Release { pack: *pack, snapshots })
        };
        for part in packs.iter().collect::<Vec<_>>().chunks(LOOKED_UP_TOGETHER) {
            let items: Vec<_> = part.iter().map(|pack| release(pack)).collect();
            self.vault.append(&items, &[]).expect("recorded");
        }
        self.packs.retain(|pack| !packs.contains(pack));
        let started = Instant::now();
        assert_eq!(self.vault.needed_packs().expect("needs").len(), self.packs.len());
        self.row(
            "time to find what is needed after these were stored anew",
            started.elapsed().as_secs_f64(),
            "s",
        );
    }

    fn growth(&mut self, what: &str, home: &Path, change: impl FnOnce(&mut Self)) {
        let before = bytes_in(&home.join("manifest"));
        change(self);
        self.row(&format!("manifest: {what}"), bytes_in(&home.join("manifest")) - before, "B");
    }

    fn row(&self, what: &str, value: f64, unit: &str) {
        print_row(what, value, unit, self.packs.len());
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn print_row(what: &str, value: f64, unit: &str, packs: usize) {
    let each = value / packs as f64;
    match unit {
        "s" => println!("| | {what} | {value:.3} s | {:.1} µs a pack |", each * 1e6),
        _ => println!("| | {what} | {:.2} MB | {each:.1} B a pack |", value / 1e6),
    }
}

/// Reads every pack with its promises, as a check does.
fn look_up_all(vault: &Vault) {
    let mut last = None;
    loop {
        let part = vault.packs_after(last.as_ref(), LOOKED_UP_TOGETHER).expect("packs");
        let Some(end) = part.last() else { return };
        last = Some(*end);
        for id in &part {
            let entry = vault.pack(id).expect("a pack").expect("it is recorded");
            assert_eq!(entry.promises.len(), 3);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number_of(bytes: u64) -> f64 {
    bytes as f64
}

fn bytes_in(path: &Path) -> f64 {
    let metadata = fs::metadata(path).expect("it is there");
    if metadata.is_file() {
        return number_of(metadata.len());
    }
    fs::read_dir(path).expect("a folder").map(|entry| bytes_in(&entry.expect("an entry").path())).sum()
}

/// Bytes that the catalog takes with nothing left free.
fn bytes_compacted(home: &Path) -> f64 {
    let copy = home.join("compacted");
    fs::copy(home.join("catalog.redb"), &copy).expect("a copy");
    let mut database = redb::Database::open(&copy).expect("a database");
    while database.compact().expect("it shrinks") {}
    drop(database);
    let bytes = bytes_in(&copy);
    fs::remove_file(copy).expect("it was made just now");
    bytes
}

fn memory_bytes(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}
