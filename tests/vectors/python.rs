//! The same vault, restored by a decoder in another language that was written from docs/format.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use blobdvm::types::BlobHash;
use serde_json::Value;

use super::text;

const DECODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/decode.py");

/// None where there is no Python 3.8.
fn python() -> Option<Command> {
    let is_new_enough = "import sys; sys.exit(sys.version_info < (3, 8))";
    let found = Command::new("python3").args(["-c", is_new_enough]).status().ok()?;
    found.success().then(|| Command::new("python3"))
}

pub(crate) fn check(vector: &Value) {
    if python().is_none() {
        println!("skipped: needs Python 3.8");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<_> = vector["stores"].as_object().unwrap().iter().collect();
    for (provider, blobs) in &stores {
        let store = folder.path().join(provider);
        fs::create_dir(&store).unwrap();
        for blob in blobs.as_array().unwrap() {
            let blob = hex::decode(blob.as_str().unwrap()).unwrap();
            fs::write(store.join(BlobHash::of(&blob).to_string()), blob).unwrap();
        }
    }
    for (gone, _) in &stores {
        let left = stores.iter().filter(|(provider, _)| provider != gone);
        let left = left.map(|(provider, _)| folder.path().join(provider));
        let dest = folder.path().join(format!("without {gone}"));
        let mut decoder = python().expect("it was there before");
        decoder.arg(DECODER).arg(text(vector, "secret")).arg(&dest).args(left);
        let output = decoder.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_restored(&dest, vector);
    }
}

fn assert_restored(dest: &Path, vector: &Value) {
    for (name, bytes) in vector["files"].as_object().unwrap() {
        assert_eq!(hex::encode(fs::read(dest.join(name)).unwrap()), bytes.as_str().unwrap(), "{name}");
    }
}
