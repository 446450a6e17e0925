//! Compares the embedded databases that could keep the vault's catalog, on what the catalog does all day.
//!
//! A put inserts the segments of one manifest append in one commit (not synced: the catalog can be rebuilt), asks for
//! many tags that are there (deduplication of unchanged files) and for many that are not (new data); a command opens
//! the database, asks a few questions and ends. Figures of one run are in `src/vault/catalog/mod.rs`.
//!
//! `cargo run --release -- [SEGMENTS]`, a million by default.

mod engine;
mod redb_engine;
mod sqlite_engine;

use std::path::Path;
use std::time::{Duration, Instant};

use engine::{Engine, Entry, Tag};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Segments that one manifest append of a put brings.
const BATCH: usize = 256;
/// Point lookups of each sort.
const LOOKUPS: usize = 200_000;
/// Memory that each engine may use as its cache.
pub const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// What one engine did.
struct Figures {
    name: &'static str,
    insert: Duration,
    slowest_commit: Duration,
    close: Duration,
    reopen: Duration,
    check: Duration,
    hits: Duration,
    misses: Duration,
    reopen_after_kill: Duration,
    disk_bytes: u64,
}

fn main() {
    let count = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of segments"));
    println!("{count} segments, {BATCH} a commit, {LOOKUPS} lookups of each sort, {} MiB cache\n", CACHE_BYTES >> 20);
    println!(
        "{:<8} {:>10} {:>12} {:>9} {:>9} {:>10} {:>9} {:>9} {:>12} {:>10}",
        "engine", "insert/s", "worst commit", "close", "reopen", "check", "hit", "miss", "after a kill", "disk"
    );
    print(&measure::<redb_engine::Redb>(count));
    print(&measure::<sqlite_engine::Sqlite>(count));
}

fn print(figures: &Figures) {
    println!(
        "{:<8} {:>10.0} {:>9.1} ms {:>6.1} ms {:>6.1} ms {:>7.1} ms {:>6.2} µs {:>6.2} µs {:>9.1} ms {:>6.1} MB",
        figures.name,
        1.0 / figures.insert.as_secs_f64(),
        millis(figures.slowest_commit),
        millis(figures.close),
        millis(figures.reopen),
        millis(figures.check),
        micros(figures.hits),
        micros(figures.misses),
        millis(figures.reopen_after_kill),
        figures.disk_bytes as f64 / 1e6,
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn measure<E: Engine>(count: usize) -> Figures {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("catalog");
    let mut rng = SmallRng::seed_from_u64(1);
    let entries: Vec<Entry> = (0..count).map(|_| Entry { tag: rng.random(), offset: rng.random(), item: 7 }).collect();

    let engine = E::open(&path);
    let mut slowest_commit = Duration::ZERO;
    let started = Instant::now();
    for batch in entries.chunks(BATCH) {
        let commit = Instant::now();
        engine.insert(batch);
        slowest_commit = slowest_commit.max(commit.elapsed());
    }
    let insert = started.elapsed() / u32::try_from(count).expect("fits");

    // What a kill at this moment leaves behind: the files as they are now.
    let killed = tempfile::tempdir().expect("a temporary folder");
    copy_files(folder.path(), killed.path());

    let closing = Instant::now();
    drop(engine);
    let close = closing.elapsed();
    let disk_bytes = folder_bytes(folder.path());

    let opening = Instant::now();
    let mut engine = E::open(&path);
    assert!(engine.find(&entries[0].tag).is_some());
    let reopen = opening.elapsed();

    let checking = Instant::now();
    engine.check();
    let check = checking.elapsed();

    let wanted: Vec<Tag> = (0..LOOKUPS).map(|_| entries[rng.random_range(0..count)].tag).collect();
    let hits = lookups(&engine, &wanted, true);
    let unknown: Vec<Tag> = (0..LOOKUPS).map(|_| rng.random()).collect();
    let misses = lookups(&engine, &unknown, false);

    let opening = Instant::now();
    let reopened = E::open(&killed.path().join("catalog"));
    reopened.find(&entries[0].tag);
    let reopen_after_kill = opening.elapsed();

    Figures { name: E::NAME, insert, slowest_commit, close, reopen, check, hits, misses, reopen_after_kill, disk_bytes }
}

fn lookups<E: Engine>(engine: &E, tags: &[Tag], expected: bool) -> Duration {
    let started = Instant::now();
    for tag in tags {
        assert_eq!(engine.find(tag).is_some(), expected);
    }
    started.elapsed() / u32::try_from(tags.len()).expect("fits")
}

fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("readable") {
        let file = file.expect("readable");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("readable");
    files.map(|file| file.expect("readable").metadata().expect("readable").len()).sum()
}
