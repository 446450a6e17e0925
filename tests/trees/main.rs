//! Whole folders, there and back: nothing of a tree is lost, little is stored twice, and blobs tell nothing but sizes.

mod compare;
mod shape;
mod snapshots;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use blobdvm::client::{Trouble, Why};

use crate::compare::differences;
use crate::world::{World, options};

/// Trees of any shape in an ordinary run; `BLOBDVM_TREES` says otherwise.
const TREES: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn tree_of_any_shape_comes_back_as_it_was() {
    let count = std::env::var("BLOBDVM_TREES").map_or(TREES, |text| text.parse().expect("a number"));
    let first = std::env::var("BLOBDVM_SEED").map_or(1, |text| text.parse().expect("a number"));
    let mut world = World::start().await;
    for seed in first..first + count {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let nodes = shape::folder().new_tree(&mut runner).unwrap().current();
        let tree = world.folder(&format!("in-{seed}/tree"));
        shape::build(&nodes, &tree);
        let outcome = world.put(&tree, "tree").await;
        assert_eq!(outcome.troubles.count, 0, "BLOBDVM_TREES=1 BLOBDVM_SEED={seed}: {:?}", outcome.troubles);
        let out = world.get("tree").await;
        let differences = differences(&tree, &out.join("tree"));
        assert!(differences.is_empty(), "BLOBDVM_TREES=1 BLOBDVM_SEED={seed}: {differences:#?}");
    }
}

/// `BLOBDVM_TREES_AT=/usr/share:/usr/lib` makes them large ones, for root and for an ordinary user.
#[tokio::test(flavor = "multi_thread")]
async fn real_trees_come_back_after_any_one_provider_is_gone() {
    let trees = std::env::var("BLOBDVM_TREES_AT").unwrap_or_else(|_| "src:docs".to_owned());
    let trees: Vec<PathBuf> = trees.split(':').map(|path| Path::new(path).canonicalize().unwrap()).collect();
    let mut world = World::start().await;
    let outcome = world.client.put(&trees, &options("real")).await.unwrap();
    let is_withheld = |trouble: &Trouble| matches!(trouble.why, Why::Unreadable(_));
    let is_root = nix::unistd::geteuid().is_root();
    assert!(
        outcome.troubles.count == 0 || (!is_root && outcome.troubles.first.iter().all(is_withheld)),
        "{:?}",
        outcome.troubles.first
    );
    for gone in 0..3 {
        world.net.kill(gone);
        let out = world.get("real").await;
        for tree in &trees {
            let differences = differences(tree, &out.join(tree.file_name().unwrap()));
            assert!(differences.is_empty(), "without provider {gone}: {differences:#?}");
        }
        fs::remove_dir_all(out).unwrap();
        world.net.revive(gone).await;
    }
    eprintln!("{} files, {} bytes", outcome.files, outcome.bytes);
}
