//! Put and get with real processes: MB/s, CPU seconds per GiB and peak memory of everybody who takes part.
//!
//! `cargo bench --bench end_to_end`; `BLOBDVM_BENCH_MIB=1024` sets the size of the file (512 MiB by default).

#[path = "../tests/e2e/support.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::fs;

use support::{Watched, World, cpu_seconds, peak_mib, text};

fn main() {
    let mib = std::env::var("BLOBDVM_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(512);
    let world = World::start(3);
    let file = world.file("bench.bin", mib * 1024 * 1024, 1);
    println!("{mib} MiB that do not compress, 2 of 3, one relay and three providers on this machine\n");
    println!("|     | MB/s | client CPU s/GiB | all CPU s/GiB | client peak MiB |");
    println!("|-----|-----:|-----------------:|--------------:|----------------:|");
    let before = servers_cpu(&world);
    let put = world.watch(&["put", text(&file)]);
    let between = servers_cpu(&world);
    print_row("put", mib, &put, between - before);
    let out = world.path("out.bin");
    let get = world.watch(&["get", "bench.bin", "-o", text(&out)]);
    print_row("get", mib, &get, servers_cpu(&world) - between);
    assert!(fs::read(&out).expect("restored") == fs::read(&file).expect("written"), "restored bytes differ");
    println!();
    for (name, pid) in world.servers() {
        println!("{name}: peak {} MiB", peak_mib(pid).unwrap_or(0));
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
fn print_row(verb: &str, mib: usize, run: &Watched, servers_cpu: f64) {
    let bytes = mib as f64 * 1024.0 * 1024.0;
    let gib = bytes / (1024.0 * 1024.0 * 1024.0);
    let (client, all) = (run.cpu_seconds / gib, (run.cpu_seconds + servers_cpu) / gib);
    println!("| {verb} | {:.0} | {client:.1} | {all:.1} | {} |", bytes / 1e6 / run.seconds, run.peak_mib);
}

fn servers_cpu(world: &World) -> f64 {
    world.servers().iter().filter_map(|(_, pid)| cpu_seconds(*pid)).sum()
}
