//! Check, repair, renew, watch and status as commands, on real processes and disks.

use std::fs;

use serde_json::Value;

use crate::support::World;

const DEGRADED: i32 = 10;
const LOST: i32 = 11;

/// Runs a command that ends with `code`, and returns what it printed as JSON.
fn json_with(world: &World, code: i32, args: &[&str]) -> Value {
    let output = world.run(&[&["--json"], args].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// Changes a bit in the middle of every blob of a provider.
fn flip(world: &World, provider: usize) {
    for path in world.blobs(provider) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn flipped_bits_at_one_of_three_are_found_survived_and_repaired() {
    let world = World::start(3);
    let file = world.file("in/photo.raw", 3_000_000, 1);
    world.json(&["put", file.to_str().unwrap()]);
    let before = world.json(&["check"]);
    assert_eq!(number(&before, "packs"), number(&before, "healthy"));
    assert_eq!((number(&before, "degraded"), number(&before, "lost")), (0, 0));
    assert_eq!(before["shards"]["good"], number(&before, "packs") * 3);
    assert_eq!(number(&before, "bytes_moved"), 0);
    assert_eq!(before["providers"].as_array().unwrap().len(), 3);

    flip(&world, 1);
    let found = json_with(&world, DEGRADED, &["check", "--audit", "20"]);
    assert!(number(&found, "degraded") > 0 && number(&found, "lost") == 0);
    let spoilt = found["providers"].as_array().unwrap().iter().find(|it| it["good"] == 0).unwrap();
    assert_eq!(spoilt["provider"], world.providers[1].id);
    assert_eq!(found["snapshots"][0]["name"], "photo.raw");

    let out = world.path("out");
    world.json(&["get", "photo.raw", "-o", out.to_str().unwrap()]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());

    let repaired = world.json(&["repair"]);
    assert_eq!(number(&repaired, "packs_lost"), 0);
    assert!(number(&repaired, "packs_repaired") > 0);
    assert!(number(&repaired, "bytes_read") > 0 && number(&repaired, "bytes_written") > 0);
    let after = world.json(&["check", "--read"]);
    assert_eq!(number(&after, "packs"), number(&after, "healthy"));
    assert!(number(&after, "bytes_moved") > 4_000_000, "all was read");
}

#[test]
fn check_heal_repairs_at_once_and_who_is_away_is_not_given_up() {
    let mut world = World::start(3);
    let file = world.file("in/letter.txt", 20_000, 2);
    world.json(&["put", file.to_str().unwrap()]);
    flip(&world, 0);
    let healed = json_with(&world, 0, &["check", "--read", "--heal"]);
    assert!(number(&healed["healed"], "shards_written") > 0);
    assert_eq!(number(&world.json(&["check", "--sample", "100"]), "degraded"), 0);

    world.destroy(0);
    assert_eq!(world.run(&["check", "letter.txt"]).status.code(), Some(DEGRADED));
    flip(&world, 1);
    let away = json_with(&world, DEGRADED, &["check", "--read"]);
    assert!(number(&away, "out_of_reach") > 0, "who is away may still have it: {away}");
    assert_eq!(number(&away, "lost"), 0);
}

#[test]
fn what_a_get_meets_is_healed_with_it_if_that_is_asked_for() {
    let world = World::start(3);
    let file = world.file("in/photo.raw", 900_000, 5);
    world.json(&["put", file.to_str().unwrap()]);
    let before = world.json(&["check", "photo.raw", "--packs"]);
    let first = &before["listed"][0]["shards"].as_array().unwrap()[0];
    let holder = world.providers.iter().position(|provider| first["provider"] == provider.id);
    flip(&world, holder.expect("one of the three has the first data shard"));
    let out = world.path("out");
    world.json(&["get", "photo.raw", "--heal", "-o", out.to_str().unwrap()]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    let after = world.json(&["check", "photo.raw", "--read"]);
    assert_eq!((number(&after, "healthy"), number(&after, "packs")), (1, 1), "{after}");
}

#[test]
fn renewing_and_watching_are_recorded_and_shown() {
    let world = World::start(3);
    let file = world.file("in/letter.txt", 20_000, 3);
    world.json(&["put", file.to_str().unwrap()]);
    assert_eq!(world.run(&["status"]).status.code(), Some(3));
    let renewed = world.json(&["renew"]);
    assert!(number(&renewed, "renewed") >= 6);
    assert_eq!((number(&renewed, "failed"), number(&renewed, "bytes_moved")), (0, 0));

    let round = world.json(&["watch", "--once"]);
    assert_eq!(number(&round, "packs"), number(&round, "healthy"));
    let status = world.json(&["status"]);
    assert_eq!(number(&status, "healthy"), number(&round, "healthy"));
    assert_eq!(status["watched"], true);
    let shown = world.run(&["status"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("healthy") && text.contains("promised until"), "{text}");
}

#[test]
fn everything_lost_is_told_by_an_exit_code_of_its_own() {
    let mut world = World::start(3);
    let file = world.file("in/letter.txt", 20_000, 4);
    world.json(&["put", file.to_str().unwrap()]);
    for provider in [0, 1] {
        for blob in world.blobs(provider) {
            fs::remove_file(blob).unwrap();
        }
        world.kill(provider);
        world.revive(provider);
    }
    let lost = json_with(&world, LOST, &["check", "latest"]);
    assert_eq!((number(&lost, "lost"), number(&lost, "healthy")), (1, 0));
    assert_eq!(world.run(&["repair", "latest"]).status.code(), Some(LOST));
}
