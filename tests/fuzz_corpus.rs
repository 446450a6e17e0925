//! Replays on stable what fuzzing found worth keeping.

use std::fs;
use std::path::{Path, PathBuf};

use blobdvm::{format, relay, session, store, transport, vault, wire};
use tokio::time::Instant;

type Target = fn(&[u8]);
type AnyTarget = Box<dyn Fn(&[u8])>;

fn fuzz_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

fn targets() -> Vec<(&'static str, AnyTarget)> {
    let plain: [&[(&str, Target)]; 6] = [
        &format::fuzz::TARGETS,
        &relay::fuzz::TARGETS,
        &store::fuzz::TARGETS,
        &transport::fuzz::TARGETS,
        &vault::fuzz::TARGETS,
        &wire::fuzz::TARGETS,
    ];
    let mut targets: Vec<(&str, AnyTarget)> = Vec::new();
    for (name, target) in plain.into_iter().flatten() {
        targets.push((name, Box::new(target)));
    }
    for (name, target) in session::fuzz::TARGETS {
        targets.push((name, Box::new(move |bytes| target(bytes, Instant::now().into_std()))));
    }
    targets
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(fuzz_dir().join("corpus").join(name)).expect("every target has a corpus");
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn every_corpus_file_keeps_the_laws_of_its_target() {
    for (name, target) in targets() {
        let files = corpus(name);
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            target(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_target_is_one_of_the_fuzz_package() {
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for (name, _) in targets() {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(fuzz_dir().join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
    }
}
