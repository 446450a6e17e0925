//! `cat`, and how little is fetched where little is wanted.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{World, noise, stderr, text};

const MIB: u64 = 1024 * 1024;

#[test]
fn cat_writes_the_whole_file_or_the_range_that_is_asked_for() {
    let world = World::start(3);
    let mut bytes = noise(9_000_000, 1);
    bytes[3_000_000..6_000_000].fill(0);
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/file"), &bytes).unwrap();
    world.json(&["put", text(&world.path("tree"))]);
    let cat = |more: &[&str]| world.run(&[&["cat", "tree", "tree/file"], more].concat());
    let whole = cat(&[]);
    assert!(whole.status.success() && whole.stdout == bytes, "{}", stderr(&whole));
    assert_eq!(stderr(&whole), "");
    for (offset, length) in [(0, 1), (2_999_999, 3_000_002), (8_999_999, 50), (1_234_567, 0), (9_000_000, 9)]
    {
        let part = cat(&["--offset", &offset.to_string(), "--length", &length.to_string()]);
        assert!(part.status.success(), "{}", stderr(&part));
        assert!(part.stdout == bytes[offset..(offset + length).min(bytes.len())], "{offset}, {length}");
    }
    assert!(cat(&["--offset", "8000000"]).stdout == bytes[8_000_000..]);
    assert!(cat(&["--length", "10"]).stdout == bytes[..10]);
    for (path, code) in [("tree", 2), ("tree/nothing", 3), ("tree/*", 0)] {
        let other = world.run(&["cat", "tree", path]);
        assert_eq!(other.status.code(), Some(code), "{path}: {}", stderr(&other));
    }
    assert_eq!(cat(&["--json"]).status.code(), Some(2));
}

#[test]
fn one_small_file_of_a_large_snapshot_takes_less_than_two_mib() {
    let mut world = World::start(3);
    let large = if std::env::var_os("BLOBDVM_LARGE").is_some() { 1_000_000_000 } else { 64_000_000 };
    world.file("tree/a large", large / 2, 1);
    world.file("tree/b small", 10 * 1024, 2);
    world.file("tree/c large", large / 2, 3);
    world.json(&["put", text(&world.path("tree"))]);
    let small = fs::read(world.path("tree/b small")).unwrap();
    let counted = |world: &World, args: &[&str]| {
        let counter = Counter::start(&world.relay);
        let output = world.run_over(&counter.url, args);
        assert!(output.status.success(), "{}", stderr(&output));
        (output, counter.bytes.load(Ordering::Relaxed))
    };
    let out = world.path("small");
    let (_, fetched) = counted(&world, &["get", "tree", "tree/b small", "-o", text(&out)]);
    assert_eq!(fs::read(&out).unwrap(), small);
    assert!(fetched < 2 * MIB, "{fetched} bytes crossed the relay for a file");
    let (part, fetched) =
        counted(&world, &["cat", "tree", "tree/c large", "--offset", "20000000", "--length", "9"]);
    assert_eq!(part.stdout, fs::read(world.path("tree/c large")).unwrap()[20_000_000..20_000_009]);
    assert!(fetched < 10 * MIB, "{fetched} bytes crossed the relay for a segment");
    // Whoever has the shard may be gone: then others make up for it.
    for lost in 0..3 {
        world.kill(lost);
        fs::remove_file(&out).unwrap();
        world.json(&["get", "tree", "tree/b small", "-o", text(&out)]);
        assert_eq!(fs::read(&out).unwrap(), small);
        world.revive(lost);
    }
}

impl World {
    /// Runs `blobdvm` over another relay.
    fn run_over(&self, relay: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_blobdvm"))
            .args(["--home", text(&self.path("home")), "--relay", relay, "--quiet"])
            .args(args)
            .output()
            .unwrap()
    }
}

/// Stands before a relay, and counts what comes from it.
struct Counter {
    url: String,
    bytes: Arc<AtomicU64>,
}

impl Counter {
    fn start(relay: &str) -> Self {
        let upstream = relay.trim_start_matches("ws://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let relay = TcpStream::connect(&upstream).unwrap();
                let (mut up, mut down) = (client.try_clone().unwrap(), relay.try_clone().unwrap());
                std::thread::spawn(move || io::copy(&mut up, &mut down));
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || count(relay, client, &counted));
            }
        });
        Self { url, bytes }
    }
}

fn count(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        counted.fetch_add(len as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}
