//! `put` with its options, as a person gives them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{World, noise, stderr, text};

#[test]
fn what_cannot_be_read_is_named_at_the_end_with_an_exit_code_of_its_own() {
    let world = World::start(3);
    // Nobody can read this as a file, not even the superuser.
    let args = ["put", "/proc/self", "--exclude", "/*", "--exclude", "!/mem", "--name", "odd"];
    let put = world.run(&args);
    assert_eq!(put.status.code(), Some(9), "{}", stderr(&put));
    assert!(stderr(&put).contains("/mem: Input/output error"), "{}", stderr(&put));
    assert!(stderr(&put).contains("1 path not as it should be"), "{}", stderr(&put));
    let put = world.run(&[&["--json"], &args[..]].concat());
    let report: serde_json::Value = serde_json::from_slice(&put.stdout).unwrap();
    assert_eq!((&report["trouble_count"], &report["files"]), (&1.into(), &0.into()));
    assert!(report["troubles"][0]["path"].as_str().unwrap().ends_with("/mem"));
    assert_eq!(world.json(&["ls"]).as_array().unwrap().len(), 2);
    let nothing = world.run(&["put", "/proc/self/mem"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", stderr(&nothing));
    assert_eq!(world.json(&["ls"]).as_array().unwrap().len(), 2, "nothing was read, so there is no snapshot");
}

#[test]
fn patterns_tags_and_host_are_as_they_were_given() {
    let world = World::start(3);
    for name in
        ["tree/keep", "tree/a.tmp", "tree/build/x", "tree/cache/CACHEDIR.TAG", "tree/cache/big", "tree/b.o"]
    {
        let path = world.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    }
    fs::write(world.path("patterns"), "# made by the compiler\n/build\n\n*.o\n").unwrap();
    let patterns = world.path("patterns");
    let mut args = vec!["put", "--exclude", "*.tmp", "--exclude-from", text(&patterns), "--exclude-caches"];
    args.extend(["--one-file-system", "--tag", "weekly", "--tag", "home", "--host", "attic"]);
    let tree = world.path("tree");
    args.push(text(&tree));
    assert_eq!(world.json(&args)["files"], 2);
    let rows = world.json(&["ls", "tree"]);
    let paths: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["tree", "tree/cache", "tree/cache/CACHEDIR.TAG", "tree/keep"]);
    let listed = world.json(&["ls", "--tag", "weekly", "--host", "attic"]);
    assert_eq!(listed[0]["tags"], serde_json::json!(["weekly", "home"]));
    assert_eq!(world.json(&["ls", "--tag", "monthly"]), serde_json::json!([]));
    let wrong = world.run(&["put", "--exclude", "a{b", text(&tree)]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("the pattern \"a{b\" is not understood"), "{}", stderr(&wrong));
}

#[test]
fn stdin_becomes_a_file() {
    let world = World::start(3);
    let bytes = noise(5_000_000, 8);
    let home = world.path("home");
    let mut put = Command::new(env!("CARGO_BIN_EXE_blobdvm"))
        .args(["--home", text(&home), "--relay", &world.relay, "put", "--stdin", "--name", "db.sql"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    put.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(put.wait().unwrap().success());
    let got = world.run(&["get", "db.sql", "-o", "-"]);
    assert!(got.status.success() && got.stdout == bytes, "{}", stderr(&got));
    for args in [&["put", "--stdin"][..], &["put"], &["put", "--stdin", "--name", "x", "path"]] {
        assert_eq!(world.run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn missing_and_repeated_paths_are_refused_before_anything_is_stored() {
    let world = World::start(3);
    fs::create_dir_all(world.path("a/same")).unwrap();
    fs::create_dir_all(world.path("b/same")).unwrap();
    let missing = world.run(&["put", text(&world.path("nothing"))]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("check that the path exists"), "{}", stderr(&missing));
    let twice = world.run(&["put", text(&world.path("a/same")), text(&world.path("b/same"))]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(stderr(&twice).contains("same name as another path"), "{}", stderr(&twice));
    assert!((0..3).all(|index| world.blobs(index).is_empty()));
}
