//! A restored tree is the one that was put: content and everything beside it, and nothing outside the destination.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{geteuid, mkfifo};

use crate::support::{World, noise, stderr, text};

/// The user that ordinary users' restores run as.
const NOBODY: u32 = 65_534;

/// What there is to know of one entry of a tree.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    /// 0 for folders, whose number of links tells how many folders are in them on some systems only.
    links: u64,
    device: u64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    content: Vec<u8>,
}

#[test]
fn everything_that_is_recorded_comes_back() {
    let world = World::start(3);
    let tree = world.path("tree");
    awkward_tree(&tree);
    let socket = UnixListener::bind(tree.join("socket")).unwrap();
    let put = world.run(&["put", text(&tree)]);
    assert!(put.status.success(), "{}", stderr(&put));
    drop(socket);
    fs::remove_file(tree.join("socket")).unwrap();
    set_time(&tree, 1_500_000_000, 1);
    let put_again = world.run(&["put", text(&tree), "--name", "without the socket"]);
    assert!(put_again.status.success(), "{}", stderr(&put_again));

    let got = world.json(&["get", "without the socket", "-o", text(&world.path("out"))]);
    assert_eq!(got["not_restored"].as_array().unwrap().len(), 0, "{got}");
    assert_same(&tree, &world.path("out/tree"));
    // A name that is gone is linked to those that are there.
    fs::remove_file(world.path("out/tree/second name")).unwrap();
    set_time(&world.path("out/tree"), 1, 1);
    let relinked = world.json(&["get", "without the socket", "-o", text(&world.path("out"))]);
    assert_eq!(relinked["files"], 1, "{relinked}");
    assert_same(&tree, &world.path("out/tree"));
    let sparse = fs::metadata(world.path("out/tree/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < sparse.len() / 4, "{} blocks of {} bytes", sparse.blocks(), sparse.len());

    let with_socket = world.json(&["get", "tree", "-o", text(&world.path("other"))]);
    assert_eq!(with_socket["not_restored"][0]["what"], "socket", "{with_socket}");
    assert_eq!(with_socket["not_restored"][0]["example"], "tree/socket");
}

#[test]
fn what_an_ordinary_user_may_not_restore_is_said_once_and_is_no_error() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let world = World::start(3);
    let tree = world.path("tree");
    awkward_tree(&tree);
    world.json(&["put", text(&tree)]);
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(world.dir.path(), Permissions::from_mode(0o755)).unwrap();
    chown_all(&world.path("home"));
    chown_all(&out);
    let get = |more: &[&str]| {
        let id = NOBODY.to_string();
        Command::new("setpriv")
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", env!("CARGO_BIN_EXE_blobdvm"), "--json"])
            .args([
                "--home",
                text(&world.path("home")),
                "--relay",
                &world.relay,
                "get",
                "tree",
                "-o",
                text(&out),
            ])
            .args(more)
            .output()
            .unwrap()
    };
    let Ok(first) = Command::new("setpriv").arg("--version").output().map(|_| get(&[])) else { return };
    assert!(first.status.success(), "{}", stderr(&first));
    let got: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    let missing = got["not_restored"].as_array().unwrap();
    let owner = missing.iter().find(|one| one["what"] == "owner").unwrap();
    assert!(owner["count"].as_u64().unwrap() > 5, "{got}");
    let is_device = |one: &&serde_json::Value| one["what"] == "device";
    assert_eq!(missing.iter().filter(is_device).count() == 1, tree.join("null").exists(), "{got}");
    let setuid = fs::metadata(out.join("tree/setuid")).unwrap();
    assert_eq!(setuid.mode() & 0o7777, 0o755, "a program must not run as whoever restored it");
    for name in ["closed/inner/file", "plain", "name with space"] {
        assert_eq!(fs::read(out.join("tree").join(name)).unwrap(), fs::read(tree.join(name)).unwrap());
    }
    assert_eq!(fs::metadata(out.join("tree/closed")).unwrap().mode() & 0o7777, 0o500);
    // Once more into folders that have no write permission any more.
    let again = get(&["--overwrite", "always"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(fs::metadata(out.join("tree/closed")).unwrap().mode() & 0o7777, 0o500);
}

#[test]
fn a_link_in_the_destination_leads_nothing_out_of_it() {
    let world = World::start(3);
    world.file("tree/folder/inner/file", 1_000, 1);
    world.json(&["put", text(&world.path("tree"))]);
    let outside = world.path("outside");
    fs::create_dir_all(outside.join("inner")).unwrap();
    for (when, replaced) in [("never", false), ("if-changed", true), ("always", true)] {
        for paths in [&[][..], &["tree/folder/inner/file", "tree/folder/inn*"][..]] {
            let out = world.path(&format!("out-{when}-{}", paths.len()));
            fs::create_dir_all(out.join("tree")).unwrap();
            symlink(&outside, out.join("tree/folder")).unwrap();
            let mut args = vec!["get", "tree"];
            args.extend(paths);
            args.extend(["-o", text(&out), "--overwrite", when]);
            let got = world.json(&args);
            assert_eq!(got["files"], u64::from(replaced), "{got}");
            assert_eq!(got["kept"], u64::from(!replaced), "{got}");
            assert_eq!(out.join("tree/folder").symlink_metadata().unwrap().is_symlink(), !replaced);
            assert_eq!(out.join("tree/folder/inner/file").exists(), replaced);
            assert_eq!(crate::support::files(&outside), Vec::<PathBuf>::new(), "{when}");
        }
    }
}

#[test]
fn folders_two_hundred_deep_come_back() {
    let world = World::start(3);
    let mut deep = world.path("tree");
    for level in 0..200 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"here").unwrap();
    world.json(&["put", text(&world.path("tree"))]);
    world.json(&["get", "tree", "-o", text(&world.path("out"))]);
    assert_same(&world.path("tree"), &world.path("out/tree"));
    let far = format!("{}/{}", text(&world.path("out")), "x".repeat(250) + "/");
    let too_long = world.run(&["get", "tree", "-o", &far.replace("x/", &"x/y".repeat(1_200))]);
    assert_eq!(too_long.status.code(), Some(2), "{}", stderr(&too_long));
    assert!(stderr(&too_long).contains("longer than"), "{}", stderr(&too_long));
}

/// A tree with what trees can have that an ordinary user can make; with other owners, where root makes it.
pub(crate) fn awkward_tree(tree: &Path) {
    fs::create_dir_all(tree.join("closed/inner")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::write(tree.join("closed/inner/file"), b"closed").unwrap();
    fs::write(tree.join("plain"), noise(100_000, 1)).unwrap();
    fs::write(tree.join("nothing"), b"").unwrap();
    fs::write(tree.join("name with space"), b"space").unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"not \xff utf-8\nsecond line")), b"bytes").unwrap();
    fs::write(tree.join("setuid"), b"#!/bin/sh\n").unwrap();
    let mut sparse = vec![0; 12_000_000];
    sparse[5_000_000..5_100_000].copy_from_slice(&noise(100_000, 2));
    make_sparse(&tree.join("sparse"), &sparse);
    make_sparse(&tree.join("only a hole"), &vec![0; 1_000_000]);
    fs::write(tree.join("first name"), noise(10_000, 3)).unwrap();
    fs::hard_link(tree.join("first name"), tree.join("second name")).unwrap();
    fs::hard_link(tree.join("first name"), tree.join("empty/../closed/third name")).unwrap();
    mkfifo(&tree.join("pipe"), Mode::from_bits_truncate(0o620)).unwrap();
    symlink("plain", tree.join("link")).unwrap();
    symlink("nowhere/at all", tree.join("dangling")).unwrap();
    symlink("loop", tree.join("loop")).unwrap();
    symlink("..", tree.join("empty up")).unwrap();
    for name in ["plain", "empty", "setuid"] {
        let _unsupported_here = xattr::set(tree.join(name), "user.colour", b"gr\xfcn\0");
    }
    // Some systems refuse it even to root.
    let _refused = mknod(&tree.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3));
    if geteuid().is_root() {
        lchown(tree.join("link"), Some(12_345), Some(54_321)).unwrap();
        for name in ["setuid", "first name", "empty", "pipe"] {
            chown(tree.join(name), Some(12_345), Some(54_321)).unwrap();
        }
    }
    for (name, mode) in [("setuid", 0o4755), ("nothing", 0o000), ("empty", 0o1777), ("closed", 0o500)] {
        fs::set_permissions(tree.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for (seconds, name) in
        (0..).zip(["plain", "link", "loop", "pipe", "empty", "closed", "first name", "sparse"])
    {
        set_time(&tree.join(name), 1_000_000_000 + seconds, 123_456_789);
    }
    set_time(&tree.join("nothing"), -86_400, 999_999_999);
    set_time(tree, 1_500_000_000, 1);
}

/// Writes what is not zero, in blocks.
fn make_sparse(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (index, block) in bytes.chunks(4_096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, index as u64 * 4_096).unwrap();
        }
    }
}

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = TimeSpec::new(seconds, nanos);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

fn chown_all(folder: &Path) {
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { chown_all(&path) } else { chown(path, Some(NOBODY), Some(NOBODY)).unwrap() }
    }
}

pub(crate) fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (look(left), look(right));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, known) in &left {
        assert!(known == &right[path], "{}: {:?}", path.display(), differences(known, &right[path]));
    }
}

fn differences(left: &Known, right: &Known) -> String {
    let brief = |known: &Known| {
        let (len, xattrs) = (known.content.len(), &known.xattrs);
        format!("{:o} {:?} {:?} {} {xattrs:?} {len} bytes", known.mode, known.owner, known.mtime, known.links)
    };
    format!("{} / {}", brief(left), brief(right))
}

/// Everything in a tree, by relative path.
fn look(root: &Path) -> BTreeMap<PathBuf, Known> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            path.read_link().unwrap().as_os_str().as_bytes().to_vec()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let names = xattr::list(&path).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let value = |name: &OsStr| xattr::get(&path, name).ok().flatten().unwrap_or_default();
        let known = Known {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            links: if metadata.is_dir() { 0 } else { metadata.nlink() },
            device: metadata.rdev(),
            xattrs: names.iter().map(|name| (name.as_bytes().to_vec(), value(name))).collect(),
            content,
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), known);
    }
    found
}
