//! What the store holds, in memory: blobs, the claims on them, and the changes that may still be replayed. PURE.
//!
//! It changes by records alone, so that reading the log brings it back exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use crate::store::checksum::Checksum;
use crate::store::record::{Change, EventMark, Record};
use crate::types::limits::{CHANGE_AGE_MAX, STORE_BLOCK_LEN, STORE_CLAIM_COST, STORE_DROPPED_COUNT_MAX};
use crate::types::{BlobHash, ClientId, Timestamp};

/// A claim as its owner may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The blob.
    pub hash: BlobHash,
    /// Length of the blob.
    pub len: u64,
    /// Until when the blob is promised to the owner.
    pub expires: Timestamp,
}

/// A blob and the promises on it.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) len: u64,
    /// When the last promise lapses.
    pub(super) expires: Timestamp,
    /// Its file is encrypted at rest.
    pub(super) encrypted: bool,
    /// Its file was found to differ from its hash.
    pub(super) damaged: bool,
    pub(super) checksum: Option<Checksum>,
    /// Sorted by client.
    claims: Vec<(ClientId, Held)>,
}

#[derive(Debug, Clone)]
struct Held {
    expires: Timestamp,
    newest: Changes,
}

/// The newest changes to one claim: all of them are of the same second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) at: Timestamp,
    marks: Vec<EventMark>,
}

/// How a change stands to those that were made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Newer than all, or of the newest second and not seen before.
    New,
    /// Older than the newest, or one that was made already.
    Old {
        /// When the newest was signed.
        newest: Timestamp,
    },
    /// One of more changes in a second than are remembered.
    TooMany,
}

/// Changes of one second to one claim that are told apart.
const MARK_COUNT_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Index {
    blobs: BTreeMap<BlobHash, Blob>,
    owned: BTreeSet<(ClientId, BlobHash)>,
    /// Blobs by the time their last promise lapses.
    lapses: BTreeSet<(Timestamp, BlobHash)>,
    /// Claims that were dropped, for as long as an event from before may be replayed.
    dropped: BTreeMap<(ClientId, BlobHash), Changes>,
    dropped_order: BTreeSet<(Timestamp, ClientId, BlobHash)>,
    used: u64,
    used_by: BTreeMap<ClientId, u64>,
    ticked: Timestamp,
}

impl Changes {
    fn new(change: Change) -> Self {
        Self { at: change.at, marks: vec![change.mark] }
    }

    fn add(&mut self, change: Change) {
        if change.at > self.at {
            *self = Self::new(change);
        } else if change.at == self.at && !self.marks.contains(&change.mark) {
            self.marks.push(change.mark);
        }
    }

    fn order(&self, change: Change) -> Order {
        if change.at > self.at {
            Order::New
        } else if change.at < self.at || self.marks.contains(&change.mark) {
            Order::Old { newest: self.at }
        } else if self.marks.len() >= MARK_COUNT_MAX {
            Order::TooMany
        } else {
            Order::New
        }
    }
}

impl Blob {
    fn place(&self, client: &ClientId) -> Result<usize, usize> {
        self.claims.binary_search_by_key(client, |(owner, _)| *owner)
    }
}

/// What a blob costs of the quota: whole disk blocks, and the memory that its entry takes.
pub(super) fn cost(len: u64) -> u64 {
    len.checked_next_multiple_of(STORE_BLOCK_LEN).unwrap_or(u64::MAX).max(STORE_BLOCK_LEN)
}

impl Index {
    pub(super) fn blob(&self, hash: &BlobHash) -> Option<&Blob> {
        self.blobs.get(hash)
    }

    pub(super) fn blob_mut(&mut self, hash: &BlobHash) -> Option<&mut Blob> {
        self.blobs.get_mut(hash)
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = &BlobHash> {
        self.blobs.keys()
    }

    pub(super) fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    pub(super) fn claim_count(&self) -> usize {
        self.owned.len()
    }

    pub(super) fn dropped_count(&self) -> usize {
        self.dropped.len()
    }

    /// Bytes of the quota that are taken.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Bytes of the blobs that `client` claims.
    pub(super) fn used_by(&self, client: &ClientId) -> u64 {
        self.used_by.get(client).copied().unwrap_or(0)
    }

    pub(super) fn ticked(&self) -> Timestamp {
        self.ticked
    }

    pub(super) fn claim(&self, client: &ClientId, hash: &BlobHash) -> Option<Claim> {
        let blob = self.blobs.get(hash)?;
        let (_, held) = &blob.claims[blob.place(client).ok()?];
        Some(Claim { hash: *hash, len: blob.len, expires: held.expires })
    }

    /// The claims of `client` on blobs after `after`, in the order of their hashes.
    pub(super) fn claims_after(
        &self,
        client: ClientId,
        after: Option<BlobHash>,
    ) -> impl Iterator<Item = Claim> {
        let from =
            after.map_or(Bound::Included((client, BlobHash::new([0; 32]))), |h| Bound::Excluded((client, h)));
        let owned = self.owned.range((from, Bound::Included((client, BlobHash::new([0xff; 32])))));
        owned.filter_map(|(client, hash)| self.claim(client, hash))
    }

    /// How `change` stands to what `client` did to its claim before.
    pub(super) fn order(&self, client: &ClientId, hash: &BlobHash, change: Change) -> Order {
        let blob = self.blobs.get(hash);
        let held = blob.and_then(|blob| blob.place(client).ok().map(|place| &blob.claims[place].1.newest));
        held.or_else(|| self.dropped.get(&(*client, *hash))).map_or(Order::New, |newest| newest.order(change))
    }

    /// Blobs whose promises have all lapsed before `now`, oldest-lapsed first, and what each takes of the quota.
    pub(super) fn lapsed(&self, now: Timestamp) -> impl Iterator<Item = (BlobHash, u64)> {
        let lapsed = self.lapses.iter().take_while(move |(expires, _)| *expires < now);
        lapsed.map(|(_, hash)| {
            let blob = &self.blobs[hash];
            (*hash, cost(blob.len).saturating_add(STORE_CLAIM_COST * blob.claims.len() as u64))
        })
    }

    /// Whether one more drop can be remembered.
    pub(super) fn can_drop(&self) -> bool {
        self.dropped.len() < STORE_DROPPED_COUNT_MAX
    }

    /// Forgets dropped claims that no event from before can be replayed against any more.
    pub(super) fn forget_dropped(&mut self, now: Timestamp) {
        while let Some((at, client, hash)) = self.dropped_order.first().copied() {
            if at.saturating_add(2 * CHANGE_AGE_MAX) >= now {
                break;
            }
            self.dropped_order.pop_first();
            self.dropped.remove(&(client, hash));
        }
    }

    /// Takes one step of the history.
    pub(super) fn apply(&mut self, record: &Record) {
        match *record {
            Record::Claim { hash, client, len, expires, change, checksum } => {
                let blob = self.claim_made(hash, client, len, expires, change);
                blob.checksum = blob.checksum.or(checksum);
            }
            Record::Drop { hash, client, change } => self.claim_dropped(hash, client, change),
            Record::Evict { hash } => self.evicted(&hash),
            Record::Tick { now } => self.ticked = now,
            // A jump that was taken already is not where the clock was last seen.
            Record::Jump { from, to } if from == self.ticked => self.jumped(from, to),
            Record::Jump { .. } | Record::Version(_) => {}
        }
    }

    /// Records that bring this index back.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let claims = self.blobs.iter().flat_map(|(hash, blob)| {
            blob.claims.iter().flat_map(move |(client, held)| {
                let (hash, client, len, expires) = (*hash, *client, blob.len, held.expires);
                let checksum = blob.checksum;
                let claim = move |change| Record::Claim { hash, client, len, expires, change, checksum };
                held.newest.all().map(claim)
            })
        });
        let dropped = self.dropped.iter().flat_map(|((client, hash), changes)| {
            changes.all().map(|change| Record::Drop { hash: *hash, client: *client, change })
        });
        [Record::Tick { now: self.ticked }].into_iter().chain(claims).chain(dropped)
    }

    fn claim_made(
        &mut self,
        hash: BlobHash,
        client: ClientId,
        len: u64,
        expires: Timestamp,
        change: Change,
    ) -> &mut Blob {
        let before = self.dropped.remove(&(client, hash));
        if let Some(changes) = &before {
            self.dropped_order.remove(&(changes.at, client, hash));
        }
        let blob = self.blobs.entry(hash).or_insert_with(|| {
            self.used = self.used.saturating_add(cost(len));
            Blob { len, expires, encrypted: false, damaged: false, checksum: None, claims: Vec::new() }
        });
        self.lapses.remove(&(blob.expires, hash));
        match blob.place(&client) {
            Ok(place) => {
                let held = &mut blob.claims[place].1;
                held.expires = held.expires.max(expires);
                held.newest.add(change);
            }
            Err(place) => {
                let mut newest = before.unwrap_or_else(|| Changes::new(change));
                newest.add(change);
                blob.claims.insert(place, (client, Held { expires, newest }));
                self.owned.insert((client, hash));
                self.used = self.used.saturating_add(STORE_CLAIM_COST);
                *self.used_by.entry(client).or_default() += blob.len;
            }
        }
        blob.expires = last_lapse(blob);
        self.lapses.insert((blob.expires, hash));
        blob
    }

    fn claim_dropped(&mut self, hash: BlobHash, client: ClientId, change: Change) {
        let mut newest = self.dropped.remove(&(client, hash));
        if let Some(changes) = &newest {
            self.dropped_order.remove(&(changes.at, client, hash));
        }
        if let Some(blob) = self.blobs.get_mut(&hash)
            && let Ok(place) = blob.place(&client)
        {
            let (_, held) = blob.claims.remove(place);
            newest = Some(held.newest);
            self.lapses.remove(&(blob.expires, hash));
            self.disown(client, hash);
            self.settle(hash);
        }
        let mut newest = newest.unwrap_or_else(|| Changes::new(change));
        newest.add(change);
        self.dropped_order.insert((newest.at, client, hash));
        self.dropped.insert((client, hash), newest);
    }

    fn evicted(&mut self, hash: &BlobHash) {
        let Some(blob) = self.blobs.get_mut(hash) else { return };
        self.lapses.remove(&(blob.expires, *hash));
        for (client, _) in std::mem::take(&mut blob.claims) {
            self.disown(client, *hash);
        }
        self.settle(*hash);
    }

    fn disown(&mut self, client: ClientId, hash: BlobHash) {
        self.owned.remove(&(client, hash));
        self.used = self.used.saturating_sub(STORE_CLAIM_COST);
        let len = self.blobs.get(&hash).map_or(0, |blob| blob.len);
        if let Some(used) = self.used_by.get_mut(&client) {
            *used = used.saturating_sub(len);
        }
        if self.claims_after(client, None).next().is_none() {
            self.used_by.remove(&client);
        }
    }

    /// Brings a blob's lapse up to date after claims went; without claims it goes too.
    fn settle(&mut self, hash: BlobHash) {
        let Some(blob) = self.blobs.get_mut(&hash) else { return };
        if blob.claims.is_empty() {
            self.used = self.used.saturating_sub(cost(blob.len));
            self.blobs.remove(&hash);
        } else {
            blob.expires = last_lapse(blob);
            self.lapses.insert((blob.expires, hash));
        }
    }

    fn jumped(&mut self, from: Timestamp, to: Timestamp) {
        let moved = |time: Timestamp| {
            if to >= from { time.saturating_add(to.since(from)) } else { time.saturating_sub(from.since(to)) }
        };
        self.lapses.clear();
        for (hash, blob) in &mut self.blobs {
            for (_, held) in &mut blob.claims {
                held.expires = moved(held.expires);
            }
            blob.expires = last_lapse(blob);
            self.lapses.insert((blob.expires, *hash));
        }
        self.ticked = to;
    }
}

impl Changes {
    fn all(&self) -> impl Iterator<Item = Change> {
        self.marks.iter().map(|mark| Change { at: self.at, mark: *mark })
    }
}

fn last_lapse(blob: &Blob) -> Timestamp {
    blob.claims.iter().map(|(_, held)| held.expires).max().unwrap_or_default()
}

/// Whether the clock jumped since it was last seen: then nobody could renew in between, or the clock is wrong.
pub(super) fn is_jump(ticked: Timestamp, now: Timestamp) -> bool {
    const JUMP_MIN: Duration = Duration::from_secs(24 * 3600);
    ticked.distance(now) > JUMP_MIN
}
