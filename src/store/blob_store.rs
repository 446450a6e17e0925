//! The provider's durable blobs and the claims on them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use crate::env::Env;
use crate::store::admission::{record_claim, record_drop};
use crate::store::checksum::Checksum;
use crate::store::files::{self, Files, Kept};
use crate::store::index::{Blob, Claim};
use crate::store::ledger::Ledger;
use crate::store::record::{Change, Record};
use crate::store::{Disk, StoreError};
use crate::types::limits::STORE_CLAIM_COUNT_MAX;
use crate::types::{BlobHash, ClientId, Timestamp};

/// What a store may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of all blobs together, each counted as whole 4 KiB blocks, and 512 B for every claim.
    pub quota: u64,
    /// Bytes of the blobs that one key claims.
    pub client_quota: u64,
    /// How long a lapsed blob is kept where nobody needs its room.
    pub lapse_keep: Duration,
    /// Claims in all: they are held in memory.
    pub claim_count_max: usize,
    /// Records that the log may grow by, beyond twice what is there, before it is written anew.
    pub log_slack: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            quota: 10 << 30,
            client_quota: u64::MAX,
            lapse_keep: Duration::from_secs(60 * 24 * 3600),
            claim_count_max: STORE_CLAIM_COUNT_MAX,
            log_slack: 8192,
        }
    }
}

/// A client's wish for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Whose claim it is.
    pub client: ClientId,
    /// The event that asks for it.
    pub change: Change,
    /// Until when the blob is wanted; a claim is never shortened.
    pub expires: Timestamp,
}

/// How a blob is to lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtRest {
    /// As it is, unless somebody has asked for it to be encrypted.
    #[default]
    Plain,
    /// Encrypted under the store's key.
    Encrypted,
}

/// What can be seen of a blob by anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its length.
    pub len: u64,
    /// When the last promise lapses, or lapsed.
    pub expires: Timestamp,
    /// All promises have lapsed.
    pub is_lapsed: bool,
}

/// Figures of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes of the quota that are taken.
    pub used: u64,
    /// The quota.
    pub quota: u64,
    /// Blobs.
    pub blob_count: usize,
    /// Claims on them.
    pub claim_count: usize,
    /// Dropped claims that are remembered against replay.
    pub dropped_count: usize,
}

/// Blobs and claims on a [`Disk`]. Operations block; many threads may call them at once.
pub struct BlobStore {
    pub(super) ledger: Ledger,
    pub(super) files: Files,
    pub(super) options: StoreOptions,
    pub(super) env: Env,
    /// Bytes set aside for puts that are under way.
    pub(super) reserved: Mutex<u64>,
    /// A blob's file is written and removed under the lock of its last byte.
    pub(super) busy: Vec<Mutex<()>>,
    disk: Arc<dyn Disk>,
}

impl BlobStore {
    /// Opens the store on `disk`, and starts it where there is none.
    ///
    /// Files without a claim, left by a crash, are removed; claims without a file are dropped. Where the log is gone, damaged
    /// or cut off, blobs that nobody has a claim on by what is left of it are kept as lapsed ones.
    ///
    /// # Errors
    /// [`StoreError::Version`], [`StoreError::Damaged`] (nothing is changed then), [`StoreError::Disk`].
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions, env: Env) -> Result<Self, StoreError> {
        let (files, found) = Files::open(disk.clone(), env.clone())?;
        let (ledger, log) = Ledger::open(disk.clone(), options.log_slack, env.now())?;
        let busy = (0..=u8::MAX).map(|_| Mutex::new(())).collect();
        let store = Self { ledger, files, disk, options, env, reserved: Mutex::new(0), busy };
        if log.damaged_count > 0 {
            warn!(damaged = log.damaged_count, "claims log is damaged");
        }
        if log.may_lack_records() {
            store.adopt(&found)?;
            store.ledger.write_anew()?;
        }
        store.reconcile(&found)?;
        store.ledger.allow_compaction(log);
        store.tick()?;
        Ok(store)
    }

    /// Keeps a blob and a claim on it; both are durable when this returns. A damaged file is mended by it.
    ///
    /// # Errors
    /// [`StoreError::HashMismatch`], [`StoreError::Full`], [`StoreError::TooManyClaims`], [`StoreError::Busy`],
    /// [`StoreError::Disk`]; [`StoreError::Stale`] if the claim was dropped since.
    pub fn put(
        &self,
        hash: BlobHash,
        blob: &[u8],
        promise: Promise,
        at_rest: AtRest,
    ) -> Result<Claim, StoreError> {
        let (checksum, actual) = Checksum::and_name_of(blob);
        if actual != hash {
            return Err(StoreError::HashMismatch { hash, actual });
        }
        let len = blob.len() as u64;
        let room = self.admit(hash, len, &promise)?;
        let busy = self.busy(&hash);
        let known = self.ledger.read(|index| index.blob(&hash).map(kept));
        let wanted = match (at_rest, known) {
            (AtRest::Encrypted, _) | (_, Some(Kept::Encrypted)) => Kept::Encrypted,
            (AtRest::Plain, _) => Kept::Plain,
        };
        // A file is left as it is only if it is good and was made durable for a claim before.
        let is_new = known != Some(wanted) || self.files.read(&hash, wanted, None)?.is_none();
        if is_new {
            self.files.write(&hash, blob, wanted)?;
        }
        let (claim, ticket) = self.ledger.change(|changing| {
            if is_new {
                changing.names_files();
            }
            let claim = record_claim(changing, hash, len, Some(checksum), &promise)?;
            if let Some(blob) = changing.index_mut().blob_mut(&hash) {
                blob.damaged = false;
                blob.encrypted = wanted == Kept::Encrypted;
            }
            Ok(claim)
        });
        drop(room);
        drop(busy);
        if claim.is_err() {
            self.remove_files(&[hash]);
        }
        self.ledger.commit(ticket)?;
        if known == Some(Kept::Plain) && wanted == Kept::Encrypted {
            // Only now is the other file sure to be found after a crash.
            self.remove_plain(&hash)?;
        }
        claim
    }

    /// The whole blob, verified. Lapsed blobs are here until their room is needed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Integrity`], [`StoreError::Disk`].
    pub fn get(&self, hash: &BlobHash) -> Result<Bytes, StoreError> {
        self.read(hash, |kept, checksum| self.files.read(hash, kept, checksum))
    }

    /// `len` bytes from `offset` of the blob, and no more than these are read from the disk.
    ///
    /// A part is not verified, because that would mean to read the whole: whoever asks for parts verifies what is put
    /// together of them, or checks each against a Merkle root or an authentication tag of its own.
    ///
    /// # Errors
    /// As [`BlobStore::get`]; a file that is too short for the part is a damaged one.
    pub fn get_range(&self, hash: &BlobHash, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        self.read(hash, |kept, _| self.files.read_range(hash, kept, offset, len))
    }

    /// What can be seen of a blob; `None` if it is not here or known to be damaged.
    pub fn entry(&self, hash: &BlobHash) -> Option<Entry> {
        let now = self.observe();
        self.ledger.read(|index| {
            let blob = index.blob(hash).filter(|blob| !blob.damaged)?;
            Some(Entry { len: blob.len, expires: blob.expires, is_lapsed: blob.expires < now })
        })
    }

    /// Whether a blob is here and known to be damaged.
    pub fn is_damaged(&self, hash: &BlobHash) -> bool {
        self.ledger.read(|index| index.blob(hash).is_some_and(|blob| blob.damaged))
    }

    /// The claim of `client` on a blob; `None` if there is none, or the blob is known to be damaged.
    pub fn claim(&self, client: &ClientId, hash: &BlobHash) -> Option<Claim> {
        self.observe();
        self.ledger.read(|index| {
            index.blob(hash).filter(|blob| !blob.damaged)?;
            index.claim(client, hash)
        })
    }

    /// At most `count` claims of `client` in the order of their hashes, from the first after `after`.
    pub fn list(&self, client: ClientId, after: Option<BlobHash>, count: usize) -> Vec<Claim> {
        self.observe();
        self.ledger.read(|index| index.claims_after(client, after).take(count).collect())
    }

    /// Extends claims, or adds them, on blobs that are here. Durable when this returns.
    ///
    /// # Errors
    /// Outer: [`StoreError::Disk`]. For each blob: [`StoreError::NotFound`], [`StoreError::Full`],
    /// [`StoreError::TooManyClaims`], [`StoreError::Stale`], [`StoreError::Busy`].
    pub fn renew(
        &self,
        hashes: &[BlobHash],
        promise: &Promise,
    ) -> Result<Vec<Result<Claim, StoreError>>, StoreError> {
        self.observe();
        let (renewed, ticket) = self
            .ledger
            .change(|changing| hashes.iter().map(|hash| self.renew_one(changing, *hash, promise)).collect());
        self.ledger.commit(ticket)?;
        Ok(renewed)
    }

    /// Drops the claims of `client`; a blob's bytes go with the last claim. Durable when this returns.
    ///
    /// # Errors
    /// Outer: [`StoreError::Disk`]. For each blob: [`StoreError::NotFound`] without a claim of this key,
    /// [`StoreError::Stale`] for a change that is not newer than the claim's newest, [`StoreError::Busy`].
    pub fn delete(
        &self,
        client: ClientId,
        hashes: &[BlobHash],
        change: Change,
    ) -> Result<Vec<Result<Claim, StoreError>>, StoreError> {
        let now = self.observe();
        let (dropped, ticket) = self.ledger.change(|changing| {
            changing.index_mut().forget_dropped(now);
            hashes.iter().map(|hash| record_drop(changing, *hash, client, change)).collect::<Vec<_>>()
        });
        self.ledger.commit(ticket)?;
        self.remove_files(hashes);
        Ok(dropped)
    }

    /// To be called every few minutes: writes down that time goes on, and lets go of what lapsed long ago.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn tick(&self) -> Result<(), StoreError> {
        const TICK_EVERY: Duration = Duration::from_secs(600);
        let now = self.observe();
        let (gone, ticket) = self.ledger.change(|changing| {
            changing.index_mut().forget_dropped(now);
            if changing.index().ticked().distance(now) >= TICK_EVERY {
                changing.record(Record::Tick { now });
            }
            let long_ago = now.saturating_sub(self.options.lapse_keep);
            let lapsed: Vec<_> = changing.index().lapsed(long_ago).map(|(hash, _)| hash).collect();
            for hash in &lapsed {
                changing.record(Record::Evict { hash: *hash });
            }
            lapsed
        });
        self.ledger.commit(ticket)?;
        self.remove_files(&gone);
        Ok(())
    }

    /// Figures for people and tests.
    pub fn stats(&self) -> StoreStats {
        self.ledger.read(|index| StoreStats {
            used: index.used(),
            quota: self.options.quota,
            blob_count: index.blob_count(),
            claim_count: index.claim_count(),
            dropped_count: index.dropped_count(),
        })
    }

    /// 32 secret bytes that the store keeps in the file `name`, made at first use; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a file that holds something else, which is never replaced; [`StoreError::Disk`].
    pub fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let (path, folder) = (Path::new(name), Path::new(""));
        let bytes = files::secret(&*self.disk, path, &self.env)?;
        self.disk.sync_dir(folder).map_err(StoreError::disk(path))?;
        Ok(bytes)
    }
}

pub(super) fn kept(blob: &Blob) -> Kept {
    if blob.encrypted { Kept::Encrypted } else { Kept::Plain }
}
