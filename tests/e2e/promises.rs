//! What put promises: full spread or an error, and nothing left behind by a put that cannot be.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{World, stderr, text};

#[test]
fn fewer_answering_providers_than_the_spread_is_an_error_that_leaves_nothing() {
    let mut world = World::start(3);
    let before: Vec<usize> = (0..3).map(|index| world.blobs(index).len()).collect();
    let file = world.file("a.bin", 100_000, 1);
    world.json(&["init"]);
    // Its announcement stays on the relay, but it does not answer.
    world.kill(2);
    let start = Instant::now();
    let put = world.run(&["put", "--spread", "3", text(&file)]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(put.status.code(), Some(4), "{}", stderr(&put));
    assert!(stderr(&put).contains("2 of 3 providers"), "{}", stderr(&put));
    assert_eq!(world.json(&["ls"]).as_array().unwrap().len(), 0);
    let after: Vec<usize> = (0..3).map(|index| world.blobs(index).len()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_second_put_over_a_lost_store_brings_the_full_spread_again() {
    let mut world = World::start(3);
    let file = world.file("a.bin", 2_500_000, 1);
    world.json(&["put", text(&file)]);
    for lost in 0..3 {
        world.destroy(lost);
        fs::create_dir_all(&world.providers[lost].store).unwrap();
        world.revive(lost);
        let put = world.json(&["put", text(&file)]);
        assert_eq!(put["providers"].as_array().unwrap().len(), 3, "{put}");
        assert_eq!(put["packs"], 0, "what is left of a pack is enough to mend it: {put}");
        let stored = put["stored_bytes"].as_u64().unwrap();
        assert!((1_250_000..2_000_000).contains(&stored), "the lost shards were stored anew: {put}");
        // Any two of the three are enough again, so the one that was lost is as good as the others.
        let other = (lost + 1) % 3;
        world.kill(other);
        let out = world.path(&format!("out-{lost}"));
        world.json(&["get", "a.bin", "-o", text(&out)]);
        assert_eq!(fs::read(out).unwrap(), fs::read(&file).unwrap());
        world.revive(other);
    }
}

#[test]
fn an_unchanged_file_is_confirmed_and_not_sent_again() {
    let world = World::start(3);
    let file = world.file("a.bin", 12_000_000, 1);
    let first = world.json(&["put", text(&file)]);
    let second = world.json(&["put", text(&file)]);
    assert_eq!(second["packs"], 0, "{second}");
    assert!(second["stored_bytes"].as_u64().unwrap() <= 65_536, "{second}");
    assert_ne!(first["snapshot"], second["snapshot"]);
}

#[test]
fn a_spare_provider_takes_the_place_of_one_that_refuses() {
    let mut world = World::start_with(1, &["--quota", "64KiB"]);
    let full = world.providers[0].id.clone();
    for _ in 0..3 {
        world.add_provider(&[]);
    }
    let file = world.file("a.bin", 2_000_000, 1);
    let put = world.json(&["put", "--spread", "3", text(&file)]);
    let kept = put["providers"].to_string();
    assert_eq!(put["providers"].as_array().unwrap().len(), 3, "{put}");
    assert!(!kept.contains(&full) || put["failures"].to_string().contains(&full), "{put}");
    let out = world.path("out");
    world.json(&["get", "a.bin", "-o", text(&out)]);
    assert_eq!(fs::read(out).unwrap(), fs::read(&file).unwrap());
}
