//! One snapshot after the other: what is new is stored, what is not is not even read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use blobdvm::client::ClientError;
use blobdvm::format::{ContentItem, RefList};

use crate::compare::differences;
use crate::shape::noise;
use crate::world::World;

/// Makes files of these lengths, each of its own bytes.
fn fill(folder: &Path, lens: &[usize]) {
    for (index, len) in lens.iter().enumerate() {
        let below = folder.join(format!("{}", index % 7));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("file {index}")), noise(*len, (index * 1_000 + len) as u64)).unwrap();
    }
}

/// A file counts as unchanged only if it was so for a while.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(3_100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_tree_is_not_read_and_stores_little() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[20_000; 600]);
    settle().await;
    let first = world.put(&tree, "tree").await;
    assert_eq!((first.files, first.unchanged), (600, 0));
    let again = world.put(&tree, "tree").await;
    assert_eq!((again.files, again.unchanged), (600, 600));
    assert!(again.stored.bytes <= 64 * 1024, "{} bytes", again.stored.bytes);
    assert_eq!(again.packs, 0);
    let changed = tree.join("3/file 3");
    fs::write(&changed, noise(20_000, 77)).unwrap();
    fs::write(tree.join("new"), "new").unwrap();
    fs::remove_file(tree.join("4/file 4")).unwrap();
    let third = world.put(&tree, "tree").await;
    assert_eq!((third.files, third.unchanged), (600, 598));
    let out = world.get("tree").await;
    assert_eq!(differences(&tree, &out.join("tree")), Vec::<String>::new());
}

/// Whoever changes a file and puts its length and time back does not fool us: its inode says when it was changed.
#[tokio::test(flavor = "multi_thread")]
async fn file_that_changed_behind_its_times_is_read() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[5_000; 3]);
    settle().await;
    world.put(&tree, "tree").await;
    let file = tree.join("1/file 1");
    let before = fs::metadata(&file).unwrap();
    fs::write(&file, noise(5_000, 99)).unwrap();
    fs::File::open(&file).unwrap().set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&file).unwrap();
    assert_eq!(
        (before.len(), before.mtime_nsec(), before.ino()),
        (after.len(), after.mtime_nsec(), after.ino())
    );
    let outcome = world.put(&tree, "tree").await;
    assert_eq!(outcome.unchanged, 2);
    let out = world.get("tree").await;
    assert_eq!(fs::read(out.join("tree/1/file 1")).unwrap(), noise(5_000, 99));
}

/// The snapshot before may be older than the put that saw a file last; then its attributes are not those of the file.
#[tokio::test(flavor = "multi_thread")]
async fn unchanged_file_has_the_attributes_that_it_has_now() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[1_000; 3]);
    let file = tree.join("1/file 1");
    if xattr::set(&file, "user.note", b"old").is_err() {
        eprintln!("skipped: this file system has no attributes");
        return;
    }
    settle().await;
    world.put(&tree, "daily").await;
    xattr::set(&file, "user.note", b"new").unwrap();
    settle().await;
    world.put(&tree, "weekly").await;
    world.put(&tree, "daily").await;
    let out = world.get("daily").await;
    assert_eq!(differences(&tree, &out.join("tree")), Vec::<String>::new());
}

/// A copied home that has records of its own which nobody else can have must not build on them.
#[tokio::test(flavor = "multi_thread")]
async fn home_whose_records_contradict_the_published_ones_is_refused() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[1_000; 3]);
    world.put(&tree, "tree").await;
    let World { net, client } = world;
    drop(client);
    let (original, copy) = (net.home_dir("home"), net.home_dir("copy"));
    let copied = std::process::Command::new("cp").arg("-a").arg(&original).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut ahead = World { client: World::open(&net, "home").await, net };
    fill(&tree, &[2_000; 4]);
    ahead.put(&tree, "tree").await;
    let World { net, client } = ahead;
    drop(client);
    let mut left = World { client: World::open(&net, "copy").await, net };
    let key = left.client.vault.keys().unwrap().tree_tag_key();
    let list = RefList::new(Vec::new(), &key).unwrap();
    left.client.vault.append(&[], &[ContentItem::RefList(list)]).unwrap();
    let refused = left.client.put(&[tree], &crate::world::options("tree")).await.unwrap_err();
    assert!(matches!(refused, ClientError::ForkedHome { .. }), "{refused}");
}

/// What the manifest says is unchanged may be gone at the providers: then it is read and stored anew.
/// Takes the stores of these providers away, and gives each of them an empty one.
async fn wipe(world: &mut World, providers: &[usize]) {
    for provider in providers {
        world.net.kill(*provider);
        world.net.wipe(*provider).unwrap();
        world.net.revive(*provider).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_files_are_mended_where_enough_is_left_and_else_stored_anew() {
    for (wiped, is_enough_left) in [(&[0][..], true), (&[0, 1], false)] {
        let mut world = World::start().await;
        let tree = world.folder("tree");
        fill(&tree, &[30_000; 20]);
        settle().await;
        world.put(&tree, "tree").await;
        wipe(&mut world, wiped).await;
        let outcome = world.put(&tree, "tree").await;
        assert_eq!((outcome.unchanged == 20, outcome.packs == 0), (is_enough_left, is_enough_left));
        world.net.kill(2);
        let out = world.get("tree").await;
        assert_eq!(differences(&tree, &out.join("tree")), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_share_packs() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[10 * 1024; 1_000]);
    let outcome = world.put(&tree, "tree").await;
    assert!(outcome.stored.blobs <= 40, "{} blobs", outcome.stored.blobs);
    assert_eq!(world.blob_lens().len() as u64, outcome.stored.blobs, "as many as the providers keep");
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_of_blobs_tell_only_the_total() {
    let trees: [&[usize]; 3] = [
        &[100_000, 200_000, 3, 250_000, 50_000, 190_000, 207, 0],
        &[99_000, 99_000, 99_000, 99_000, 99_000, 99_000, 196_210, 0],
        &[250_000, 250_000, 250_000, 1, 9, 20_000, 20_200, 0],
    ];
    let mut lens = Vec::new();
    for tree_lens in trees {
        assert_eq!(tree_lens.iter().sum::<usize>(), 790_210);
        let mut world = World::start().await;
        let tree = world.folder(&format!("tree {}", tree_lens[0]));
        fill(&tree, tree_lens);
        world.put(&tree, "tree").await;
        lens.push(world.blob_lens());
    }
    assert_eq!(lens[0], lens[1]);
    assert_eq!(lens[0], lens[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_the_rest_goes_through() {
    let mut world = World::start().await;
    let tree = world.folder("tree");
    fill(&tree, &[100; 10]);
    fs::remove_file(tree.join("1/file 1")).unwrap();
    // A file that nobody can read as a file, whoever runs this.
    std::os::unix::fs::symlink("/proc/self/mem", tree.join("1/file 1")).unwrap();
    let outcome = world.put(&tree, "tree").await;
    assert_eq!((outcome.troubles.count, outcome.files), (0, 9), "a link is recorded as a link");
    let unreadable = "/proc/self/mem".into();
    assert!(world.client.put(&[unreadable], &crate::world::options("mem")).await.is_err());
    assert!(world.client.vault.latest_snapshot("mem").unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_comes_back_as_a_file_and_a_broken_one_is_no_snapshot() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if self.0 > 3 { Err(std::io::Error::other("broken")) } else { Ok(buffer.len()) }
        }
    }
    let mut world = World::start().await;
    let bytes = noise(3_000_000, 5);
    let options = crate::world::options("db.sql");
    let from = std::io::Cursor::new(bytes.clone());
    let outcome = world.client.put_stream("db.sql", from, &options).await.unwrap();
    assert_eq!((outcome.files, outcome.bytes), (1, 3_000_000));
    let out = world.get("db.sql").await;
    assert!(fs::read(out.join("db.sql")).unwrap() == bytes);
    assert!(world.client.put_stream("broken", Broken(0), &options).await.is_err());
    assert!(world.client.put_stream("a/b", std::io::empty(), &options).await.is_err());
    assert_eq!(world.client.vault.snapshots().unwrap().len(), 1);
}
