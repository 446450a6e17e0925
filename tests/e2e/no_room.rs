//! A disk that takes no more, in the middle of a get and of a put: what happened and what to do are told, nothing is lost,
//! and the next run goes on. A limit on the length of files stands in for the disk, because it needs no other file system.

use std::fs;
use std::process::{Command, Output};

use crate::support::{World, files, stderr, text};

const MIB: u64 = 1024 * 1024;

/// Runs blobdvm on the vault `home` where no file may become longer than `len_max` bytes, and writing more is an error.
fn run_limited(world: &World, len_max: u64, args: &[&str]) -> Output {
    // POSIX counts in blocks of 512 bytes.
    let script = r#"trap '' XFSZ; ulimit -f "$0"; exec "$@""#;
    Command::new("sh")
        .args(["-c", script, &(len_max / 512).to_string(), env!("CARGO_BIN_EXE_blobdvm")])
        .args(["--home", text(&world.path("home")), "--relay", &world.relay])
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_get_that_finds_no_room_says_so_and_the_next_one_goes_on() {
    let world = World::start(3);
    let file = world.file("large.bin", 24 << 20, 1);
    world.json(&["put", text(&file)]);
    let out = world.path("out/large.bin");
    let got = run_limited(&world, 12 * MIB, &["get", "large.bin", "-o", text(&out)]);
    assert_eq!(got.status.code(), Some(1), "{}", stderr(&got));
    let said = stderr(&got);
    assert!(said.contains("large.bin") && said.contains("restore to another file system"), "{said}");
    assert!(!out.exists(), "nothing half-done stands under the name");

    let again = world.json(&["get", "large.bin", "-o", text(&out)]);
    // All but a segment of at most 4 MiB that found no room for its end.
    let resumed = again["resumed"].as_u64().unwrap();
    assert!((8 * MIB..=12 * MIB).contains(&resumed), "{resumed} bytes were taken");
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    assert_eq!(files(&world.path("out")), [out]);
}

#[test]
fn a_put_whose_home_has_no_room_says_so_and_the_next_one_goes_on() {
    let world = World::start(3);
    let file = world.file("photo", 3 << 20, 2);
    // The key and the manifest find room, the catalog does not.
    let put = run_limited(&world, 200 * 1024, &["put", text(&file)]);
    let said = stderr(&put);
    assert_eq!(put.status.code(), Some(8), "{said}");
    assert!(said.contains("catalog") && said.contains("check that the disk has room"), "{said}");

    world.json(&["put", text(&file)]);
    let out = world.path("out/photo");
    world.json(&["get", "photo", "-o", text(&out)]);
    assert!(fs::read(out).unwrap() == fs::read(file).unwrap());
}
