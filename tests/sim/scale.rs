//! A vault of very many blobs is checked and renewed in few events.
//!
//! A tenth of the blobs unless `BLOBDVM_BLOBS` says how many: `BLOBDVM_BLOBS=100000 cargo test --release --test sim scale`.

use std::time::Duration;

use blobdvm::client::{CheckOptions, Depth, Listing, Verdict};
use blobdvm::erasure::Scheme;
use blobdvm::format::{
    Coding, ContentItem, Needs, Pack, PlacementItem, Promise, Promises, Refs, ShardName, Snapshot,
};
use blobdvm::store::{self, AtRest, Change, EventMark};
use blobdvm::types::{BlobHash, ClientId, MerkleRoot, PackId, ShardIndex, SnapshotId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::operations::Kill;
use crate::seeds;
use crate::world::{Size, World};

/// Blobs of the vault that the limit is for.
const BLOBS: usize = 100_000;
/// Events that checking it, or renewing it, may take, answers and retries included.
const EVENTS_MAX: u64 = 600;
/// Events that any run takes: finding providers and heads, and publishing a head.
const EVENTS_APART: u64 = 40;
/// Bytes of the smallest shard.
const SHARD_LEN: usize = 4_096;
/// Packs that are recorded together.
const TOGETHER: usize = 2_000;

#[test]
fn scale_a_vault_of_many_blobs_is_checked_and_renewed_in_few_events() {
    let asked = std::env::var("BLOBDVM_BLOBS").ok();
    let blobs = asked.map_or(BLOBS / 10, |text| text.parse().expect("BLOBDVM_BLOBS is a number"));
    let events_max = EVENTS_APART + (EVENTS_MAX - EVENTS_APART) * blobs as u64 / BLOBS as u64;
    let test = "scale_a_vault_of_many_blobs_is_checked_and_renewed_in_few_events";
    seeds::run_once(test, async |story| {
        let size = Size { scheme: Scheme::new(2, 3).unwrap(), provider_count: 3, relay_count: 1 };
        let mut world = World::of_size(size, 1, StdRng::seed_from_u64(1), story).await;
        world.change_folder("letters");
        sleep(Duration::from_secs(2)).await;
        world.put("a", "letters", Kill::Never).await;
        world.fill(blobs / 3);
        // The records of it all are published, as they would be by the puts that made them.
        let published = world.operate("a", Kill::Never, async |client| client.renew(None).await).await;
        published.unwrap().unwrap();
        world.clock.pass_days(40).await;

        let before = world.events();
        let options = CheckOptions { snapshot: None, depth: Depth::Ask, listing: Listing::Weak };
        let checked = world.operate("a", Kill::Never, async |client| client.check(&options).await).await;
        let checked = checked.unwrap().unwrap();
        let check_events = world.events() - before;
        assert_eq!(checked.worst(), Verdict::Healthy);
        assert!(checked.tally.shards.good >= blobs as u64 - 2, "{:?}", checked.tally.shards);

        let before = world.events();
        let renewed = world.operate("a", Kill::Never, async |client| client.renew(None).await).await;
        let renewed = renewed.unwrap().unwrap();
        let renew_events = world.events() - before;
        assert_eq!(renewed.failed, 0);
        println!(
            "{blobs} blobs: checked in {check_events} events, renewed in {renew_events} (of {events_max})"
        );
        assert!(renewed.renewed >= blobs as u64 - 2, "{} were renewed", renewed.renewed);
        assert!(check_events <= events_max, "a check takes {check_events} events of {events_max}");
        assert!(renew_events <= events_max, "a renewal takes {renew_events} events of {events_max}");
    });
}

impl World {
    /// Events that the relay took so far.
    fn events(&self) -> u64 {
        self.net.hub(0).expect("relays are hubs").counts().published
    }

    /// Adds a snapshot of `packs` packs: their shards to the stores, their records to the home.
    fn fill(&mut self, packs: usize) {
        let vault = self.vault("a");
        let ids = self.net.provider_ids();
        let clients: Vec<_> = ids
            .iter()
            .map(|id| ClientId::new(vault.access().actor().pseudonym(id).public_key().to_bytes()))
            .collect();
        let expires = self.now().saturating_add(Duration::from_secs(60 * 86_400));
        let change = Change { at: self.now(), mark: EventMark([0; 8]) };
        let snapshot = SnapshotId::new(self.rng.random());
        let mut left = packs;
        while left > 0 {
            let count = left.min(TOGETHER);
            left -= count;
            let mut items = Vec::with_capacity(count);
            let mut promises = vec![Vec::new(); ids.len()];
            let mut needed = Vec::with_capacity(count);
            for _ in 0..count {
                let id = PackId::new(self.rng.random());
                let mut shards = Vec::new();
                for (place, client) in clients.iter().enumerate() {
                    let mut blob = vec![0; SHARD_LEN];
                    self.rng.fill(&mut blob[..32]);
                    let hash = BlobHash::of(&blob);
                    let promise = store::Promise { client: *client, change, expires };
                    self.net.provider(place).store().put(hash, &blob, promise, AtRest::Plain).unwrap();
                    shards.push(ShardName { hash, root: MerkleRoot::new([0; 32]) });
                    let shard = ShardIndex(u8::try_from(place).unwrap());
                    promises[place].push(Promise { pack: id, shard, expires });
                }
                let coding = Coding { scheme: self.scheme, sealed_len: 5_000, mask: None, shards };
                items.push(PlacementItem::Pack(Pack { id, coding }));
                needed.push(id);
            }
            let promised = ids.iter().zip(promises);
            items.extend(promised.map(|(provider, promises)| {
                PlacementItem::Promises(Promises { provider: *provider, promises })
            }));
            items.push(PlacementItem::Needs(Needs { snapshot, packs: needed }));
            vault.append(&items, &[]).unwrap();
        }
        let record = Snapshot {
            id: snapshot,
            name: "many".into(),
            made_at: self.now(),
            host: String::new(),
            labels: Vec::new(),
            paths: Vec::new(),
            root: Refs::Direct(Vec::new()),
            files: 0,
            bytes: 0,
        };
        vault.append(&[], &[ContentItem::Snapshot(record)]).unwrap();
    }
}
