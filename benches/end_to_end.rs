//! Put and get with real processes, over relays and directly: MB/s, CPU seconds per GiB and peak memory of everybody who
//! takes part.
//!
//! `cargo bench --bench end_to_end`; `BLOBDVM_BENCH_MIB=1024` sets the size of the file (512 MiB by default).

#[path = "../tests/e2e/support.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::fs;

use support::{Watched, World, cpu_seconds, peak_mib, text};

/// The rows: what they are called, and the options that make the client go this way.
const WAYS: [(&str, &[&str]); 3] = [
    ("relay, 32 KiB", &["--carrier", "relay", "--chunk-size", "32KiB"]),
    ("relay", &["--carrier", "relay"]),
    ("direct", &["--carrier", "direct"]),
];
/// What is put first: a vault measures a relay once, when it moves much over it.
const WARM_UP_LEN: usize = 32 * 1024 * 1024;

fn main() {
    let mib = std::env::var("BLOBDVM_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(512);
    println!("{mib} MiB that do not compress, 2 of 3, one relay and three providers on this machine\n");
    println!("|     | over          | MB/s | client CPU s/GiB | all CPU s/GiB | client peak MiB |");
    println!("|-----|---------------|-----:|-----------------:|--------------:|----------------:|");
    // The worlds are kept until the end: for minutes after many files were deleted, ext4 takes several times as long to
    // make new ones.
    let worlds = WAYS.map(|way| (way.0, measure(way, mib)));
    println!();
    for (way, world) in &worlds {
        for (name, pid) in world.servers() {
            println!("{way}, {name}: peak {} MiB", peak_mib(pid).unwrap_or(0));
        }
    }
}

/// Prints the rows of one carrier.
fn measure((way, options): (&str, &[&str]), mib: usize) -> World {
    let world = World::start_with(3, &["--direct", "127.0.0.1:0"]);
    let file = world.file("bench.bin", mib * 1024 * 1024, 1);
    let warm_up = world.file("warm-up.bin", WARM_UP_LEN, 2);
    world.watch(&[options, &["put", text(&warm_up)]].concat());
    let before = servers_cpu(&world);
    let put = world.watch(&[options, &["put", text(&file)]].concat());
    let between = servers_cpu(&world);
    print_row("put", way, mib, &put, between - before);
    let out = world.path("out.bin");
    let get = world.watch(&[options, &["get", "bench.bin", "-o", text(&out)]].concat());
    print_row("get", way, mib, &get, servers_cpu(&world) - between);
    assert!(fs::read(&out).expect("restored") == fs::read(&file).expect("written"), "restored bytes differ");
    world
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
fn print_row(verb: &str, way: &str, mib: usize, run: &Watched, servers_cpu: f64) {
    let bytes = mib as f64 * 1024.0 * 1024.0;
    let gib = bytes / (1024.0 * 1024.0 * 1024.0);
    let (client, all) = (run.cpu_seconds / gib, (run.cpu_seconds + servers_cpu) / gib);
    println!(
        "| {verb} | {way} | {:.0} | {client:.1} | {all:.1} | {} |",
        bytes / 1e6 / run.seconds,
        run.peak_mib
    );
}

fn servers_cpu(world: &World) -> f64 {
    world.servers().iter().filter_map(|(_, pid)| cpu_seconds(*pid)).sum()
}
