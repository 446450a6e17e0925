//! The damage matrix: every shard of a pack in every state. Exact bytes if and only if at least k shards are good;
//! otherwise an error, and no file.
//!
//! Two levels. **Codec**: what a client does with the bytes that it got, `Coding::verify` for each and then
//! `Coding::decode`, is tried for every n up to 6, every k, and every assignment of states to shards: 6^n each, 46,656 for
//! n = 6. **Client**: a get through exchange, relay and providers is tried for every assignment up to n = 3; above that,
//! up to n = 6, for every multiset of states, given to the shards in an order that changes from case to case. Nothing is
//! missed by that: which shard is where follows from the pack's turn, the client treats all indexes alike but for asking
//! the data shards first, and the codec level has all orders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blobdvm::client::{Client, ClientError, Destination, GetOptions, PutOptions, Unwatched};
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::format::pack::PackBuilder;
use blobdvm::format::{Coding, VerifiedShard};
use blobdvm::store::{Disk, SimDisk, Unsynced};
use blobdvm::testing::{DiskKind, Net, NetOptions, RelayKind, SimClock};
use blobdvm::types::{BlobHash, ShardIndex, Timestamp};
use blobdvm::vault::Home;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a provider has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Lost,
    Truncated,
    Flipped,
    Others,
    Empty,
}

const STATES: [State; 6] =
    [State::Good, State::Lost, State::Truncated, State::Flipped, State::Others, State::Empty];

impl State {
    /// The shard's bytes in this state; `None` if there are none.
    fn of(self, shard: &[u8], other: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = shard.to_vec();
        match self {
            Self::Good => {}
            Self::Lost => return None,
            Self::Truncated => bytes.truncate(shard.len() / 2),
            Self::Flipped => bytes[shard.len() / 3] ^= 0x10,
            Self::Others => bytes = other.to_vec(),
            Self::Empty => bytes.clear(),
        }
        Some(bytes)
    }
}

/// Every assignment of states to `count` shards.
fn assignments(count: usize) -> impl Iterator<Item = Vec<State>> {
    let total = STATES.len().pow(u32::try_from(count).unwrap());
    (0..total).map(move |number| {
        let digit = |place| number / STATES.len().pow(u32::try_from(place).unwrap()) % STATES.len();
        (0..count).map(|place| STATES[digit(place)]).collect()
    })
}

/// Every multiset of `count` states, each in one order.
fn multisets(count: usize) -> Vec<Vec<State>> {
    let rank = |state: &State| STATES.iter().position(|other| other == state);
    assignments(count).filter(|states| states.is_sorted_by_key(rank)).collect()
}

fn good(states: &[State]) -> usize {
    states.iter().filter(|state| **state == State::Good).count()
}

fn schemes(total: u8) -> impl Iterator<Item = Scheme> {
    (1..=total).map(move |need| Scheme::new(need, total).unwrap())
}

/// Every shard in every state, as a client takes it in: only a good one is taken for the shard.
fn taken_in(coding: &Coding, shards: &[Bytes]) -> Vec<Vec<Option<VerifiedShard>>> {
    let taken = |index: u8, state: State| {
        let at = usize::from(index);
        let other = if shards.len() == 1 { &b"of nobody"[..] } else { &shards[(at + 1) % shards.len()] };
        let bytes = state.of(&shards[at], other)?;
        let checked = coding.verify(ShardIndex(index), Bytes::from(bytes));
        assert_eq!(checked.is_ok(), state == State::Good, "{state:?} is taken for something else");
        checked.ok()
    };
    (0..coding.scheme.total()).map(|index| STATES.map(|state| taken(index, state)).to_vec()).collect()
}

#[test]
fn a_pack_is_decoded_exactly_if_and_only_if_enough_of_its_shards_are_good() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut tried = 0_u32;
    for scheme in (1..=6).flat_map(schemes) {
        let mut sealed = vec![0; 100 * usize::from(scheme.need()) + 7];
        rng.fill(&mut sealed[..]);
        let mut builder = PackBuilder::new(scheme);
        builder.push(&sealed, &mut rng);
        let encoded = builder.close(&mut rng).unwrap().encode();
        let taken = taken_in(&encoded.pack.coding, &encoded.shards);
        for states in assignments(usize::from(scheme.total())) {
            let place = |state: &State| STATES.iter().position(|other| other == state).unwrap();
            let left = states.iter().zip(&taken).filter_map(|(state, taken)| taken[place(state)].clone());
            let found = encoded.pack.coding.decode(&left.collect::<Vec<_>>());
            if good(&states) >= usize::from(scheme.need()) {
                assert!(found.unwrap() == sealed, "{scheme}: {states:?}");
            } else {
                assert!(found.is_err(), "{scheme}: {states:?}");
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 6 + 2 * 36 + 3 * 216 + 4 * 1_296 + 5 * 7_776 + 6 * 46_656);
}

/// A vault with one file, stored by one scheme, at providers whose disks are in memory.
struct Stage {
    net: Net,
    env: Env,
    scheme: Scheme,
    /// The shards of the file's pack: their names, bytes, and which provider has them.
    shards: Vec<(BlobHash, Vec<u8>, usize)>,
    /// The providers' disks as the put left them.
    disks: Vec<SimDisk>,
    file: Vec<u8>,
}

impl Stage {
    async fn set(scheme: Scheme) -> Self {
        let env = Env::seeded(7, Arc::new(SimClock::new(Timestamp(4_000_000_000))));
        let net = Net::start(NetOptions {
            provider_count: usize::from(scheme.total()),
            relay_kind: RelayKind::Memory(7),
            disks: DiskKind::Memory,
            env: env.clone(),
            ..NetOptions::default()
        })
        .await;
        let mut file = vec![0; 3_000];
        StdRng::seed_from_u64(9).fill(&mut file[..]);
        let mut stage = Self { net, env, scheme, shards: Vec::new(), disks: Vec::new(), file };
        let path = stage.net.path().join("file");
        fs::write(&path, &stage.file).unwrap();
        drop(Home::init_fresh(&stage.net.home_dir("a"), &stage.env).unwrap());
        let mut client = stage.client().await;
        let snapshot = client.put(&[path], &PutOptions::new(scheme)).await.unwrap().snapshot;
        let needs = client.vault.needs(&snapshot).unwrap();
        assert_eq!(needs.len(), 1, "the file lies in one pack");
        let pack = client.vault.pack(needs.first().unwrap()).unwrap().unwrap().pack;
        for shard in &pack.coding.shards {
            let is_there = |index: &usize| stage.net.intact(*index).contains(&shard.hash);
            let index = (0..usize::from(scheme.total())).find(is_there).expect("somebody has it");
            let bytes = stage.net.disk(index).peek(path_of(&shard.hash)).unwrap();
            stage.shards.push((shard.hash, bytes, index));
        }
        let disks = 0..usize::from(scheme.total());
        stage.disks = disks.map(|index| stage.net.disk(index).restart(Unsynced::Lost)).collect();
        stage
    }

    async fn client(&self) -> Client {
        let vault = Home::open(&self.net.home_dir("a"), &self.env).unwrap();
        let carrier = self.net.carrier().await;
        Client::new(vault, carrier, Arc::new(Unwatched), Duration::from_secs(3), self.env.clone())
    }

    /// Brings every shard into its state, behind its provider's back, and looks what a get makes of it.
    async fn check(&mut self, states: &[State]) {
        for (place, state) in states.iter().enumerate() {
            let (hash, bytes, index) = &self.shards[place];
            let other = &self.shards[(place + 1) % states.len()].1;
            let other = if states.len() == 1 { &b"of nobody"[..] } else { other };
            let (index, changed) = (*index, state.of(bytes, other));
            let disk = self.disks[index].restart(Unsynced::Lost);
            match changed {
                Some(changed) => disk.corrupt(path_of(hash), |file| *file = changed),
                None => disk.remove(&path_of(hash)).unwrap(),
            }
            // Whoever serves from this disk knows nothing of what was before.
            self.net.kill(index);
            self.net.give_disk(index, disk);
            self.net.revive(index).await;
        }
        let client = self.client().await;
        let snapshot = client.vault.latest_snapshot("file").unwrap().unwrap();
        let out = self.net.path().join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        let options = GetOptions::all_to(Destination::Path(out.clone()));
        let ended = client.get(&snapshot, &options).await;
        let need = usize::from(self.scheme.need());
        let case = format!("{}: {states:?}", self.scheme);
        if good(states) >= need {
            ended.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            assert!(fs::read(out.join("file")).unwrap() == self.file, "{case}");
        } else {
            let Err(ClientError::TooFewShards { have, need: told, .. }) = ended else {
                panic!("{case}: {ended:?}")
            };
            assert_eq!((have, told), (good(states), need), "{case}");
            assert!(names(&out).is_empty(), "{case}: {:?}", names(&out));
        }
    }
}

fn path_of(hash: &BlobHash) -> std::path::PathBuf {
    Path::new("blobs").join(hash.to_string())
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn on_virtual_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(test);
}

#[test]
fn a_file_is_restored_exactly_if_and_only_if_enough_shards_are_good_in_any_order() {
    on_virtual_time(async {
        for scheme in (1..=3).flat_map(schemes) {
            let mut stage = Stage::set(scheme).await;
            for states in assignments(usize::from(scheme.total())) {
                stage.check(&states).await;
            }
        }
    });
}

#[test]
fn a_file_is_restored_exactly_if_and_only_if_enough_of_many_shards_are_good() {
    on_virtual_time(async {
        for scheme in
            [(2, 4), (4, 4), (3, 5), (1, 6), (4, 6)].map(|(need, total)| Scheme::new(need, total).unwrap())
        {
            let mut stage = Stage::set(scheme).await;
            for (number, mut states) in multisets(usize::from(scheme.total())).into_iter().enumerate() {
                let turn = number % states.len();
                states.rotate_left(turn);
                stage.check(&states).await;
            }
        }
    });
}
