//! What must hold after every step, looked up behind everybody's back: in the providers' stores and at the relays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blobdvm::format::codec::Reader;
use blobdvm::format::{ChainKeys, ContentItem, Items, PlacementItem, Record};
use blobdvm::types::{BlobHash, ClientId, DeviceId, SnapshotId};
use blobdvm::vault::Vault;
use nostr::{Filter, Kind};

use crate::world::{MARKER, NeededPack, World};

const DAY: Duration = Duration::from_secs(86_400);
/// How long the data of a removed snapshot stays (docs/format.md, "Removals").
const GRACE: Duration = Duration::from_secs(7 * 86_400);
/// What stands in a record before what is sealed: version, layer, device, sequence, previous, length.
const RECORD_HEADER_LEN: usize = 1 + 1 + DeviceId::LEN + 8 + 32 + 4;

impl World {
    /// Checks every law that holds at any time.
    pub(crate) fn check(&self) {
        let stores: Vec<BTreeSet<BlobHash>> =
            (0..self.provider_count).map(|index| self.net.intact(index).into_iter().collect()).collect();
        for (id, expected) in &self.snapshots {
            let is_due = expected.removed_at.is_some_and(|at| self.now() >= at.saturating_add(GRACE));
            if !expected.is_sure || expected.is_gone || is_due {
                continue;
            }
            let spares = expected.bad.len();
            let missing: Vec<_> =
                expected.views.values().map(|view| first_missing(view, &stores, spares)).collect();
            assert!(
                missing.iter().any(Option::is_none),
                "snapshot {} is not all there ({:?} may have lost something): {missing:?}",
                id.short(),
                expected.bad
            );
        }
    }

    /// Checks that every snapshot that is to be there is at full health, but for `spares` shards of each pack.
    pub(crate) fn check_spread(&self, spares: usize) {
        let stores: Vec<BTreeSet<BlobHash>> =
            (0..self.provider_count).map(|index| self.net.intact(index).into_iter().collect()).collect();
        for (id, expected) in self.live() {
            let missing: Vec<_> =
                expected.views.values().map(|view| first_missing(view, &stores, spares)).collect();
            assert!(
                missing.iter().any(Option::is_none),
                "it says that all is well, and of snapshot {} there is not everything: {missing:?}",
                id.short()
            );
        }
    }

    /// Checks what a put says that it has done (invariant I2): every pack on the whole spread, promised for long enough,
    /// and the head at a relay.
    pub(crate) fn check_stored(&self, home: &str, id: SnapshotId, vault: &Vault) {
        let unknowable = &self.snapshots[&id].bad;
        for pack in &self.snapshots[&id].views[home] {
            let mut holders: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for index in (0..self.provider_count).filter(|index| !unknowable.contains(index)) {
                let intact: BTreeSet<_> = self.net.intact(index).into_iter().collect();
                for (shard, hash) in pack.shards.iter().enumerate() {
                    if intact.contains(hash) && self.is_promised(index, hash, vault) {
                        holders.entry(index).or_default().push(shard);
                    }
                }
            }
            assert!(
                placed_count(&holders) + unknowable.len() >= usize::from(pack.scheme.total()),
                "put said that pack {} is stored, and its shards are at {holders:?}",
                pack.id.short()
            );
        }
        let head = vault.head().unwrap().expect("a put publishes a head");
        let author = vault.access().actor().head_author().public_key();
        let filter = Filter::new().kind(Kind::from(30_078)).author(author);
        let published = (0..self.relay_count).flat_map(|relay| self.net.hub(relay).unwrap().stored(&filter));
        let is_there = published.into_iter().any(|event| event.created_at.as_secs() == head.made_at.0);
        assert!(is_there, "put said that its head is published, and no relay has it");
    }

    /// Whether a provider that runs promises the blob to this vault for a month; what it keeps while it does not run is
    /// taken as promised.
    fn is_promised(&self, index: usize, hash: &BlobHash, vault: &Vault) -> bool {
        if !self.net.is_running(index) {
            return true;
        }
        let provider = self.net.provider(index);
        let key = vault.access().actor().pseudonym(&provider.id()).public_key();
        let claim = provider.store().claim(&ClientId::new(key.to_bytes()), hash);
        claim.is_some_and(|claim| claim.expires >= self.now().saturating_add(29 * DAY))
    }

    /// Checks that nothing readable has left, and that no key or salt was used twice (invariants I3 and I4).
    pub(crate) fn check_secrecy(&self) {
        for index in 0..self.provider_count {
            let disk = self.net.disk(index);
            for path in disk.paths() {
                let bytes = disk.peek(&path).expect("a file that is listed is there");
                let is_seen = bytes.windows(MARKER.len()).any(|window| window == MARKER);
                assert!(!is_seen, "provider {index} can read {}", path.display());
            }
        }
        for home in &self.homes {
            check_keys(&self.vault(home));
        }
    }
}

/// Checks that no key or salt in a vault's records was used twice.
fn check_keys(vault: &Vault) {
    let keys = ChainKeys::new(vault.keys().unwrap());
    let mut used = BTreeSet::new();
    for end in vault.chain_ends() {
        let bytes = vault.record_bytes(end.device, 0, end.sequence).unwrap();
        let mut input = Reader::new(&bytes, "a chain");
        while input.remaining() > 0 {
            let record = Record::read(&mut input).unwrap();
            let salt: [u8; 32] = record.as_bytes()[RECORD_HEADER_LEN..][..32].try_into().unwrap();
            assert!(used.insert(salt), "a salt was used twice");
            for secret in secrets(&Items::open(&record, &keys).unwrap()) {
                assert!(used.insert(secret), "a key was used twice");
            }
        }
    }
}

/// The one-use keys that stand in a record.
fn secrets(items: &Items) -> Vec<[u8; 32]> {
    match items {
        Items::Content(items) => items
            .iter()
            .filter_map(|item| match item {
                ContentItem::Segment(segment) => Some(*segment.key.expose()),
                _ => None,
            })
            .collect(),
        Items::Placement(items) => items
            .iter()
            .filter_map(|item| match item {
                PlacementItem::Pack(pack) => pack.coding.mask.as_ref().map(|mask| *mask.expose()),
                _ => None,
            })
            .collect(),
        Items::Sealed => unreachable!("this home has all keys"),
    }
}

/// How many shards can be counted at a provider each, no provider twice: a maximum matching by augmenting paths.
fn placed_count(holders: &BTreeMap<usize, Vec<usize>>) -> usize {
    fn place(
        holder: usize,
        holders: &BTreeMap<usize, Vec<usize>>,
        tried: &mut BTreeSet<usize>,
        placed: &mut BTreeMap<usize, usize>,
    ) -> bool {
        holders[&holder].iter().any(|shard| {
            let is_free = tried.insert(*shard)
                && placed.get(shard).copied().is_none_or(|other| place(other, holders, tried, placed));
            if is_free {
                placed.insert(*shard, holder);
            }
            is_free
        })
    }
    let mut placed = BTreeMap::new();
    for holder in holders.keys() {
        place(*holder, holders, &mut BTreeSet::new(), &mut placed);
    }
    placed.len()
}

/// The first pack of which more than `spares` shards are missing, and how many distinct ones there are.
fn first_missing(view: &[NeededPack], stores: &[BTreeSet<BlobHash>], spares: usize) -> Option<String> {
    view.iter().find_map(|pack| {
        let there = pack.shards.iter().filter(|hash| stores.iter().any(|store| store.contains(hash))).count();
        let holders =
            stores.iter().filter(|store| pack.shards.iter().any(|hash| store.contains(hash))).count();
        let (have, wanted) = (there.min(holders), usize::from(pack.scheme.total()));
        (have + spares < wanted).then(|| format!("pack {} has {have} of {wanted}", pack.id.short()))
    })
}
