//! `blobdvm bench`: what it says is complete, and it leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Process, World, eventually, files, start, stderr, text};

const SIZES: [u64; 2] = [1 << 10, 64 << 10];

/// The rows of one part, by carrier and size.
fn rows<'a>(report: &'a Value, part: &str) -> BTreeSet<(&'a str, u64)> {
    let rows = report[part].as_array().unwrap_or_else(|| panic!("no {part} in {report}"));
    rows.iter().map(|row| (row["carrier"].as_str().unwrap(), row["size"].as_u64().unwrap())).collect()
}

fn every(carriers: &[&'static str], sizes: &[u64]) -> BTreeSet<(&'static str, u64)> {
    carriers.iter().flat_map(|carrier| sizes.iter().map(|size| (*carrier, *size))).collect()
}

/// Every row of the part has all of these, above zero.
fn are_measured(report: &Value, part: &str, fields: &[&str]) {
    for row in report[part].as_array().unwrap() {
        for field in fields {
            let pointer = format!("/{}", field.replace('.', "/"));
            let figure = row.pointer(&pointer).and_then(Value::as_f64);
            assert!(figure.is_some_and(|figure| figure > 0.0), "{part}: {field} of {row}");
        }
    }
}

#[test]
fn bench_of_an_embedded_set_measures_every_way_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("home");
    let output = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--json", "--home", text(&home), "bench", "--quick", "--size", "1KiB,64KiB"])
        .env("TMPDIR", temporary.path())
        .env_remove("BLOBDVM_RELAYS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["spread"].as_u64(), report["need"].as_u64()), (Some(3), Some(2)));
    assert_eq!(report["embedded"], true);
    let rates = ["put_mb_s", "get_mb_s", "cpu_s_per_gib", "get_cpu_s_per_gib"];
    assert_eq!(rows(&report, "backups"), every(&["relay", "direct"], &SIZES));
    are_measured(&report, "backups", &[&rates[..], &["put_s", "get_s", "spread", "need", "rounds"]].concat());
    assert_eq!(rows(&report, "files"), every(&["relay", "direct"], &[10 << 10]));
    are_measured(&report, "files", &[&rates[..], &["put_s", "get_s", "files", "blobs"]].concat());
    assert_eq!(rows(&report, "blobs"), every(&["relay", "direct", "blossom"], &SIZES));
    let latencies = ["store_ms.p50", "store_ms.p90", "store_ms.p99", "fetch_ms.p50", "fetch_ms.p99"];
    are_measured(&report, "blobs", &[&rates[..], &latencies].concat());
    are_measured(&report, "codec", &["gb_s"]);
    assert_eq!(report["peaks"].as_array().map(Vec::len), Some(5), "{}", report["peaks"]);
    assert_eq!(files(temporary.path()), Vec::<PathBuf>::new(), "neither a home nor a temporary file");
}

/// A provider that goes on, and where its Blossom server is.
fn with_blossom(world: &World) -> (Process, Value) {
    let store = world.path("blossom");
    let args =
        ["--json", "--relay", &world.relay, "serve", "--store", text(&store), "--blossom", "127.0.0.1:0"];
    start(&args)
}

fn blobs_at(store: &Path) -> usize {
    files(&store.join("blobs")).len()
}

#[test]
fn bench_of_named_providers_takes_back_what_it_has_stored() {
    let world = World::start(2);
    let (_blossom, hello) = with_blossom(&world);
    let url = hello["blossom"].as_str().unwrap();
    let [one, two] = [0, 1].map(|index| world.providers[index].id.clone());
    let named =
        ["bench", "--quick", "--size", "4KiB", "--provider", &one, "--provider", &two, "--blossom", url];
    let report = world.json(&named);
    assert_eq!((report["spread"].as_u64(), report["need"].as_u64()), (Some(2), Some(1)));
    assert_eq!(report["embedded"], false);
    assert_eq!(rows(&report, "backups"), every(&["relay"], &[4 << 10]), "they have no direct path");
    assert_eq!(rows(&report, "blobs"), every(&["relay", "blossom"], &[4 << 10]));
    assert_eq!((world.blobs(0).len(), world.blobs(1).len()), (0, 0), "all claims were dropped");
    assert_eq!(blobs_at(&world.path("blossom")), 0, "and what was uploaded is given up");
    assert!(!world.path("home").exists(), "no vault of the user's is touched, or made");
}

#[test]
fn bench_that_is_interrupted_takes_back_what_it_has_stored() {
    let world = World::start(1);
    let temporary = world.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "bench", "--size", "2MiB"])
        .args(["--provider", &world.providers[0].id])
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("blobs arrive", || !world.blobs(0).is_empty());
    let told = Instant::now();
    let pid = bench.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = bench.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(told.elapsed() < Duration::from_secs(12), "it took {:?}", told.elapsed());
    eventually("nothing is left at the provider", || world.blobs(0).is_empty());
    assert!(files(&temporary).is_empty(), "nor in the temporary folder");
}

#[test]
fn bench_that_cannot_be_says_why_in_two_lines() {
    let world = World::start(1);
    let stranger = "ab".repeat(32);
    for (args, code, why) in [
        (&["bench", "--size", "0"][..], 2, "--size 0 B is not possible"),
        (&["bench", "--spread", "2", "--need", "3"], 2, "--need"),
        (&["bench", "--quick", "--blossom", "ftp://127.0.0.1"], 2, "no address of a Blossom server"),
        (&["bench", "--quick", "--blossom", "http://127.0.0.1:1"], 1, "cannot be reached"),
        (&["bench", "--quick", "--provider", &stranger], 4, "is not announced on these relays"),
        (&["bench", "--spread", "2", "--provider", &world.providers[0].id], 2, "a spread of 2"),
        (&["--carrier", "direct", "bench", "--provider", &world.providers[0].id], 4, "direct"),
    ] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 2, "{args:?}: {}", stderr(&output));
    }
}

/// A Blossom server that takes nothing from anybody.
fn start_refusing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection for each question, however long.
            thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let answer = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                let _whoever_left = (&stream).write_all(answer.as_bytes());
            });
        }
    });
    url
}

#[test]
fn bench_measures_what_it_can_where_an_endpoint_is_dead_and_a_server_refuses() {
    let world = World::start(0);
    let (store, url) = (world.path("unreachable"), start_refusing_server());
    let serve = ["serve", "--store", text(&store), "--direct", "127.0.0.1:0"];
    let announced = ["--announce-direct", "ws://127.0.0.1:1"];
    let (_provider, hello) = start(&[&["--json", "--relay", &world.relay][..], &serve, &announced].concat());
    let id = hello["provider"].as_str().unwrap();
    let named = ["bench", "--quick", "--size", "1KiB,64KiB", "--provider", id, "--blossom", &url];
    let output = world.run(&[&["--json", "--timeout", "2s"][..], &named].concat());
    assert!(!output.status.success());
    assert!(stderr(&output).contains("not everything could be measured"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows(&report, "backups"), every(&["relay"], &SIZES));
    assert_eq!(rows(&report, "files"), every(&["relay"], &[10 << 10]));
    assert_eq!(rows(&report, "blobs"), every(&["relay"], &SIZES));
    are_measured(&report, "codec", &["gb_s"]);
    let failures = report["failures"].as_array().unwrap();
    let failed: Vec<_> = failures.iter().map(|row| [&row["part"], &row["carrier"]]).collect();
    let expected = [["backups", "direct"], ["files", "direct"], ["blobs", "direct"], ["blobs", "blossom"]];
    assert_eq!(failed, expected, "each way is tried once in each part: {failures:?}");
    assert!(failures.iter().all(|row| row["why"].as_str().is_some_and(|why| why.len() > 10)));
    assert_eq!(blobs_at(&store), 0, "what was stored is given up");
}

#[cfg(target_os = "linux")]
#[test]
fn servers_of_a_bench_end_with_it_also_where_it_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&temporary.path().join("home")), "bench", "--size", "1MiB"])
        .env("TMPDIR", temporary.path())
        .env_remove("BLOBDVM_RELAYS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let children = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", bench.id())).unwrap();
        let of_task =
            |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let all: Vec<String> = tasks.map(|task| of_task(task.unwrap())).collect();
        all.concat().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut servers = Vec::new();
    eventually("a relay and three providers run", || {
        servers = children();
        servers.len() == 4
    });
    bench.kill().unwrap();
    bench.wait().unwrap();
    // A process that has ended and that nobody has waited for has no program.
    let runs = |pid: &String| fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    eventually("all of them have ended", || !servers.iter().any(runs));
}
