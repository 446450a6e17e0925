//! What keeps files, claims and time in step.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::store::StoreError;
use crate::store::blob_store::{BlobStore, kept};
use crate::store::checksum::Checksum;
use crate::store::files::Kept;
use crate::store::index::is_jump;
use crate::store::record::{Change, EventMark, Record};
use crate::types::{BlobHash, ClientId, Timestamp};

/// Owner of blobs whose claims were lost; no key is all zeros, so nobody can act as this one.
const NOBODY: ClientId = ClientId::new([0; 32]);

impl BlobStore {
    /// What time it is. When the clock jumped since it was last seen, every promise moves with it first.
    pub(super) fn observe(&self) -> Timestamp {
        const SEEN_EVERY: Duration = Duration::from_secs(3600);
        let now = self.env.now();
        let seen = |ticked: Timestamp| ticked.distance(now) < SEEN_EVERY;
        if self.ledger.read(|index| seen(index.ticked())) {
            return now;
        }
        self.ledger.change(|changing| {
            let from = changing.index().ticked();
            if is_jump(from, now) {
                warn!(from = from.0, to = now.0, "the clock jumped: promises move with it");
                changing.record(Record::Jump { from, to: now });
            } else if !seen(from) {
                changing.record(Record::Tick { now });
            }
        });
        now
    }

    /// Reads a blob's file. A first failure may be a put or a removal at work: it counts only when nobody is.
    pub(super) fn read<T>(
        &self,
        hash: &BlobHash,
        read: impl Fn(Kept, Option<Checksum>) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let look = || {
            let found = self.ledger.read(|index| index.blob(hash).map(|blob| (kept(blob), blob.checksum)));
            let (kept, checksum) = found.ok_or(StoreError::NotFound { hash: *hash })?;
            read(kept, checksum)
        };
        if let Some(bytes) = look()? {
            return Ok(bytes);
        }
        let _busy = self.busy(hash);
        if let Some(bytes) = look()? {
            return Ok(bytes);
        }
        warn!(blob = %hash.short(), "blob is damaged on disk");
        self.ledger.change(|changing| {
            if let Some(blob) = changing.index_mut().blob_mut(hash) {
                blob.damaged = true;
            }
        });
        Err(StoreError::Integrity { hash: *hash })
    }

    /// Removes the files of those of these blobs that are claimed no more. What remains goes at the next start.
    pub(super) fn remove_files(&self, hashes: &[BlobHash]) {
        for hash in hashes {
            let _busy = self.busy(hash);
            if self.ledger.read(|index| index.blob(hash).is_some()) {
                continue;
            }
            for kept in [Kept::Plain, Kept::Encrypted] {
                if let Err(error) = self.files.remove(hash, kept) {
                    warn!(blob = %hash.short(), %error, "file cannot be removed");
                }
            }
        }
    }

    /// Removes the plain file of a blob that is kept encrypted.
    pub(super) fn remove_plain(&self, hash: &BlobHash) -> Result<(), StoreError> {
        let _busy = self.busy(hash);
        let is_encrypted = self.ledger.read(|index| index.blob(hash).is_some_and(|blob| blob.encrypted));
        if is_encrypted { self.files.remove(hash, Kept::Plain) } else { Ok(()) }
    }

    pub(super) fn busy(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        let [.., last] = *hash.as_bytes();
        self.busy[usize::from(last)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps intact blobs without a readable claim as lapsed ones, because their claims may be what is damaged. Durable with
    /// the next commit.
    pub(super) fn adopt(&self, found: &BTreeMap<BlobHash, Kept>) -> Result<(), StoreError> {
        let now = self.observe();
        let change = Change { at: Timestamp(0), mark: EventMark([0; 8]) };
        let mut adopted = 0;
        for (hash, kept) in found {
            if self.ledger.read(|index| index.blob(hash).is_some()) {
                continue;
            }
            if let Some(blob) = self.files.read(hash, *kept, None)? {
                let (len, expires, checksum) = (blob.len() as u64, now, Some(Checksum::of(&blob)));
                let record = Record::Claim { hash: *hash, client: NOBODY, len, expires, change, checksum };
                self.ledger.change(|changing| changing.record(record));
                adopted += 1;
            }
        }
        if adopted > 0 {
            warn!(adopted, "blobs without a readable claim are kept as lapsed");
        }
        Ok(())
    }

    /// Removes files without a claim, and claims without a file.
    pub(super) fn reconcile(&self, found: &BTreeMap<BlobHash, Kept>) -> Result<(), StoreError> {
        let (lost, ticket) = self.ledger.change(|changing| {
            let lost: Vec<_> =
                changing.index().hashes().filter(|hash| !found.contains_key(hash)).copied().collect();
            for hash in &lost {
                changing.record(Record::Evict { hash: *hash });
            }
            for (hash, kept) in found {
                if let Some(blob) = changing.index_mut().blob_mut(hash) {
                    blob.encrypted = *kept == Kept::Encrypted;
                }
            }
            lost
        });
        self.ledger.commit(ticket)?;
        if !lost.is_empty() {
            warn!(lost = lost.len(), "blobs are missing on disk; their claims are dropped");
        }
        let unclaimed = |hash: &&BlobHash| self.ledger.read(|index| index.blob(hash).is_none());
        let orphans: Vec<_> = found.keys().filter(unclaimed).copied().collect();
        if !orphans.is_empty() {
            info!(orphans = orphans.len(), "files of unfinished stores are removed");
        }
        self.remove_files(&orphans);
        Ok(())
    }
}
