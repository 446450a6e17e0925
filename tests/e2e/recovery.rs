//! A vault comes back on an empty machine from its key alone.

use std::fs;
use std::process::Output;

use crate::support::{Process, World, files, start, stderr, text};

#[test]
fn the_key_and_a_relay_recover_everything_with_one_provider_gone() {
    let mut world = World::start(3);
    let (first, second) = (world.file("a.bin", 3_000_000, 1), world.file("b.bin", 40_000, 2));
    world.json(&["put", text(&first)]);
    world.json(&["put", text(&second)]);
    let key = take_key(&world);
    for lost in 0..3 {
        let kept = world.path("kept");
        world.kill(lost);
        fs::rename(&world.providers[lost].store, &kept).unwrap();
        let home = format!("new-home-{lost}");
        let recovered = recover(&world, &home, &key, &[]);
        assert!(recovered.status.success(), "{}", stderr(&recovered));
        for (name, file) in [("a.bin", &first), ("b.bin", &second)] {
            let out = world.path(&format!("out-{lost}-{name}"));
            let got = world.run_in(&home, &["get", name, "-o", text(&out)]);
            assert!(got.status.success(), "{}", stderr(&got));
            assert_eq!(fs::read(out).unwrap(), fs::read(file).unwrap());
        }
        fs::rename(&kept, &world.providers[lost].store).unwrap();
        world.revive(lost);
    }
}

#[test]
fn a_recovered_vault_goes_on_as_a_new_device_and_loses_nothing() {
    let world = World::start(3);
    let file = world.file("a.bin", 2_000_000, 1);
    world.json(&["put", text(&file)]);
    let key = take_key(&world);
    assert!(recover(&world, "second", &key, &[]).status.success());
    let more = world.file("b.bin", 10_000, 2);
    let put = world.run_in("second", &["--json", "put", text(&file), text(&more), "--name", "both"]);
    assert!(put.status.success(), "{}", stderr(&put));
    assert!(recover(&world, "third", &key, &[]).status.success());
    let out = world.path("out");
    let got = world.run_in("third", &["get", "both", "-o", text(&out)]);
    assert!(got.status.success(), "{}", stderr(&got));
    assert_eq!(fs::read(out.join("a.bin")).unwrap(), fs::read(&file).unwrap());
    assert_eq!(fs::read(out.join("b.bin")).unwrap(), fs::read(&more).unwrap());
    let old = world.run_in("third", &["get", "a.bin", "-o", text(&world.path("old"))]);
    assert!(old.status.success(), "{}", stderr(&old));
}

#[test]
fn an_old_head_on_one_of_two_relays_is_reported_and_not_followed() {
    let mut world = World::start(3);
    let (other, other_url) = second_relay(&world);
    let both = ["--relay", other_url.as_str()];
    let first = world.file("a.bin", 10_000, 1);
    let put = world.run(&[&both[..], &["put", text(&first)]].concat());
    assert!(put.status.success(), "{}", stderr(&put));
    // The second put does not reach the other relay, which keeps the old head.
    let key = take_key(&world);
    let second = world.file("b.bin", 10_000, 2);
    fs::rename(world.path("deleted"), world.path("home")).unwrap();
    world.json(&["put", text(&second)]);
    take_key(&world);
    let recovered = recover(&world, "new", &key, &both);
    assert!(recovered.status.success(), "{}", stderr(&recovered));
    assert!(stderr(&recovered).contains("older than"), "{}", stderr(&recovered));
    let rows = world.run_in("new", &["--json", "ls"]);
    assert!(String::from_utf8_lossy(&rows.stdout).contains("b.bin"));
    drop(other);
    world.kill(0);
}

#[test]
fn without_a_head_on_any_relay_the_providers_list_is_enough() {
    let mut world = World::start(3);
    let file = world.file("a.bin", 1_500_000, 1);
    world.json(&["put", text(&file)]);
    let key = take_key(&world);
    // Another relay that has never heard of the vault; the providers announce themselves there.
    let (relay, url) = second_relay(&world);
    for index in 0..3 {
        world.kill(index);
    }
    world.relay = url;
    for index in 0..3 {
        world.revive(index);
    }
    let recovered = recover(&world, "new", &key, &[]);
    assert!(recovered.status.success(), "{}", stderr(&recovered));
    let out = world.path("out");
    let got = world.run_in("new", &["get", "a.bin", "-o", text(&out)]);
    assert!(got.status.success(), "{}", stderr(&got));
    assert_eq!(fs::read(out).unwrap(), fs::read(&file).unwrap());
    drop(relay);
}

#[test]
fn a_failed_recovery_leaves_nothing_behind() {
    let world = World::start(3);
    let key = "0000000000000000000000000000000000000000000000000000000000000001\n";
    let recovered = recover(&world, "new", key, &[]);
    assert_eq!(recovered.status.code(), Some(3), "{}", stderr(&recovered));
    assert!(!world.path("new").exists());
    let left = files(world.dir.path()).into_iter().filter(|path| text(path).contains("recovery"));
    assert_eq!(left.count(), 0);
    let nonsense = recover(&world, "new", "no key at all", &[]);
    assert_ne!(nonsense.status.code(), Some(0));
    assert!(!stderr(&nonsense).contains("no key at all"));
}

/// Moves the home away and returns its key: what a person has written down.
fn take_key(world: &World) -> String {
    let key = fs::read_to_string(world.path("home/key")).unwrap();
    fs::rename(world.path("home"), world.path("deleted")).unwrap();
    key
}

fn recover(world: &World, home: &str, key: &str, more: &[&str]) -> Output {
    let file = world.path("paper");
    fs::write(&file, key).unwrap();
    world.run_in(home, &[more, &["recover", "--key-file", text(&file)]].concat())
}

fn second_relay(world: &World) -> (Process, String) {
    let store = world.path("relay-2");
    let (process, hello) = start(&["--json", "relay", "--listen", "127.0.0.1:0", "--store", text(&store)]);
    let url = hello["url"].as_str().unwrap().to_owned();
    (process, url)
}
