//! Ctrl-C: a prompt end with an exit code of its own, and nothing half-done under a name.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{World, eventually, files, len_below, text};

#[test]
fn ctrl_c_ends_a_put_within_two_seconds_and_the_next_put_goes_on() {
    let world = World::start(3);
    let file = world.file("large.bin", 40_000_000, 1);
    let mut put = begin(&world, &["put", text(&file)]);
    eventually("the first blobs", || world.blobs(0).len() > 2);
    let (status, said) = interrupt(&mut put);
    assert_eq!(status, Some(130), "{said}");
    assert!(said.contains("run the same command again") && said.contains("not sent twice"), "{said}");
    let again = world.json(&["put", text(&file)]);
    assert_eq!(again["files"], 1);
    let out = world.path("out");
    world.json(&["get", "large.bin", "-o", text(&out)]);
    assert!(std::fs::read(out).unwrap() == std::fs::read(file).unwrap());
}

#[test]
fn ctrl_c_during_a_get_leaves_nothing_under_a_name_and_the_next_get_goes_on() {
    let world = World::start(3);
    let file = world.file("large.bin", 40_000_000, 1);
    world.json(&["put", text(&file)]);
    let out = world.path("out/large.bin");
    let mut get = begin(&world, &["get", "large.bin", "-o", text(&out)]);
    let part = || len_below(&world.path("out"));
    eventually("some of it", || part() > 10_000_000);
    let (status, said) = interrupt(&mut get);
    assert_eq!(status, Some(130), "{said}");
    assert!(said.contains("run the same command again") && said.contains("not fetched twice"), "{said}");
    assert!(!out.exists() && part() > 10_000_000);
    let again = world.json(&["get", "large.bin", "-o", text(&out)]);
    assert!(again["resumed"].as_u64().unwrap() > 5_000_000, "{again}");
    assert!(std::fs::read(&out).unwrap() == std::fs::read(file).unwrap());
    assert_eq!(files(&world.path("out")), [out]);
}

#[test]
fn ctrl_c_is_heard_while_a_hole_of_a_terabyte_is_hashed() {
    let world = World::start(3);
    let hole = world.path("hole");
    std::fs::File::create(&hole).unwrap().set_len(1 << 40).unwrap();
    let mut put = begin(&world, &["put", text(&hole)]);
    eventually("the vault", || world.path("home/catalog.redb").exists());
    std::thread::sleep(Duration::from_secs(2));
    let (status, said) = interrupt(&mut put);
    assert_eq!(status, Some(130), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
}

#[test]
fn ctrl_c_is_heard_while_a_large_hole_is_restored() {
    let world = World::start(3);
    let hole = world.path("hole");
    std::fs::File::create(&hole).unwrap().set_len(6 << 30).unwrap();
    world.json(&["put", text(&hole)]);
    let mut get = begin(&world, &["get", "hole", "-o", text(&world.path("out/hole"))]);
    eventually("the get", || world.path("out").exists());
    let (status, said) = interrupt(&mut get);
    assert_eq!(status, Some(130), "{said}");
    assert!(!world.path("out/hole").exists());
}

/// Starts `blobdvm` on the vault `home`, and does not wait for it.
fn begin(world: &World, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Presses Ctrl-C. The exit code, which must come within two seconds, and what was said.
fn interrupt(child: &mut Child) -> (Option<i32>, String) {
    let pressed = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(pressed.elapsed() < Duration::from_secs(2), "{:?}", pressed.elapsed());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}
