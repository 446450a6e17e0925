//! What `ls` shows, whatever names are.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{World, stderr, text};

#[test]
fn ls_shows_a_part_of_a_snapshot_in_full() {
    let world = World::start(3);
    let tree = world.path("tree");
    world.file("tree/folder/file", 2_048, 1);
    fs::write(tree.join(OsStr::from_bytes(b"bad \xff\x1b[31m")), b"x").unwrap();
    symlink("folder/file", tree.join("link")).unwrap();
    fs::set_permissions(tree.join("folder"), Permissions::from_mode(0o2750)).unwrap();
    world.json(&["put", text(&tree)]);

    let rows = world.json(&["ls", "tree", "tree/folder"]);
    let paths: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["tree/folder", "tree/folder/file"]);
    assert_eq!(world.json(&["ls", "latest", "tree/folder/file"])[0]["bytes"], 2_048);
    let all = world.json(&["ls", "tree"]);
    let bad = all.as_array().unwrap().iter().find(|row| row["path_base64"].is_string()).unwrap();
    assert_eq!(
        (&bad["path"], &bad["path_base64"]),
        (&"tree/bad \u{fffd}\u{1b}[31m".into(), &"dHJlZS9iYWQg/xtbMzFt".into())
    );

    let long = world.run(&["ls", "tree", "--long"]);
    let long = String::from_utf8(long.stdout).unwrap();
    let line =
        |ending: &str| long.lines().find(|line| line.ends_with(ending)).unwrap_or_else(|| panic!("{long}"));
    assert!(line("  tree/folder").starts_with("drwxr-s---  "), "{long}");
    assert!(line("  tree/link -> folder/file").starts_with('l'), "{long}");
    assert!(line("  tree/folder/file").contains("  2.0 KiB  20"), "{long}");
    assert!(line(r"  tree/bad \xff\u{1b}[31m").starts_with("-rw"), "{long}");
    assert_eq!(world.run(&["ls", "tree", "tree/none"]).status.code(), Some(3));
}

#[test]
fn snapshots_are_filtered_by_tag_and_host() {
    let world = World::start(3);
    let file = world.file("a.bin", 10, 1);
    let put = |name: &str, more: &[&str]| {
        let put = world.run(&[&["put", text(&file), "--name", name], more].concat());
        assert!(put.status.success(), "{}", stderr(&put));
    };
    put("first", &["--tag", "photos", "--tag", "2026", "--host", "desk"]);
    put("second", &["--tag", "photos", "--host", "lap"]);
    put("third", &[]);
    let names = |args: &[&str]| {
        let rows = world.json(&[&["ls"], args].concat());
        let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["first", "second", "third"]);
    assert_eq!(names(&["--tag", "photos"]), ["first", "second"]);
    assert_eq!(names(&["--tag", "photos", "--tag", "2026"]), ["first"]);
    assert_eq!(names(&["--host", "lap"]), ["second"]);
    assert_eq!(names(&["--tag", "none"]), Vec::<String>::new());
    let shown = String::from_utf8(world.run(&["ls"]).stdout).unwrap();
    assert!(shown.lines().next().unwrap().ends_with("first  on desk  [photos, 2026]"), "{shown}");
}
