//! A folder comes back from the providers' disks and the key alone, by a program in another language.

use std::path::Path;
use std::process::{Command, Output};

use crate::restore::{assert_same, awkward_tree};
use crate::support::{World, noise, stderr, text};

const DECODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/decode.py");

/// What the decoder of docs/format.md did; `None` where there is no Python 3.8.
pub(crate) fn decode(key: &str, dest: &Path, stores: &[&Path]) -> Option<Output> {
    let is_new_enough = "import sys; sys.exit(sys.version_info < (3, 8))";
    let version = Command::new("python3").args(["-c", is_new_enough]).status().ok()?;
    if !version.success() {
        return None;
    }
    let stores = stores.iter().map(|store| text(store));
    Some(Command::new("python3").args([DECODER, key, text(dest)]).args(stores).output().unwrap())
}

#[test]
fn a_folder_comes_back_from_the_stores_and_the_key_by_the_document_alone() {
    let mut world = World::start(3);
    let tree = world.path("tree");
    awkward_tree(&tree);
    let lines: Vec<String> = (0..20_000).map(|line| format!("line {line} of {}\n", line * line)).collect();
    std::fs::write(tree.join("text"), lines.concat()).unwrap();
    std::fs::write(tree.join("large"), noise(3_500_000, 9)).unwrap();
    world.json(&["put", text(&world.file("older", 1_000, 1))]);
    world.json(&["put", text(&tree)]);
    (0..3).for_each(|index| world.kill(index));
    let key = world.path("home/key");
    for missing in 0..3 {
        let stores = world.providers.iter().enumerate().filter(|(index, _)| *index != missing);
        let stores: Vec<&Path> = stores.map(|(_, provider)| provider.store.as_path()).collect();
        let out = world.path(&format!("out-{missing}"));
        let Some(decoded) = decode(text(&key), &out, &stores) else {
            println!("skipped: needs Python 3.8");
            return;
        };
        assert!(decoded.status.success(), "{}", stderr(&decoded));
        assert_same(&tree, &out.join("tree"));
    }
    // Two of three gone are too many, and what is half there is not shown as whole.
    let out = world.path("too few");
    let decoded = decode(text(&key), &out, &[&world.providers[0].store]).unwrap();
    assert!(!decoded.status.success());
    assert!(!out.join("tree/large").exists());
}
