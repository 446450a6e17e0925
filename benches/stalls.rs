//! What a provider that stands still costs, with real processes: put, get and a backup of many small files, each with all
//! providers well, with one stopped (SIGSTOP) before it begins, and with one stopped in the middle.
//!
//! `cargo bench --bench stalls`; `BLOBDVM_BENCH_MIB=256` sets the size of the file (256 MiB by default). Four providers, so
//! that one is to spare: there a stopped one may add at most one second. Then three: without a spare, put must end with an
//! error within its deadline. Every figure is the best of three runs. Ends with an error if either does not hold.

#![expect(clippy::disallowed_methods, reason = "real processes run on the real clock")]

#[path = "../tests/e2e/support.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::fs;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{World, noise, text};

/// A stopped provider may add so much where another is to spare.
const ADDED_MAX: f64 = 1.0;
/// The deadline of a put that cannot reach its spread: how long anything may go without progress, and a little.
const TIMEOUT_SECS: u64 = 10;
/// Small files of a backup, and their length.
const SMALL_COUNT: u64 = 1_000;
const SMALL_LEN: usize = 10 * 1024;
/// The provider that is stopped.
const STOPPED: usize = 1;

/// Every figure is the best of so many runs: what else the machine does adds to each of them.
const RUNS: usize = 3;

/// When a provider is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Never,
    Before,
    /// After this part of what a healthy run takes.
    Midway(f64),
}

/// A process that stands still, until this is dropped.
struct Stopped(u32);

impl Stopped {
    fn stop(world: &World) -> Self {
        let wanted = format!("provider {STOPPED}");
        let (_, pid) = world.servers().into_iter().find(|(name, _)| *name == wanted).expect("it runs");
        signal("-STOP", pid);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "{name} to {pid}");
}

fn main() -> ExitCode {
    let mib: usize =
        std::env::var("BLOBDVM_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256);
    println!("{mib} MiB, and {SMALL_COUNT} files of {SMALL_LEN} bytes; 2 of 3 at four providers\n");
    println!(
        "|       | healthy s | stopped before s | added | stopped midway s | added | at most {ADDED_MAX} s |"
    );
    println!("|-------|----------:|-----------------:|------:|-----------------:|------:|:--|");
    let results = [put_row(mib), get_row(mib), small_row()];
    let without_spare = without_spare();
    if results.into_iter().all(|good| good) && without_spare { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn put_row(mib: usize) -> bool {
    row("put", |stop| {
        let world = World::start(4);
        let file = world.file("bench.bin", mib * 1024 * 1024, 1);
        settle(&world);
        timed(&world, &["put", text(&file)], stop)
    })
}

fn get_row(mib: usize) -> bool {
    let world = World::start(4);
    let file = world.file("bench.bin", mib * 1024 * 1024, 1);
    world.json(&["put", text(&file)]);
    let out = world.path("out.bin");
    row("get", |stop| {
        let seconds = timed(&world, &["get", "bench.bin", "-o", text(&out), "--overwrite", "always"], stop);
        assert!(fs::read(&out).expect("restored") == fs::read(&file).expect("written"), "bytes differ");
        settle(&world);
        seconds
    })
}

fn small_row() -> bool {
    row("small", |stop| {
        let world = World::start(4);
        let folder = world.path("small");
        fs::create_dir(&folder).expect("a folder can be made");
        for number in 0..SMALL_COUNT {
            fs::write(folder.join(number.to_string()), noise(SMALL_LEN, number))
                .expect("a file can be written");
        }
        settle(&world);
        timed(&world, &["put", text(&folder)], stop)
    })
}

/// One row of the table; whether a stopped provider added no more than is allowed.
fn row(name: &str, run: impl Fn(Stop) -> f64) -> bool {
    let (mut healthy, mut before, mut midway) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    // In turns: what the disk has still to do from one run slows the next one.
    for _ in 0..RUNS {
        healthy = healthy.min(run(Stop::Never));
        before = before.min(run(Stop::Before));
        midway = midway.min(run(Stop::Midway(healthy / 2.0)));
    }
    let (added_before, added_midway) = (before - healthy, midway - healthy);
    let is_good = added_before <= ADDED_MAX && added_midway <= ADDED_MAX;
    let verdict = if is_good { "yes" } else { "NO" };
    println!(
        "| {name} | {healthy:.2} | {before:.2} | {added_before:+.2} | {midway:.2} | {added_midway:+.2} | {verdict} |"
    );
    is_good
}

/// Lets the providers come to know of each other's announcements and the disk come to rest; makes the vault beforehand.
fn settle(world: &World) {
    let tiny = world.file("tiny", 10_000, 99);
    world.json(&["put", text(&tiny)]);
}

/// Seconds that a command takes, which must succeed.
fn timed(world: &World, args: &[&str], stop: Stop) -> f64 {
    let mut stopped = (stop == Stop::Before).then(|| Stopped::stop(world));
    let start = Instant::now();
    let mut child = begin(world, args, &[]);
    if let Stop::Midway(seconds) = stop {
        thread::sleep(Duration::from_secs_f64(seconds));
        stopped = Some(Stopped::stop(world));
    }
    let status = child.wait().expect("the child can be waited for");
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{args:?} failed with {stop:?}");
    drop(stopped);
    seconds
}

fn begin(world: &World, args: &[&str], global: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet"])
        .args(global)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Without a spare a put cannot come to its end: it must say so within its deadline. True if it does.
fn without_spare() -> bool {
    println!("\nthree providers, one of them stopped, --timeout {TIMEOUT_SECS}s:");
    let timeout = format!("{TIMEOUT_SECS}s");
    let mut is_good = true;
    for stop in [Stop::Before, Stop::Midway(0.5)] {
        let world = World::start(3);
        let file = world.file("bench.bin", 256 * 1024 * 1024, 1);
        settle(&world);
        let mut stopped = (stop == Stop::Before).then(|| Stopped::stop(&world));
        let mut child = begin(&world, &["put", text(&file)], &["--timeout", &timeout]);
        let mut start = Instant::now();
        if let Stop::Midway(seconds) = stop {
            thread::sleep(Duration::from_secs_f64(seconds));
            stopped = Some(Stopped::stop(&world));
            start = Instant::now();
        }
        let code = child.wait().expect("the child can be waited for").code();
        let seconds = start.elapsed().as_secs_f64();
        // What is under way when it fails is waited for, and deleted again where that is possible.
        let in_time = seconds <= 2.0 * f64::from(u32::try_from(TIMEOUT_SECS).expect("small")) + 5.0;
        let verdict = if code == Some(4) && in_time { "yes" } else { "NO" };
        is_good &= verdict == "yes";
        println!("{stop:?}: exit code {code:?} after {seconds:.1} s; as it should be: {verdict}");
        drop(stopped);
    }
    is_good
}
