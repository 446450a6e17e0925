//! Put and get with real processes: MB/s, CPU seconds per GiB and peak memory of everybody who takes part.
//!
//! `cargo bench --bench end_to_end`; `BLOBDVM_BENCH_MIB=1024` sets the size of the file (512 MiB by default).

#[path = "../tests/e2e/support.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{World, memory_kib, text};

/// Clock ticks a second in `/proc/PID/stat` (proc(5); 100 on every Linux that this runs on).
const TICKS: f64 = 100.0;

/// What one run of the client took.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: u64,
}

fn main() {
    let mib = std::env::var("BLOBDVM_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(512);
    let world = World::start(3);
    let file = world.file("bench.bin", mib * 1024 * 1024, 1);
    let servers = servers(&world);
    println!("{mib} MiB that do not compress, 2 of 3, one relay and three providers on this machine\n");
    println!("|     | MB/s | client CPU s/GiB | all CPU s/GiB | client peak MiB |");
    println!("|-----|-----:|-----------------:|--------------:|----------------:|");
    let before = cpu_of(&servers);
    let put = client(&world, &["--quiet", "put", text(&file)]);
    let between = cpu_of(&servers);
    print_row("put", mib, &put, between - before);
    let out = world.path("out.bin");
    let get = client(&world, &["--quiet", "get", "bench.bin", "-o", text(&out)]);
    print_row("get", mib, &get, cpu_of(&servers) - between);
    assert!(fs::read(&out).expect("restored") == fs::read(&file).expect("written"), "restored bytes differ");
    println!();
    for (name, pid) in &servers {
        println!("{name}: peak {} MiB", memory_kib(*pid).1 / 1024);
    }
}

fn servers(world: &World) -> Vec<(String, u32)> {
    let providers = (0..world.providers.len()).map(|index| (format!("provider {index}"), world.pid(index)));
    std::iter::once(("relay".to_owned(), world.relay_pid())).chain(providers).collect()
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
fn print_row(verb: &str, mib: usize, run: &Run, servers_cpu: f64) {
    let bytes = mib as f64 * 1024.0 * 1024.0;
    let gib = bytes / (1024.0 * 1024.0 * 1024.0);
    let (client, all) = (run.cpu_seconds / gib, (run.cpu_seconds + servers_cpu) / gib);
    println!("| {verb} | {:.0} | {client:.1} | {all:.1} | {} |", bytes / 1e6 / run.seconds, run.peak_mib);
}

/// Runs the client to its end, watching its memory.
fn client(world: &World, args: &[&str]) -> Run {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay])
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut run = Run { seconds: 0.0, cpu_seconds: 0.0, peak_mib: 0 };
    loop {
        // A process that has ended but was not waited for has its times still, and no memory.
        run.cpu_seconds = cpu_seconds(child.id()).unwrap_or(run.cpu_seconds);
        if let Some(status) = child.try_wait().expect("the client can be waited for") {
            run.seconds = start.elapsed().as_secs_f64();
            assert!(status.success(), "{args:?} failed");
            return run;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        run.peak_mib = run.peak_mib.max(peak.unwrap_or(0) / 1024);
        sleep(Duration::from_millis(10));
    }
}

fn cpu_of(processes: &[(String, u32)]) -> f64 {
    processes.iter().filter_map(|(_, pid)| cpu_seconds(*pid)).sum()
}

/// User and system time of a process (proc(5), fields 14 and 15 of `stat`).
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}
