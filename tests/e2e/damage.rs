//! Damaged shards: the right bytes all the same, and the provider and the pack are named.

use std::fs;
use std::path::Path;

use crate::support::{World, text};

#[test]
fn each_corrupt_provider_is_blamed_in_every_read_set() {
    let mut world = World::start(3);
    let file = world.file("a.bin", 3_000_000, 5);
    world.json(&["put", text(&file)]);
    for corrupt in 0..3 {
        let kept = damage_all(&world, corrupt);
        for unread in 0..3 {
            let out = world.path(&format!("out-{corrupt}-{unread}"));
            let mut args = vec!["get", "a.bin", "-o", text(&out)];
            let read_set: Vec<_> = (0..3).filter(|index| *index != unread).collect();
            for index in &read_set {
                args.extend(["--prefer", &world.providers[*index].id]);
            }
            let got = world.json(&args);
            assert_eq!(
                fs::read(&out).unwrap(),
                fs::read(&file).unwrap(),
                "{corrupt} corrupt, {read_set:?} read"
            );
            let blamed = got["blamed"].as_array().unwrap();
            let names_it = blamed
                .iter()
                .any(|one| one["provider"] == world.providers[corrupt].id && one["pack"].is_string());
            assert_eq!(names_it, read_set.contains(&corrupt), "{got}");
            assert!(blamed.iter().all(|one| one["provider"] == world.providers[corrupt].id), "{got}");
        }
        // A provider remembers which files it found damaged, until it starts again.
        world.kill(corrupt);
        for (path, bytes) in kept {
            fs::write(path, bytes).unwrap();
        }
        world.revive(corrupt);
    }
}

#[test]
fn two_corrupt_providers_of_three_are_an_error_and_no_file() {
    let world = World::start(3);
    let file = world.file("a.bin", 100_000, 6);
    world.json(&["put", text(&file)]);
    damage_all(&world, 0);
    damage_all(&world, 1);
    let out = world.path("out/a.bin");
    let got = world.run(&["get", "a.bin", "-o", text(&out)]);
    assert_eq!(got.status.code(), Some(5));
    assert!(!out.exists());
    assert_eq!(crate::support::files(&world.path("out")), Vec::<std::path::PathBuf>::new());
}

/// Flips a bit in the middle of every blob of a provider; returns what was there.
fn damage_all(world: &World, index: usize) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let blobs = world.blobs(index);
    assert!(!blobs.is_empty());
    blobs.into_iter().map(|path| (path.clone(), damage(&path))).collect()
}

fn damage(path: &Path) -> Vec<u8> {
    let before = fs::read(path).unwrap();
    let mut after = before.clone();
    let middle = after.len() / 2;
    after[middle] ^= 1;
    fs::write(path, after).unwrap();
    before
}
