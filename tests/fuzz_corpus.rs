//! Replays on stable what fuzzing found worth keeping.

use std::fs;
use std::path::Path;

use blobdvm::format::fuzz::TARGETS;

fn fuzz_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

#[test]
fn every_corpus_file_keeps_the_laws_of_its_target() {
    for (name, target) in TARGETS {
        let corpus = fs::read_dir(fuzz_dir().join("corpus").join(name)).expect("every target has a corpus");
        let mut replayed = 0;
        for file in corpus {
            target(&fs::read(file.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_target_is_one_of_the_fuzz_package() {
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(fuzz_dir().join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
    }
}
