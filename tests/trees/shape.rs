//! Trees of any shape: names of any bytes, deep folders, links to nowhere and in a circle, holes, odd modes and times.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// What is made in a folder.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Bytes that follow from a seed.
    File {
        len: usize,
        seed: u64,
    },
    /// A file of this length with a few bytes at these places.
    Sparse {
        len: u64,
        places: Vec<u64>,
    },
    /// A file with another name, a second link, an attribute.
    Linked {
        len: usize,
    },
    Symlink(Vec<u8>),
    Fifo,
    Folder(Vec<(Vec<u8>, Node, Dress)>),
    /// Folders in each other.
    Deep(usize),
}

/// Mode and time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dress {
    mode: u32,
    seconds: u64,
    nanos: u32,
}

/// A folder of anything.
pub(crate) fn folder() -> impl Strategy<Value = Vec<(Vec<u8>, Node, Dress)>> {
    let leaf = prop_oneof![
        4 => (0_usize..3_000, any::<u64>()).prop_map(|(len, seed)| Node::File { len, seed }),
        1 => (0_usize..600_000, any::<u64>()).prop_map(|(len, seed)| Node::File { len, seed }),
        1 => (0_u64..40_000_000, proptest::collection::vec(0_u64..40_000_000, 0..4))
            .prop_map(|(len, places)| Node::Sparse { len, places }),
        1 => (0_usize..100).prop_map(|len| Node::Linked { len }),
        1 => prop_oneof![Just(b"..".to_vec()), Just(b"loop".to_vec()), Just(b"/nowhere/at all".to_vec()), name()]
            .prop_map(Node::Symlink),
        1 => Just(Node::Fifo),
        1 => (0_usize..200).prop_map(Node::Deep),
    ];
    let node = leaf.prop_recursive(4, 24, 6, |node| {
        proptest::collection::vec((name(), node, dress()), 0..6).prop_map(Node::Folder)
    });
    proptest::collection::vec((name(), node, dress()), 0..8)
}

/// Any bytes that are a name.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z .~\\n*?\\[\\]-]{1,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 1..40),
        Just(b"loop".to_vec()),
        Just(vec![b'x'; 255]),
    ]
    .prop_map(|mut name| {
        for byte in &mut name {
            if matches!(*byte, b'/' | 0) {
                *byte = b'_';
            }
        }
        if name == b"." || name == b".." { b"dots".to_vec() } else { name }
    })
}

fn dress() -> impl Strategy<Value = Dress> {
    let mode = prop_oneof![Just(0o644), Just(0o755), Just(0o000), Just(0o500), 0_u32..=0o777];
    (mode, 0_u64..4_000_000_000, 0_u32..1_000_000_000).prop_map(|(mode, seconds, nanos)| Dress {
        mode,
        seconds,
        nanos,
    })
}

/// Makes everything below `at`. Of two with one name the first one counts.
pub(crate) fn build(nodes: &[(Vec<u8>, Node, Dress)], at: &Path) {
    for (name, node, dress) in nodes {
        let path = at.join(OsStr::from_bytes(name));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        make(node, &path);
        if matches!(node, Node::Symlink(_)) {
            continue;
        }
        let modified = SystemTime::UNIX_EPOCH + Duration::new(dress.seconds, dress.nanos);
        if !matches!(node, Node::Fifo) {
            let file = File::open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        }
        // An ordinary user cannot read what is closed to everybody.
        let readable = if path.is_dir() { 0o500 } else { 0o400 };
        let mode = if nix::unistd::geteuid().is_root() { dress.mode } else { dress.mode | readable };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
}

fn make(node: &Node, path: &Path) {
    match node {
        Node::File { len, seed } => fs::write(path, noise(*len, *seed)).unwrap(),
        Node::Sparse { len, places } => {
            let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
            file.set_len(*len).unwrap();
            for place in places.iter().filter(|place| *place < len) {
                file.write_all_at(b"!", *place).unwrap();
            }
        }
        Node::Linked { len } => {
            fs::write(path, noise(*len, 1)).unwrap();
            let mut other = path.as_os_str().to_owned();
            other.push("2");
            // The name may be too long for that, or be there already.
            let _ = fs::hard_link(path, PathBuf::from(other));
            // Some file systems have none.
            let _ = xattr::set(path, "user.note", b"\0any bytes\xff");
        }
        Node::Symlink(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
        Node::Fifo => nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap(),
        Node::Folder(nodes) => {
            fs::create_dir(path).unwrap();
            build(nodes, path);
        }
        Node::Deep(depth) => {
            let deepest = (0..*depth).fold(path.to_owned(), |path, _| path.join("d"));
            if deepest.as_os_str().len() < 3_000 {
                fs::create_dir_all(&deepest).unwrap();
                fs::write(deepest.join("bottom"), "here").unwrap();
            } else {
                fs::create_dir_all(path).unwrap();
            }
        }
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
