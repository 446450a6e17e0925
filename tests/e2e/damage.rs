//! Damaged shards: the right bytes all the same, and the provider and the pack are named.

use std::fs;
use std::path::Path;

use crate::support::{World, stderr, text};

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

#[test]
fn files_whose_shards_are_left_come_back_though_others_are_lost() {
    let mut world = World::start(3);
    for index in 0..6 {
        world.file(&format!("tree/{index}.bin"), 1_500_000, index);
    }
    world.json(&["put", text(&world.path("tree"))]);
    // One provider is gone, and of another one the largest blob: the pack that it belongs to is lost.
    world.kill(0);
    let blobs = world.blobs(1);
    fs::remove_file(blobs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()).unwrap();
    let out = world.path("out");
    for (more, written) in [(&["--verify"][..], false), (&[], true)] {
        let args = [&["--json", "--timeout", "5s", "get", "tree", "-o", text(&out)], more].concat();
        let got = world.run(&args);
        assert_eq!(got.status.code(), Some(5), "{}", stderr(&got));
        let told = stderr(&got);
        let error: Vec<&str> = told.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!(error.len(), 2, "{told}");
        assert!(told.contains("note: 1 shard found missing or wrong at 1 provider"), "{told}");
        assert!(error[0].contains("1 of 2 shards"), "{}", stderr(&got));
        let report: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
        let lost = report["lost"].as_array().unwrap();
        assert!((1..=3).contains(&lost.len()), "{report}");
        assert_eq!(report["files"].as_u64().unwrap() + lost.len() as u64, 6, "{report}");
        for index in 0..6 {
            let name = format!("tree/{index}.bin");
            let is_lost = lost.iter().any(|row| row["path"] == name.as_str());
            assert_eq!(out.join(&name).exists(), written && !is_lost);
            if written && !is_lost {
                assert!(fs::read(out.join(&name)).unwrap() == fs::read(world.path(&name)).unwrap());
            }
        }
    }
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
