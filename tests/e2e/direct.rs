//! Blobs without relays: between real processes, and what happens where the direct path fails.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::support::{Provider, World, eventually, len_below, stderr, text};

const DIRECT: &[&str] = &["--direct", "127.0.0.1:0"];

/// What goes over relays is not to be seen; so they are forbidden where it matters.
const ONLY: &[&str] = &["--carrier", "direct"];

/// An address where nobody listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn with<'a>(way: &[&'a str], args: &[&'a str]) -> Vec<&'a str> {
    [way, args].concat()
}

fn restores(world: &World, way: &[&str], name: &str) {
    let target = world.path(&format!("restored-{name}-{}", way.last().unwrap_or(&"best")));
    let output = world.run(&with(way, &["get", name, "-o", text(&target)]));
    assert!(output.status.success(), "{}", stderr(&output));
    let restored = if target.is_dir() { target.join(name) } else { target };
    assert!(fs::read(restored).unwrap() == fs::read(world.path(name)).unwrap(), "{name} is as it was");
}

fn put(world: &World, way: &[&str], name: &str, seed: u64) {
    let file = world.file(name, 3_000_000, seed);
    let output = world.run(&with(way, &["put", text(&file)]));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn everything_can_be_done_without_relays() {
    let world = World::start_with(3, DIRECT);
    put(&world, ONLY, "data", 1);
    restores(&world, ONLY, "data");
    for args in [&["check"][..], &["check", "--audit", "5"], &["check", "--read"], &["renew"]] {
        let output = world.run(&with(ONLY, args));
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    let kept = || (0..3).map(|index| len_below(&world.providers[index].store.join("blobs"))).sum::<u64>();
    let before = kept();
    let output = world.run(&with(ONLY, &["rm", "--now", "data"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let after = kept();
    assert!(after < before / 2, "{after} of {before} bytes are left");
}

#[test]
fn what_was_stored_one_way_is_read_the_other() {
    let world = World::start_with(3, DIRECT);
    put(&world, ONLY, "straight", 1);
    put(&world, &["--carrier", "relay"], "around", 2);
    put(&world, &[], "as-it-likes", 3);
    for name in ["straight", "around", "as-it-likes"] {
        restores(&world, &["--carrier", "relay"], name);
        restores(&world, ONLY, name);
    }
}

#[test]
fn plain_blob_goes_directly_as_well() {
    let world = World::start_with(1, DIRECT);
    let file = world.file("plain", 2_000_000, 1);
    let hash = world.run(&with(ONLY, &["upload", text(&file)]));
    assert!(hash.status.success(), "{}", stderr(&hash));
    let hash = String::from_utf8(hash.stdout).unwrap().trim().to_owned();
    let target = world.path("back");
    for way in [ONLY, &["--carrier", "relay"]] {
        let got = world.run(&with(way, &["download", &hash, "-o", text(&target)]));
        assert!(got.status.success(), "{}", stderr(&got));
        assert!(fs::read(&target).unwrap() == fs::read(&file).unwrap());
        fs::remove_file(&target).unwrap();
    }
    let gone = world.run(&with(ONLY, &["delete", &hash]));
    assert!(gone.status.success(), "{}", stderr(&gone));
    let missing = world.run(&with(ONLY, &["download", &hash, "-o", text(&target)]));
    assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
}

#[test]
fn without_an_endpoint_the_direct_path_is_refused_in_two_lines() {
    let world = World::start(3);
    let file = world.file("data", 1_000, 1);
    for args in [vec!["put", text(&file)], vec!["upload", text(&file)]] {
        let output = world.run(&with(ONLY, &args));
        assert_eq!(output.status.code(), Some(4));
        let said = stderr(&output);
        let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let [what, remedy] = lines[lines.len() - 2..] else { panic!("two lines, not {said}") };
        assert!(what.contains("announces a direct endpoint"), "{said}");
        assert!(remedy.contains("--carrier direct"), "{said}");
    }
}

#[test]
fn dead_endpoint_is_gone_around_over_relays() {
    let announced = format!("ws://{}", free_address());
    let world = World::start_with(3, &["--direct", "127.0.0.1:0", "--announce-direct", &announced]);
    put(&world, &[], "data", 1);
    restores(&world, &[], "data");
    let output = world.run(&with(ONLY, &["get", "data", "-o", text(&world.path("not"))]));
    assert!(!output.status.success(), "nobody can be reached directly");
}

#[test]
fn endpoint_that_accepts_and_says_nothing_is_gone_around() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let announced = format!("ws://{}", mute.local_addr().unwrap());
    let world = World::start_with(3, &["--direct", "127.0.0.1:0", "--announce-direct", &announced]);
    put(&world, &[], "data", 1);
    restores(&world, &[], "data");
}

#[test]
fn another_key_at_the_endpoint_is_refused() {
    let address = free_address();
    let mut world = World::start_with(1, &["--direct", &address]);
    let other = format!("ws://{address}");
    world.add_provider(&["--direct", "127.0.0.1:0", "--announce-direct", &other]);
    let file = world.file("plain", 100_000, 1);
    let misled: &Provider = &world.providers[1];
    let output = world.run(&with(ONLY, &["upload", text(&file), "--server", &misled.id]));
    assert!(!output.status.success());
    assert!(stderr(&output).contains("another key answers there"), "{}", stderr(&output));
    let output = world.run(&["upload", text(&file), "--server", &misled.id]);
    assert!(output.status.success(), "relays lead to the right one: {}", stderr(&output));
    assert_eq!((world.blobs(0).len(), world.blobs(1).len()), (0, 1));
}

#[test]
fn provider_that_dies_or_stops_midway_is_gone_around() {
    for signal in ["-KILL", "-STOP"] {
        let world = World::start_with(4, DIRECT);
        let file = world.file("data", 30_000_000, 1);
        let busy = || (0..4).find(|index| world.blobs(*index).len() > 1);
        let output = std::thread::scope(|scope| {
            let putting = scope.spawn(|| world.run(&["put", text(&file)]));
            eventually("the first blobs arrive", || busy().is_some());
            let victim = world.servers()[1 + busy().expect("it has blobs")].1.to_string();
            assert!(Command::new("kill").args([signal, &victim]).status().unwrap().success());
            putting.join().unwrap()
        });
        assert!(output.status.success(), "{signal}: {}", stderr(&output));
        restores(&world, &[], "data");
    }
}

#[test]
fn provider_opens_no_port_unless_told() {
    let world = World::start(1);
    let pid = world.servers()[1].1;
    let sockets = |name: &str| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        let listening: Vec<String> = table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                (fields.get(3) == Some(&"0A")).then(|| fields.get(9).map(ToString::to_string))?
            })
            .collect();
        listening
    };
    let listening = [sockets("tcp"), sockets("tcp6")].concat();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok);
    for file in open {
        let target = fs::read_link(file.path()).unwrap_or_default().display().to_string();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        assert!(!inode.is_some_and(|inode| listening.iter().any(|found| found == inode)), "it listens");
    }
}

#[test]
fn so_many_clients_may_be_connected_as_the_provider_was_told() {
    let address = free_address();
    let limits = ["--max-connections", "9", "--max-connections-per-address", "7"];
    let _world = World::start_with(1, &[&["--direct", &address][..], &limits].concat());
    let is_open = |stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        // Who has a place is waited for; who has none is hung up on.
        (&*stream).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open_of = |count: usize, address: &str| {
        let streams: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        streams.iter().filter(|stream| is_open(stream)).count()
    };
    assert_eq!(open_of(8, &address), 7);
    let address = free_address();
    let limits = ["--max-connections", "3", "--max-connections-per-address", "9"];
    let _other = World::start_with(1, &[&["--direct", &address][..], &limits].concat());
    assert_eq!(open_of(5, &address), 3);

    let world = World::start(0);
    for limit in ["--max-connections", "--max-connections-per-address"] {
        let without_direct = world.run(&["serve", limit, "9"]);
        assert_eq!(without_direct.status.code(), Some(2), "{}", stderr(&without_direct));
        let none = world.run(&["serve", "--direct", "127.0.0.1:0", limit, "0"]);
        assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    }
}

#[test]
fn providers_says_who_answers_directly_and_why_somebody_does_not() {
    let mut world = World::start_with(1, DIRECT);
    world.add_provider(&[DIRECT, &["--announce-direct", "ws://127.0.0.1:1"]].concat());
    world.add_provider(&[]);
    let direct = |way: &[&str]| {
        let rows = world.json(&with(way, &["providers"]));
        let of = |provider: &Provider| {
            let row = rows.as_array().unwrap().iter().find(|row| row["provider"] == provider.id).unwrap();
            let endpoints = row["endpoints"].as_array().unwrap().len();
            (endpoints, row["direct"].as_str().map(str::to_owned), row["direct_error"].is_null())
        };
        world.providers.iter().map(of).collect::<Vec<_>>()
    };
    let told = |standing: &str| Some(standing.to_owned());
    let strangers = [(1, told("untried"), true), (1, told("untried"), true), (0, None, true)];
    assert_eq!(direct(&[]), strangers, "nobody asks strangers to be reached");
    for provider in &world.providers {
        assert!(world.run(&["providers", "trust", &provider.id]).status.success());
    }
    let expected = [(1, told("open"), true), (1, told("failed"), false), (0, None, true)];
    // A machine that is busy may not be connected yet when the answer comes over relays.
    eventually("who answers directly is told", || direct(&[]) == expected);
    assert_eq!(direct(&["--carrier", "relay"]), strangers);
    let said = world.run(&["providers"]);
    let said = String::from_utf8_lossy(&said.stdout);
    for words in [" ms directly, ", "    no direct path: endpoint ws://127.0.0.1:1"] {
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
}
