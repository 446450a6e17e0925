//! What may come in: room, claims, and the order of changes.

use std::sync::PoisonError;

use crate::store::StoreError;
use crate::store::blob_store::{BlobStore, Promise};
use crate::store::checksum::Checksum;
use crate::store::index::{Claim, Order, cost};
use crate::store::ledger::Changing;
use crate::store::record::{Change, Record};
use crate::types::limits::STORE_CLAIM_COST;
use crate::types::{BlobHash, ClientId, Timestamp};

/// Room set aside for a put, until it is dropped.
pub(super) struct Room<'a> {
    store: &'a BlobStore,
    len: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut reserved = self.store.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        *reserved = reserved.saturating_sub(self.len);
    }
}

impl BlobStore {
    /// Sets room aside for a blob and a claim on it, evicting lapsed blobs if there is not enough.
    pub(super) fn admit(&self, hash: BlobHash, len: u64, promise: &Promise) -> Result<Room<'_>, StoreError> {
        let now = self.observe();
        let (admitted, ticket) = self.ledger.change(|changing| {
            check_order(changing, hash, promise)?;
            let need = self.need(changing, hash, len, promise)?;
            let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
            let evicted = self.make_room(changing, hash, need.saturating_add(*reserved), now)?;
            *reserved += need;
            Ok((Room { store: self, len: need }, evicted))
        });
        let (room, evicted) = admitted?;
        if !evicted.is_empty() {
            self.ledger.commit(ticket)?;
            self.remove_files(&evicted);
        }
        Ok(room)
    }

    /// What a claim on a blob costs of the quota.
    fn need(
        &self,
        changing: &Changing<'_>,
        hash: BlobHash,
        len: u64,
        promise: &Promise,
    ) -> Result<u64, StoreError> {
        let index = changing.index();
        let blob = if index.blob(&hash).is_some() { 0 } else { cost(len) };
        if index.claim(&promise.client, &hash).is_some() {
            return Ok(blob);
        }
        if index.claim_count() >= self.options.claim_count_max {
            return Err(StoreError::TooManyClaims { count_max: self.options.claim_count_max });
        }
        let free = self.options.client_quota.saturating_sub(index.used_by(&promise.client));
        if len > free {
            return Err(StoreError::Full { need: len, free });
        }
        Ok(blob.saturating_add(STORE_CLAIM_COST))
    }

    /// Evicts lapsed blobs, oldest-lapsed first, until `need` bytes are free; none if that cannot be reached.
    fn make_room(
        &self,
        changing: &mut Changing<'_>,
        wanted: BlobHash,
        need: u64,
        now: Timestamp,
    ) -> Result<Vec<BlobHash>, StoreError> {
        let index = changing.index();
        let mut free = self.options.quota.saturating_sub(index.used());
        let mut evicted = Vec::new();
        let mut lapsed = index.lapsed(now).filter(|(hash, _)| *hash != wanted);
        while free < need {
            let Some((hash, freed)) = lapsed.next() else { return Err(StoreError::Full { need, free }) };
            free = free.saturating_add(freed);
            evicted.push(hash);
        }
        drop(lapsed);
        for hash in &evicted {
            changing.record(Record::Evict { hash: *hash });
        }
        Ok(evicted)
    }

    /// Extends or adds one claim on a blob that is here.
    pub(super) fn renew_one(
        &self,
        changing: &mut Changing<'_>,
        hash: BlobHash,
        promise: &Promise,
    ) -> Result<Claim, StoreError> {
        let blob = changing.index().blob(&hash).filter(|blob| !blob.damaged);
        let len = blob.ok_or(StoreError::NotFound { hash })?.len;
        let need = self.need(changing, hash, len, promise)?;
        let free = self.options.quota.saturating_sub(changing.index().used());
        if need > free {
            return Err(StoreError::Full { need, free });
        }
        record_claim(changing, hash, len, None, promise)
    }

    /// Whether a blob of `len` bytes would be taken now, without setting room aside.
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub fn would_take(&self, hash: BlobHash, len: u64, promise: &Promise) -> Result<(), StoreError> {
        let now = self.observe();
        let (outcome, _) = self.ledger.change(|changing| {
            check_order(changing, hash, promise)?;
            let need = self.need(changing, hash, len, promise)?;
            let index = changing.index();
            let mut free = self.options.quota.saturating_sub(index.used());
            let mut lapsed = index.lapsed(now);
            while free < need {
                let Some((_, freed)) = lapsed.next() else { return Err(StoreError::Full { need, free }) };
                free = free.saturating_add(freed);
            }
            Ok(())
        });
        outcome
    }
}

/// Refuses a change that was undone since.
fn check_order(changing: &Changing<'_>, hash: BlobHash, promise: &Promise) -> Result<(), StoreError> {
    let Promise { client, change, .. } = promise;
    if !changing.has_room() {
        return Err(StoreError::Busy);
    }
    match changing.index().order(client, &hash, *change) {
        Order::TooMany => Err(StoreError::Busy),
        Order::Old { newest } if changing.index().claim(client, &hash).is_none() => {
            Err(StoreError::Stale { hash, at: change.at, newest })
        }
        Order::New | Order::Old { .. } => Ok(()),
    }
}

/// Makes or extends a claim. One that is not newer than the claim's newest change leaves it as it is.
pub(super) fn record_claim(
    changing: &mut Changing<'_>,
    hash: BlobHash,
    len: u64,
    checksum: Option<Checksum>,
    promise: &Promise,
) -> Result<Claim, StoreError> {
    check_order(changing, hash, promise)?;
    let Promise { client, change, expires } = *promise;
    if changing.index().order(&client, &hash, change) == Order::New {
        changing.record(Record::Claim { hash, client, len, expires, change, checksum });
    }
    changing.index().claim(&client, &hash).ok_or(StoreError::NotFound { hash })
}

/// Drops a claim, unless the delete is not newer than what was done to it.
///
/// Within one second the order of changes cannot be told from their times: then a delete counts in the order of its
/// arrival, and once only, however often and however late it is repeated.
pub(super) fn record_drop(
    changing: &mut Changing<'_>,
    hash: BlobHash,
    client: ClientId,
    change: Change,
) -> Result<Claim, StoreError> {
    let index = changing.index();
    let Some(claim) = index.claim(&client, &hash) else { return Err(StoreError::NotFound { hash }) };
    match index.order(&client, &hash, change) {
        Order::Old { newest } => return Err(StoreError::Stale { hash, at: change.at, newest }),
        Order::TooMany => return Err(StoreError::Busy),
        Order::New if !index.can_drop() || !changing.has_room() => return Err(StoreError::Busy),
        Order::New => {}
    }
    changing.record(Record::Drop { hash, client, change });
    Ok(claim)
}
