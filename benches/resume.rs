//! What a second run moves after the first was killed (SIGKILL) when half of the bytes had come through, with real
//! processes: bytes at the client's socket, counted by a proxy before the relay.
//!
//! `cargo bench --bench resume`; `BLOBDVM_BENCH_MIB=64` sets the size of the file (1024 MiB by default). Ends with an error
//! if the second run moves more than 55%. Of a file of much less than 1 GiB it may: what is under way when a run is killed,
//! up to 12 MiB, is lost whatever the size.

#[path = "../tests/e2e/support.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use support::{World, len_below, text};

/// A second run may move so many percent of what one whole run moves.
const PERCENT_MAX: u64 = 55;

fn main() -> ExitCode {
    let mib = std::env::var("BLOBDVM_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(1024);
    let mut world = World::start(3);
    let meter = Meter::start(&world.relay);
    world.relay.clone_from(&meter.url);
    let len = mib * 1024 * 1024;
    let file = world.file("bench.bin", len, 1);
    let whole = world.file("whole.bin", len, 2);
    println!("{mib} MiB that do not compress, 2 of 3; killed when half was there\n");
    println!("|     | one whole run, MB | first run, MB | second run, MB | share of a whole run | allowed |");
    println!("|-----|------------------:|--------------:|---------------:|---------------------:|--------:|");

    let stored = || world.providers.iter().map(|one| len_below(&one.store.join("blobs"))).sum::<u64>();
    world.json(&["put", text(&whole)]);
    let one_put = meter.take_sent();
    let (before, all) = (stored(), stored());
    kill_when(&world, &["put", text(&file)], || stored() - before >= all / 2);
    let first = meter.take_sent();
    world.json(&["put", text(&file)]);
    let put_is_good = print_row("put", one_put, first, meter.take_sent());

    let (whole_out, out) = (world.path("whole-out"), world.path("out"));
    meter.take_received();
    world.json(&["get", "whole.bin", "-o", text(&whole_out.join("whole.bin"))]);
    let one_get = meter.take_received();
    let to = out.join("bench.bin");
    kill_when(&world, &["get", "bench.bin", "-o", text(&to)], || len_below(&out) >= len as u64 / 2);
    let first = meter.take_received();
    world.json(&["get", "bench.bin", "-o", text(&to)]);
    let get_is_good = print_row("get", one_get, first, meter.take_received());
    assert!(is_same(&to, &file), "restored bytes differ");
    if put_is_good && get_is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts a command on the vault `home`, and kills it as soon as `is_half` says so.
fn kill_when(world: &World, args: &[&str], is_half: impl Fn() -> bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet"])
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .expect("the binary starts");
    while !is_half() {
        let ended = child.try_wait().expect("the child can be waited for");
        assert!(ended.is_none(), "{args:?} ended before it was killed");
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    // What is on its way to the meter belongs to this run.
    thread::sleep(Duration::from_millis(500));
}

/// Prints what the runs moved; whether the second one kept within what is allowed.
#[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
fn print_row(verb: &str, whole: u64, first: u64, second: u64) -> bool {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let share = second as f64 / whole as f64 * 100.0;
    let (whole_mb, first, second_mb) = (mb(whole), mb(first), mb(second));
    println!("| {verb} | {whole_mb:.1} | {first:.1} | {second_mb:.1} | {share:.1}% | {PERCENT_MAX}% |");
    second * 100 <= whole * PERCENT_MAX
}

fn is_same(a: &Path, b: &Path) -> bool {
    fs::read(a).expect("restored") == fs::read(b).expect("written")
}

/// Counts the bytes between clients and the relay, in both directions.
struct Meter {
    url: String,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Meter {
    /// Begins to listen before `relay`. Its threads end with the program.
    fn start(relay: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
        let relay = relay.trim_start_matches("ws://").trim_end_matches('/').to_owned();
        let meter = Self { url, sent: Arc::default(), received: Arc::default() };
        let (sent, received) = (meter.sent.clone(), meter.received.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(&relay).expect("the relay listens");
                for stream in [&client, &upstream] {
                    stream.set_nodelay(true).expect("a socket has this option");
                }
                let back = (upstream.try_clone().expect("cloned"), client.try_clone().expect("cloned"));
                pass(client, upstream, sent.clone());
                pass(back.0, back.1, received.clone());
            }
        });
        meter
    }

    /// What clients sent since this was asked last.
    fn take_sent(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }

    /// What clients received since this was asked last.
    fn take_received(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
    }
}

/// Hands bytes on until either side ends, and counts them.
fn pass(mut from: TcpStream, mut to: TcpStream, count: Arc<AtomicU64>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            count.fetch_add(len as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        // Whoever waits for more on the other side is told that nothing comes.
        let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
    });
}
