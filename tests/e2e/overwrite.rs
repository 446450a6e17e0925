//! Restoring over what is there, a part of what is there, or nothing at all; and what is said where that cannot be.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{World, files, stderr, text};

#[test]
fn each_overwrite_policy_does_what_it_says() {
    let world = World::start(3);
    let same = world.file("tree/same", 5_000, 1);
    world.file("tree/changed", 5_000, 2);
    world.file("tree/gone", 5_000, 3);
    world.json(&["put", text(&world.path("tree"))]);
    for (when, [restored, unchanged, kept]) in
        [("never", [1, 0, 2]), ("if-changed", [2, 1, 0]), ("always", [3, 0, 0])]
    {
        let out = world.path(&format!("out-{when}"));
        world.json(&["get", "tree", "-o", text(&out)]);
        let inode = |name: &str| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(out.join("tree").join(name)).unwrap().ino()
        };
        fs::write(out.join("tree/changed"), vec![7; 5_000]).unwrap();
        fs::remove_file(out.join("tree/gone")).unwrap();
        let before = inode("same");
        let would = world.json(&["get", "tree", "-o", text(&out), "--overwrite", when, "--dry-run"]);
        let got = world.json(&["get", "tree", "-o", text(&out), "--overwrite", when]);
        for report in [&would, &got] {
            let counts = ["files", "unchanged", "kept"].map(|field| report[field].as_u64().unwrap());
            assert_eq!(counts, [restored, unchanged, kept], "{when}: {report}");
        }
        assert_eq!(would["would"].as_array().unwrap().len() as u64, restored);
        assert_eq!(inode("same") == before, when != "always");
        let changed = fs::read(out.join("tree/changed")).unwrap();
        assert_eq!(changed == fs::read(world.path("tree/changed")).unwrap(), when != "never");
        assert_eq!(fs::read(out.join("tree/same")).unwrap(), fs::read(&same).unwrap());
        assert!(out.join("tree/gone").exists());
    }
}

#[test]
fn verify_reads_everything_and_dry_run_nothing_and_neither_writes() {
    let mut world = World::start(3);
    world.file("tree/a", 3_000_000, 1);
    world.file("tree/folder/b", 10_000, 2);
    world.json(&["put", text(&world.path("tree"))]);
    let out = world.path("out");
    let verified = world.json(&["get", "latest", "--verify", "-o", text(&out)]);
    assert_eq!((&verified["files"], &verified["bytes"]), (&2.into(), &3_010_000.into()));
    assert!(!out.exists());
    for lost in 0..3 {
        world.kill(lost);
    }
    let would = world.json(&["get", "tree", "--dry-run", "-o", text(&out)]);
    assert_eq!((&would["files"], &would["dry_run"]), (&2.into(), &true.into()));
    assert!(!out.exists());
    let verified = world.run(&["--timeout", "3s", "get", "tree", "--verify"]);
    assert_eq!(verified.status.code(), Some(5), "{}", stderr(&verified));
}

#[test]
fn paths_and_patterns_select_parts_that_keep_their_place() {
    let world = World::start(3);
    for name in ["a/x.jpg", "a/y.txt", "a/b/z.jpg", "a/[x].jpg", "c/x.jpg"] {
        world.file(&format!("tree/{name}"), 100, 1);
    }
    world.json(&["put", text(&world.path("tree"))]);
    for (index, (patterns, names)) in [
        (&["tree/a/*.jpg"][..], &["a/[x].jpg", "a/x.jpg"][..]),
        (&["tree/a/[x].jpg", "tree/c"], &["a/[x].jpg", "c/x.jpg"]),
        (&["**/?.jpg"], &["a/b/z.jpg", "a/x.jpg", "c/x.jpg"]),
        (&["tree/a/b", "tree/*/b", "tree/a/b/z.jpg"], &["a/b/z.jpg"]),
    ]
    .into_iter()
    .enumerate()
    {
        let out = world.path(&format!("out-{index}"));
        let args = [&["get", "tree"], patterns, &["-o", text(&out)]].concat();
        world.json(&args);
        let wanted: Vec<PathBuf> = names.iter().map(|name| out.join("tree").join(name)).collect();
        assert_eq!(files(&out), wanted, "{patterns:?}");
    }
    for (path, hint) in
        [("tree/a/X.JPG", "'tree/a/x.jpg'"), ("z.jgp", "'tree/a/b/z.jpg'"), ("no*", "blobdvm ls")]
    {
        let missing = world.run(&["get", "tree", path]);
        assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
        assert_eq!(stderr(&missing).lines().count(), 2, "{}", stderr(&missing));
        assert!(stderr(&missing).contains(hint), "{}", stderr(&missing));
    }
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let world = World::start(3);
    world.file("tree/large", 3_000_000, 1);
    world.file("tree/folder/inner", 10, 2);
    world.json(&["put", text(&world.path("tree"))]);
    let file = world.file("a file", 10, 3);
    let blocked = world.path("blocked");
    fs::create_dir_all(blocked.join("tree/large/full")).unwrap();
    for (out, code) in [(&file, 2), (&file.join("below"), 1), (&blocked, 2)] {
        let got = world.run(&["get", "tree", "-o", text(out)]);
        assert_eq!(got.status.code(), Some(code), "{}", stderr(&got));
        assert_eq!(stderr(&got).lines().count(), 2, "{}", stderr(&got));
    }
    assert_eq!(files(&blocked), Vec::<PathBuf>::new());
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none", text(&small)]).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!("skipped: a full disk, because no file system may be mounted here");
        return;
    }
    let full = world.run(&["get", "tree", "-o", text(&small)]);
    let left = files(&small);
    Command::new("umount").arg(&small).output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{}", stderr(&full));
    assert!(stderr(&full).contains("free some space"), "{}", stderr(&full));
    assert!(left.iter().all(|path| path.ends_with("tree/folder/inner")), "{left:?}");
}
