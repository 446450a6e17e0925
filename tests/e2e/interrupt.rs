//! Ctrl-C: a prompt end with an exit code of its own, and nothing half-done under a name.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{World, eventually, files, text};

#[test]
fn ctrl_c_ends_a_put_within_two_seconds_and_the_next_put_goes_on() {
    let world = World::start(3);
    let file = world.file("large.bin", 60_000_000, 1);
    let mut put = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet", "put", text(&file)])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the first blobs", || world.blobs(0).len() > 2);
    let pressed = Instant::now();
    Command::new("kill").args(["-INT", &put.id().to_string()]).status().unwrap();
    let status = put.wait().unwrap();
    assert!(pressed.elapsed() < Duration::from_secs(2), "{:?}", pressed.elapsed());
    assert_eq!(status.code(), Some(130));
    let again = world.json(&["put", text(&file)]);
    assert_eq!(again["files"], 1);
    let out = world.path("out");
    world.json(&["get", "large.bin", "-o", text(&out)]);
    assert!(std::fs::read(out).unwrap() == std::fs::read(file).unwrap());
}

#[test]
fn ctrl_c_during_a_get_leaves_no_file() {
    let world = World::start(3);
    let file = world.file("large.bin", 60_000_000, 1);
    world.json(&["put", text(&file)]);
    let out = world.path("out/large.bin");
    let mut get = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet"])
        .args(["get", "large.bin", "-o", text(&out)])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the first bytes", || !files(&world.path("out")).is_empty());
    Command::new("kill").args(["-INT", &get.id().to_string()]).status().unwrap();
    assert_eq!(get.wait().unwrap().code(), Some(130));
    assert_eq!(files(&world.path("out")), Vec::<std::path::PathBuf>::new());
}
