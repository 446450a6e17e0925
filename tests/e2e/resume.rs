//! A machine that dies in the middle of a put or a get: the next run goes on where it was.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{World, eventually, eventually_within, files, len_below, stderr, text};

const MIB: u64 = 1024 * 1024;
/// How long a busy machine may take to move what a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts `blobdvm` on the vault `home`, and does not wait for it.
fn begin(world: &World, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&world.path("home")), "--relay", &world.relay, "--quiet"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Bytes of all blobs at all providers.
fn stored(world: &World) -> u64 {
    world.providers.iter().map(|provider| len_below(&provider.store.join("blobs"))).sum()
}

#[test]
fn a_put_that_is_killed_midway_sends_little_more_than_the_rest() {
    a_put_that_ends_midway_sends_little_more_than_the_rest(|put| put.kill().unwrap());
}

#[test]
fn a_put_that_is_told_to_stop_midway_sends_little_more_than_the_rest() {
    a_put_that_ends_midway_sends_little_more_than_the_rest(|put| {
        Command::new("kill").args(["-INT", &put.id().to_string()]).status().unwrap();
        assert_eq!(put.wait().unwrap().code(), Some(130));
    });
}

fn a_put_that_ends_midway_sends_little_more_than_the_rest(end: impl FnOnce(&mut Child)) {
    let world = World::start(3);
    let file = world.file("large.bin", 32 << 20, 1);
    let all = 32 * MIB * 3 / 2;
    let mut put = begin(&world, &["put", text(&file)]);
    eventually_within(PATIENCE, "three quarters of it", || stored(&world) >= all / 4 * 3);
    end(&mut put);
    put.wait().unwrap();
    let again = world.json(&["put", text(&file)]);
    let sent = again["stored_bytes"].as_u64().unwrap();
    // The rest is 8 packs of 1 MiB. What is sent again of the others: at most 8 that were on their way, which had two of
    // three shards stored; 4 that waited to be recorded together, where it was killed; and a segment of at most 4 MiB that
    // ends in one of these.
    assert!(sent <= all * 67 / 100, "{sent} of {all} bytes were sent by the second run");
    let out = world.path("out");
    world.json(&["get", "large.bin", "-o", text(&out)]);
    assert!(fs::read(out).unwrap() == fs::read(file).unwrap());
}

#[test]
fn a_get_that_is_killed_halfway_fetches_little_more_than_the_rest() {
    const LEN: u64 = 48 * MIB;
    let world = World::start(3);
    let file = world.file("large.bin", usize::try_from(LEN).unwrap(), 3);
    world.json(&["put", text(&file)]);
    let out = world.path("out/large.bin");
    let fetched = || len_below(&world.path("out"));
    let mut get = begin(&world, &["get", "large.bin", "-o", text(&out)]);
    eventually_within(PATIENCE, "half of it", || fetched() >= LEN / 2);
    get.kill().unwrap();
    get.wait().unwrap();
    let had: u64 = fetched();
    let again = world.json(&["get", "large.bin", "-o", text(&out)]);
    let resumed = again["resumed"].as_u64().unwrap();
    // All whole segments that were written, the last of which may be cut off.
    assert!(resumed <= had && resumed + 4 * MIB > had, "{resumed} bytes of {had} were taken");
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    assert_eq!(files(&world.path("out")), [out]);
}

#[test]
fn a_part_that_was_changed_is_trusted_up_to_the_change() {
    let world = World::start(3);
    let file = world.file("large.bin", 20 << 20, 4);
    world.json(&["put", text(&file)]);
    let out = world.path("out/large.bin");
    let mut get = begin(&world, &["get", "large.bin", "-o", text(&out)]);
    let fetched = || len_below(&world.path("out"));
    eventually_within(PATIENCE, "most of it", || fetched() >= 14 * MIB);
    get.kill().unwrap();
    get.wait().unwrap();
    let part = files(&world.path("out")).remove(0);
    fs::OpenOptions::new().write(true).open(&part).unwrap().write_all_at(b"changed", 8 << 20).unwrap();
    let resumed = world.json(&["get", "large.bin", "-o", text(&out)])["resumed"].as_u64().unwrap();
    assert!((4 * MIB..=8 * MIB).contains(&resumed), "{resumed} bytes were taken");
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn two_gets_to_one_place_at_once_both_end_well() {
    let world = World::start(3);
    let file = world.file("large.bin", 16 << 20, 5);
    world.json(&["put", text(&file)]);
    let second_home = world.path("second");
    fs::create_dir(&second_home).unwrap();
    fs::copy(world.path("home/key"), second_home.join("key")).unwrap();
    let recovered = world.run_in("third", &["recover", "--key-file", text(&second_home.join("key"))]);
    assert!(recovered.status.success(), "{}", stderr(&recovered));
    let out = world.path("out/large.bin");
    let mut first = begin(&world, &["get", "large.bin", "-o", text(&out)]);
    eventually("a part", || !files(&world.path("out")).is_empty());
    let second = world.run_in("third", &["get", "large.bin", "-o", text(&out), "--overwrite", "always"]);
    assert!(second.status.success(), "{}", stderr(&second));
    assert!(first.wait().unwrap().success());
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    assert_eq!(files(&world.path("out")), [out]);
}
