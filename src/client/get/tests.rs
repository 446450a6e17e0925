//! What a get does with a manifest that does not fit the stored bytes, against real providers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Destination, GetOptions};
use crate::client::{Client, ClientError, PutOptions, Unwatched};
use crate::env::Env;
use crate::erasure::Scheme;
use crate::format::{
    ContentItem, Entry, EntryKind, File, PackBuilder, PlacementItem, Refs, Segment, Snapshot, TreePage,
    segment,
};
use crate::testing::{Net, NetOptions, RelayKind};
use crate::types::{SnapshotId, Timestamp};
use crate::vault::Home;

const LEN: usize = 700_000;

async fn net() -> Net {
    Net::start(NetOptions { relay_kind: RelayKind::Memory(1), ..NetOptions::default() }).await
}

/// A client whose vault has one snapshot, of one file, and that file's bytes.
async fn stored(net: &Net) -> (Client, Vec<u8>) {
    let env = Env::system();
    let bytes: Vec<u8> = (0..LEN).map(|at| u8::try_from(at * at % 251).unwrap()).collect();
    let path = net.path().join("file");
    fs::write(&path, &bytes).unwrap();
    let vault = Home::init_fresh(&net.home_dir("a"), &env).unwrap();
    let mut client =
        Client::new(vault, net.carrier().await, Arc::new(Unwatched), Duration::from_secs(5), env);
    client.put(&[path], &PutOptions::new(Scheme::new(2, 3).unwrap())).await.unwrap();
    (client, bytes)
}

fn recorded(client: &Client) -> Entry {
    let snapshot = client.vault.resolve("file").unwrap();
    super::entries(&snapshot.root, &client.vault).unwrap().remove(0)
}

/// A snapshot of the file that says something else of it.
fn record(client: &Client, change: impl FnOnce(&mut File)) -> Snapshot {
    let mut entry = recorded(client);
    if let EntryKind::File(file) = &mut entry.kind {
        change(file);
    }
    let page = TreePage::new(vec![entry], &client.vault.keys().unwrap().tree_tag_key()).unwrap();
    let root = Refs::Direct(vec![page.tag]);
    let snapshot = Snapshot {
        id: SnapshotId::new(client.env.random_bytes()),
        name: "changed".to_owned(),
        made_at: Timestamp(1),
        host: String::new(),
        labels: Vec::new(),
        paths: Vec::new(),
        root,
        files: 1,
        bytes: LEN as u64,
    };
    let items = [ContentItem::TreePage(page), ContentItem::Snapshot(snapshot.clone())];
    client.vault.append(&[], &items).unwrap();
    snapshot
}

#[tokio::test]
async fn a_file_that_differs_from_its_record_never_appears_under_its_name() {
    let net = net().await;
    let (client, bytes) = stored(&net).await;
    let changed = record(&client, |file| file.sha256[31] ^= 1);
    let out = net.path().join("out");
    for destination in [Destination::Path(out.join("file")), Destination::Nowhere] {
        let got = client.get(&changed, &GetOptions::all_to(destination)).await;
        assert!(matches!(got, Err(ClientError::Integrity { .. })), "{got:?}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "not even a part of it is left");
    let mut written = Vec::new();
    let whole = client.cat(Path::new("file"), &changed, None, &mut written).await;
    assert!(matches!(whole, Err(ClientError::Integrity { .. })), "{whole:?}");
    assert!(written == bytes, "a stream can only be compared at its end");
    written.clear();
    let part = client.cat(Path::new("file"), &changed, Some(5..9), &mut written).await.unwrap();
    assert_eq!((part.bytes, &written[..]), (4, &bytes[5..9]));
}

#[tokio::test]
async fn a_file_whose_segments_do_not_fill_it_is_refused_before_anything_is_fetched() {
    let net = net().await;
    let (client, _) = stored(&net).await;
    let before = client.exchange.fetched_len();
    for difference in [1, u64::MAX] {
        let changed = record(&client, |file| file.len = file.len.wrapping_add(difference));
        let got = client.get(&changed, &GetOptions::all_to(Destination::Nowhere)).await;
        assert!(matches!(got, Err(ClientError::Dangling { .. })), "{got:?}");
    }
    assert_eq!(client.exchange.fetched_len(), before);
}

#[tokio::test]
async fn a_segment_that_is_lost_where_it_was_stored_last_comes_from_where_it_was_stored_before() {
    let net = net().await;
    let (client, bytes) = stored(&net).await;
    let EntryKind::File(file) = recorded(&client).kind else { panic!("it is a file") };
    let tag = super::tags(&file.content, &client.vault).unwrap()[0];
    let plain_len = client.vault.segments(&tag).unwrap()[0].plain_len;
    let mut rng = client.env.rng();
    let sealed = segment::seal(&bytes[..plain_len as usize], &mut rng);
    let mut builder = PackBuilder::new(Scheme::new(1, 2).unwrap());
    let pieces = builder.push(&sealed.bytes, &mut rng).pieces;
    // Recorded, but no provider has ever seen it.
    let pack = builder.close(&mut rng).unwrap().encode().pack;
    let newer = Segment { tag, key: sealed.key, plain_len, pieces };
    client.vault.append(&[PlacementItem::Pack(pack)], &[ContentItem::Segment(newer)]).unwrap();
    let snapshot = client.vault.resolve("file").unwrap();
    let out = net.path().join("out");
    client.get(&snapshot, &GetOptions::all_to(Destination::Path(out.clone()))).await.unwrap();
    assert!(fs::read(out).unwrap() == bytes);
}
