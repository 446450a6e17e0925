//! What the holder of a verify capability can see and do, against real providers.

mod secrecy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::client::exchange::StoreOptions;
use crate::client::roster::Roster;
use crate::client::{CaughtUp, Client, ClientError, PruneOptions, PutOptions, RemoveOptions, Unwatched};
use crate::crypt::DeviceClass;
use crate::env::{Env, ManualClock};
use crate::erasure::Scheme;
use crate::format::{Capability, PlacementItem, Promise, Promises};
use crate::testing::{Net, NetOptions, RelayKind};
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex, Timestamp};
use crate::vault::{Home, VaultError};

const FILE_NAME: &str = "planted-name-of-a-file";
const CONTENT: &[u8] = b"planted content, which is long enough to be found where it is not sealed";
const LABEL: &str = "planted-label-of-a-snapshot";
const HOST: &str = "planted-name-of-a-host";

struct Scene {
    net: Net,
    clock: Arc<ManualClock>,
    env: Env,
}

impl Scene {
    /// Four providers, of which three keep what the vault of the home `a` has put.
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let env = Env::seeded(1, clock.clone());
        let relay_kind = RelayKind::Memory(1);
        let options = NetOptions { relay_kind, provider_count: 4, env: env.clone(), ..NetOptions::default() };
        let scene = Self { net: Net::start(options).await, clock, env };
        scene.put("a", FILE_NAME, CONTENT).await;
        scene
    }

    async fn put(&self, home: &str, name: &str, content: &[u8]) {
        let path = self.net.path().join(name);
        fs::write(&path, content).unwrap();
        let mut options = PutOptions::new(Scheme::new(2, 3).unwrap());
        options.tags.push(LABEL.to_owned());
        HOST.clone_into(&mut options.host);
        self.full(home).await.put(&[path], &options).await.unwrap();
    }

    async fn client(&self, vault: crate::vault::Vault) -> Client {
        let patience = Duration::from_secs(5);
        Client::new(vault, self.net.carrier().await, Arc::new(Unwatched), patience, self.env.clone())
    }

    async fn full(&self, home: &str) -> Client {
        let home = self.net.home_dir(home);
        let vault = Home::open(&home, &self.env).or_else(|_| Home::init_fresh(&home, &self.env)).unwrap();
        self.client(vault).await
    }

    /// A second home of the vault in `a`.
    async fn recover(&self, home: &str) {
        let secret =
            crate::crypt::VaultSecret::new(*self.full("a").await.vault.keys().unwrap().secret().expose());
        let vault = Home::init(&self.net.home_dir(home), secret, &self.env).unwrap();
        self.client(vault).await.recover(&BTreeSet::new()).await.unwrap();
    }

    async fn export(&self) -> Capability {
        self.full("a").await.export_capability("a shelf").await.unwrap()
    }

    fn verify_home(&self, capability: &Capability) -> PathBuf {
        Home::at(self.net.home_dir("verify")).of_capability(capability)
    }

    async fn verify(&self, capability: &Capability) -> Client {
        let home = self.verify_home(capability);
        self.client(Home::open_capability(&home, capability, &self.env).unwrap()).await
    }
}

fn packs(client: &Client) -> Vec<PackId> {
    client.vault.packs_after(None, 1_000).unwrap()
}

/// Shards of all packs, with who promised them.
fn shards(client: &Client) -> BTreeMap<BlobHash, ProviderId> {
    let mut shards = BTreeMap::new();
    for pack in packs(client) {
        let entry = client.vault.pack(&pack).unwrap().unwrap();
        for (shard, provider, _) in entry.promises {
            shards.insert(entry.pack.coding.shards[shard.as_usize()].hash, provider);
        }
    }
    shards
}

#[tokio::test]
async fn what_needs_contents_is_refused_in_the_home_of_a_capability() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    let mut verify = scene.verify(&capability).await;
    let caught = verify.catch_up().await.unwrap();
    let path = scene.net.path().join(FILE_NAME);
    let sealed = |error: Option<ClientError>| {
        assert!(matches!(error, Some(ClientError::Vault(VaultError::ContentsSealed))), "{error:?}");
    };
    sealed(verify.put(&[path], &PutOptions::new(Scheme::new(2, 3).unwrap())).await.err());
    sealed(verify.prune(&PruneOptions::default()).await.err());
    sealed(verify.recover(&BTreeSet::new()).await.err());
    sealed(verify.export_capability("another").await.err());
    sealed(verify.revoke_device(capability.device).await.err());
    let snapshots = verify.vault.snapshots_with_needs().unwrap();
    sealed(verify.remove(&snapshots, RemoveOptions { now: false, dry_run: false }, &caught).await.err());
    assert!(verify.vault.chain_position().is_none(), "nothing was recorded");
}

#[tokio::test]
async fn a_capability_deletes_none_of_the_vaults_claims() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    let mut verify = scene.verify(&capability).await;
    verify.catch_up().await.unwrap();
    let roster = Roster::discover(&verify, usize::MAX).await.unwrap();
    assert_eq!(roster.members.len(), 4);
    let shards = shards(&verify);
    assert_eq!(shards.len(), 3);
    for (hash, provider) in &shards {
        let there = verify.exchange.stat(*provider, &[*hash]).await.unwrap();
        assert!(there[0].is_some(), "it can see that the blob is there");
        assert_eq!(verify.exchange.delete(*provider, &[*hash]).await.unwrap(), [false]);
        // With a claim of its own it can drop that one, and the vault's stays.
        assert!(verify.exchange.renew(*provider, &[*hash], None).await.unwrap()[0].is_some());
        assert_eq!(verify.exchange.delete(*provider, &[*hash]).await.unwrap(), [true]);
    }
    let full = scene.full("a").await;
    Roster::discover(&full, usize::MAX).await.unwrap();
    for (hash, provider) in &shards {
        assert!(full.exchange.fetch(*provider, *hash, None).await.is_ok());
        assert_eq!(full.exchange.delete(*provider, &[*hash]).await.unwrap(), [true], "its claim was there");
    }
}

/// Stores a shard at the provider that has none, as a repair would, and publishes where it is.
async fn repair_elsewhere(verify: &mut Client, caught: &CaughtUp) -> (PackId, ShardIndex, ProviderId) {
    let crew = verify.crew(1, caught).await.unwrap();
    let (pack, shard) = (packs(verify)[0], ShardIndex(1));
    let entry = verify.vault.pack(&pack).unwrap().unwrap();
    let taken: BTreeSet<_> = entry.promises.iter().map(|(_, provider, _)| *provider).collect();
    let (_, holder, _) = entry.promises.iter().find(|promise| promise.0 == shard).unwrap();
    let hash = entry.pack.coding.shards[1].hash;
    let blob: Bytes = verify.exchange.fetch(*holder, hash, None).await.unwrap();
    let members = &crew.roster.members;
    let free = members.keys().find(|provider| !taken.contains(provider)).or(members.keys().next());
    let free = *free.expect("four providers");
    verify.exchange.store(free, blob, StoreOptions::default()).await.unwrap();
    let promises = vec![Promise { pack, shard, expires: Timestamp(u64::MAX) }];
    verify.vault.append(&[PlacementItem::Promises(Promises { provider: free, promises })], &[]).unwrap();
    verify.publish_head(&crew.uploader, &crew.roster, &crew.standard).await.unwrap();
    (pack, shard, free)
}

#[tokio::test]
async fn a_repair_by_a_capability_is_known_to_the_others_as_a_hint_until_they_asked() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    let other = scene.full("a").await.export_capability("another shelf").await.unwrap();
    let mut verify = scene.verify(&capability).await;
    let caught = verify.catch_up().await.unwrap();
    let (pack, shard, provider) = repair_elsewhere(&mut verify, &caught).await;
    let expires_in = |client: &Client| {
        let promises = client.vault.pack(&pack).unwrap().unwrap().promises;
        promises
            .into_iter()
            .find(|promise| (promise.0, promise.1) == (shard, provider))
            .map(|promise| promise.2)
    };
    assert_eq!(expires_in(&verify), Some(Timestamp(u64::MAX)), "it believes itself");
    drop(verify);
    for mut client in [scene.full("a").await, scene.verify(&other).await] {
        client.catch_up().await.unwrap();
        assert_eq!(expires_in(&client), Some(Timestamp(0)), "where it is, and no word on until when");
        assert!(!client.vault.providers_with_history().unwrap().contains(&provider));
    }
    // The home of the capability is lost: it goes on from what it has published.
    fs::remove_dir_all(scene.verify_home(&capability)).unwrap();
    let mut again = scene.verify(&capability).await;
    let caught = again.catch_up().await.unwrap();
    assert_eq!(expires_in(&again), Some(Timestamp(u64::MAX)));
    repair_elsewhere(&mut again, &caught).await;
    let mut full = scene.full("a").await;
    let caught = full.catch_up().await.unwrap();
    assert_eq!(caught.verifiers[&capability.device].counter, 2);
    assert_eq!(full.vault.chain_end(capability.device).unwrap().sequence, 2);
}

#[tokio::test]
async fn what_a_revoked_capability_publishes_is_not_followed_and_what_it_had_said_stays() {
    let scene = Scene::start().await;
    let (capability, kept) = (scene.export().await, scene.export().await);
    let mut verify = scene.verify(&capability).await;
    let caught = verify.catch_up().await.unwrap();
    repair_elsewhere(&mut verify, &caught).await;
    let mut full = scene.full("a").await;
    full.catch_up().await.unwrap();
    let known = full.vault.chain_end(capability.device).unwrap();
    full.revoke_device(capability.device).await.unwrap();
    assert_eq!(full.vault.live_grants().unwrap().len(), 1);
    // It goes on as if it had not heard of it.
    repair_elsewhere(&mut verify, &caught).await;
    let caught = full.catch_up().await.unwrap();
    assert!(!caught.verifiers.contains_key(&capability.device));
    assert_eq!(full.vault.chain_end(capability.device), Some(known));
    let told = verify.catch_up().await;
    assert!(matches!(told, Err(ClientError::Revoked { device }) if device == capability.device), "{told:?}");
    let mut other = scene.verify(&kept).await;
    let caught = other.catch_up().await.unwrap();
    assert!(caught.verifiers.is_empty() && other.vault.chain_end(capability.device).is_none());
}

#[tokio::test]
async fn nobody_waits_for_a_verify_device_whose_head_is_gone_and_none_can_block_a_put() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    let mut verify = scene.verify(&capability).await;
    let caught = verify.catch_up().await.unwrap();
    let copy = scene.net.path().join("copy");
    repair_elsewhere(&mut verify, &caught).await;
    drop(verify);
    let mut full = scene.full("a").await;
    full.catch_up().await.unwrap();
    drop(full);
    scene.clock.advance(Duration::from_secs(60));
    // Another home with the same capability writes another chain: what it says contradicts what is known.
    let forked = Home::open_capability(&copy, &capability, &scene.env).unwrap();
    let mut forked = scene.client(forked).await;
    let caught = CaughtUp { relays: 1, ..CaughtUp::default() };
    let source = scene.full("a").await;
    for end in source.vault.chain_ends().into_iter().filter(|end| end.device != capability.device) {
        let records = source.vault.record_bytes(end.device, 0, end.sequence).unwrap();
        forked.vault.import_chain(end.device, &records).unwrap();
    }
    drop(source);
    repair_elsewhere(&mut forked, &caught).await;
    repair_elsewhere(&mut forked, &caught).await;
    scene.put("a", "another file", b"another content").await;
    let mut full = scene.full("a").await;
    let caught = full.catch_up_with_all().await.unwrap();
    assert!(!caught.verifiers.contains_key(&capability.device), "its fork is left aside");
    assert!(caught.unread.is_empty() && caught.forked.is_empty());
    full.prune(&PruneOptions { now: true, ..PruneOptions::default() }).await.unwrap();
    let mut honest = scene.verify(&capability).await;
    let shared = honest.catch_up().await;
    assert!(matches!(shared, Err(ClientError::CapabilityShared { .. })), "{shared:?}");
}

#[tokio::test]
async fn a_device_that_is_lost_for_good_blocks_a_prune_until_it_is_revoked() {
    let scene = Scene::start().await;
    let mut full = scene.full("a").await;
    let lost = crate::types::DeviceId::new([9; 16]);
    full.vault.update_settings(|settings| settings.heads_seen.insert(lost, 7)).unwrap();
    let blocked = full.prune(&PruneOptions::default()).await;
    assert!(
        matches!(blocked, Err(ClientError::DeviceUnread { device, .. }) if device == lost),
        "{blocked:?}"
    );
    full.revoke_device(lost).await.unwrap();
    full.prune(&PruneOptions { now: true, ..PruneOptions::default() }).await.unwrap();
    let own = full.vault.device();
    assert!(matches!(full.revoke_device(own).await, Err(ClientError::OwnDevice { .. })));
}

#[tokio::test]
async fn a_full_device_that_was_taken_for_lost_goes_on_as_a_new_one_and_loses_nothing() {
    let scene = Scene::start().await;
    scene.recover("b").await;
    scene.put("b", "of b", b"something of b").await;
    let lost = scene.full("b").await.vault.device();
    let mut full = scene.full("a").await;
    assert_eq!(full.vault.find_device(&lost.to_string()[..8]).ok(), None, "not heard of yet");
    full.catch_up().await.unwrap();
    assert_eq!(full.vault.find_device(&lost.to_string()[..8]).unwrap(), (lost, DeviceClass::Full));
    full.revoke_device(lost).await.unwrap();
    let mut back = scene.full("b").await;
    back.catch_up().await.unwrap();
    assert_ne!(back.vault.device(), lost);
    drop(full);
    scene.put("a", "of a", b"something of a").await;
    let names = |client: &Client| {
        let snapshots = client.vault.snapshots().unwrap();
        snapshots.into_iter().map(|snapshot| snapshot.name).collect::<BTreeSet<_>>()
    };
    let all = ["of a", "of b", FILE_NAME].map(str::to_owned);
    assert_eq!(names(&scene.full("a").await), BTreeSet::from(all));
}

#[tokio::test]
async fn a_head_under_anothers_author_is_none() {
    let scene = Scene::start().await;
    let capability = scene.export().await;
    scene.recover("b").await;
    let full = scene.full("a").await;
    let mut head = full.vault.head().unwrap().unwrap();
    head.counter += 100;
    // More than a holder could do: a head that its device has signed.
    let sealed = full.seal(&head, full.vault.access().actor()).unwrap();
    let access = capability.access();
    let made_at = scene.env.now().saturating_add(Duration::from_secs(1));
    let draft = crate::client::head::find::draft(&sealed, &head.device, access.actor());
    let event = draft.sign(&access.actor().head_author(), made_at);
    full.carrier.publish_acknowledged(event, Duration::from_secs(5)).await;
    let caught = scene.full("b").await.catch_up().await.unwrap();
    assert_eq!(caught.heads[&head.device].counter, head.counter - 100);
    assert!(caught.unread.is_empty() && caught.verifiers.is_empty());
}
