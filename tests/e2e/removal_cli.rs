//! `rm` and `prune` as people run them.

use std::fs;

use crate::support::{World, start, stderr, text};

#[test]
fn rm_and_prune_say_what_goes_and_when() {
    let world = World::start(3);
    let (first, second) = (world.file("a.bin", 300_000, 1), world.file("b.bin", 400_000, 2));
    let one = world.json(&["put", text(&first), "--name", "docs"]);
    world.json(&["put", text(&first), text(&second), "--name", "docs"]);
    world.json(&["put", text(&second), "--name", "other"]);

    let several = world.run(&["rm", "docs"]);
    assert_eq!(several.status.code(), Some(2), "{}", stderr(&several));
    assert!(stderr(&several).contains("2 snapshots are called"), "{}", stderr(&several));
    assert_eq!(world.run(&["rm", "nothing"]).status.code(), Some(3));

    let id = one["snapshot"].as_str().unwrap();
    let dry = world.json(&["rm", id, "--dry-run"]);
    assert_eq!((dry["packs"].as_u64(), dry["removed"].as_array().unwrap().len()), (Some(0), 1));
    assert_eq!(world.json(&["ls"]).as_array().unwrap().len(), 3, "a dry run changes nothing");
    let removed = world.json(&["rm", "docs", "--all"]);
    assert_eq!(removed["removed"].as_array().unwrap().len(), 2);
    assert_eq!((removed["packs"].as_u64(), removed["deleted_blobs"].as_u64()), (Some(1), Some(0)));
    assert!(removed["due"].as_u64().is_some());
    assert_eq!(world.json(&["ls"]).as_array().unwrap().len(), 1);
    let get = world.run(&["get", id, "-o", text(&world.path("out"))]);
    assert_eq!(get.status.code(), Some(3));
    assert!(stderr(&get).contains("was removed"), "{}", stderr(&get));

    let pruned = world.json(&["prune"]);
    assert_eq!((pruned["due_packs"].as_u64(), pruned["waiting"].as_u64()), (Some(0), Some(1)));
    let dry = world.json(&["prune", "--now", "--dry-run"]);
    assert_eq!((dry["due_packs"].as_u64(), dry["deleted_blobs"].as_u64()), (Some(1), Some(0)));
    let now = world.json(&["prune", "--now"]);
    assert_eq!((now["due_packs"].as_u64(), now["deleted_blobs"].as_u64()), (Some(1), Some(3)));
    let out = world.path("b-again.bin");
    world.json(&["get", "other", "-o", text(&out)]);
    assert_eq!(fs::read(out).unwrap(), fs::read(second).unwrap());
}

#[test]
fn deleting_at_once_is_refused_where_another_device_may_rely_on_it() {
    let world = World::start(3);
    let file = world.file("a.bin", 30_000, 1);
    world.json(&["put", text(&file)]);
    let key = world.path("home/key");
    let recovered = world.run_in("second", &["recover", "--key-file", text(&key)]);
    assert!(recovered.status.success(), "{}", stderr(&recovered));
    let more = world.file("b.bin", 10_000, 2);
    assert!(world.run_in("second", &["put", text(&more)]).status.success());
    for args in [&["rm", "a.bin", "--now"][..], &["prune", "--now"][..]] {
        let refused = world.run(args);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("2 devices"), "{}", stderr(&refused));
        assert_eq!(stderr(&refused).lines().count(), 2);
    }
    let said = world.run(&["rm", "a.bin"]);
    assert!(said.status.success(), "{}", stderr(&said));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("removed 1 snapshot") && said.contains("7 days"), "{said}");
}

#[test]
fn a_prune_reads_heads_that_relays_have_lost_at_the_providers_and_publishes_them_again() {
    let mut world = World::start(3);
    world.json(&["put", text(&world.file("a.bin", 30_000, 1))]);
    let key = world.path("home/key");
    assert!(world.run_in("second", &["recover", "--key-file", text(&key)]).status.success());
    assert!(world.run_in("second", &["put", text(&world.file("b.bin", 10_000, 2))]).status.success());
    world.json(&["prune"]);

    let store = world.path("relay-2");
    let (relay, hello) = start(&["--json", "relay", "--listen", "127.0.0.1:0", "--store", text(&store)]);
    (0..3).for_each(|index| world.kill(index));
    hello["url"].as_str().unwrap().clone_into(&mut world.relay);
    let blind = world.run(&["--timeout", "3s", "prune"]);
    assert_eq!(blind.status.code(), Some(5), "{}", stderr(&blind));
    assert!(stderr(&blind).contains("nothing was deleted"), "{}", stderr(&blind));
    (0..3).for_each(|index| world.revive(index));
    world.json(&["prune"]);
    assert!(world.run_in("third", &["recover", "--key-file", text(&key)]).status.success());
    let rows = world.run_in("third", &["--json", "ls"]);
    let rows = String::from_utf8(rows.stdout).unwrap();
    assert!(rows.contains("a.bin") && rows.contains("b.bin"), "{rows}");
    drop(relay);
}
