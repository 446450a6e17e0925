//! Packs out to providers: every shard to a provider of its own, each with a receipt; a provider that refuses or is
//! silent is replaced by another if there is one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{Exchange, Receipt, StoreOptions};
use crate::client::monitor::Monitor;
use crate::client::placement::{Avoid, Placement};
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex, Timestamp};
use crate::vault::{Part, Unfinished};

/// The shards of one pack, ready to be sent.
pub(crate) struct Shards {
    /// The pack, for errors and logs. The manifest's own packs have a random one.
    pub(crate) pack: PackId,
    /// The shards, by index, each with its name.
    pub(crate) blobs: Vec<(BlobHash, Bytes)>,
}

/// A shard that a provider promised to keep.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) shard: ShardIndex,
    pub(crate) provider: ProviderId,
    pub(crate) hash: BlobHash,
    pub(crate) expires: Timestamp,
}

/// What all uploads of one put share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Uploader {
    exchange: Exchange,
    monitor: Arc<dyn Monitor>,
    placement: Arc<Placement>,
    /// Receipts must promise at least until then.
    keep_until: Timestamp,
    /// Where what is sent is written down before it leaves.
    journal: Option<Arc<Unfinished>>,
    purpose: Purpose,
    state: Arc<Mutex<State>>,
}

/// What will name what is sent. Only what is known to be a stray until it is named may be written down as one.
#[derive(Debug, Clone, Copy, Default)]
enum Purpose {
    /// Something else, or it is named already: it is not written down.
    #[default]
    Other,
    /// The record of a new pack.
    Pack,
    /// The head of this number, of this device.
    Head(u64),
}

#[derive(Default)]
struct State {
    /// Providers that failed in this run, and get nothing more.
    avoid: Avoid,
    failures: Vec<Failure>,
    packs: usize,
    tally: Tally,
}

/// What was receipted in this run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Who keeps them.
    pub providers: BTreeSet<ProviderId>,
    /// When the first promise lapses.
    pub first_lapse: Option<Timestamp>,
}

impl Uploader {
    pub(crate) fn new(
        placement: Placement,
        keep_until: Timestamp,
        exchange: Exchange,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        let (journal, purpose, state) = Default::default();
        Self { exchange, monitor, placement: Arc::new(placement), keep_until, journal, purpose, state }
    }

    /// The same, which can write down in `journal` what it sends.
    pub(crate) fn journaled(self, journal: Arc<Unfinished>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// One that stores new packs, and writes them down: whoever uses it settles in the journal what was recorded.
    pub(crate) fn for_packs(&self) -> Self {
        Self { purpose: Purpose::Pack, ..self.clone() }
    }

    /// One that stores what this device's head of this number will name, and writes it down.
    pub(crate) fn for_head(&self, counter: u64) -> Self {
        Self { purpose: Purpose::Head(counter), ..self.clone() }
    }

    /// What was receipted so far.
    pub(crate) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// Providers' failures so far.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.state().failures.clone()
    }

    /// Stores every shard at a provider of its own; done when all have receipts.
    ///
    /// # Errors
    /// [`ClientError::SpreadNotReached`] when a provider failed and no spare is left; then the shards of this pack
    /// that were stored are deleted again, as far as possible.
    pub(crate) async fn store(&self, shards: Shards) -> Result<Vec<Kept>, ClientError> {
        let number = {
            let mut state = self.state();
            state.packs += 1;
            state.packs
        };
        let wanted = shards.blobs.len();
        let mut taken = BTreeSet::new();
        let mut sending = JoinSet::new();
        let turn = self.placement.turn(number, &self.state().avoid);
        for (index, (hash, blob)) in (0..).map(ShardIndex).zip(&shards.blobs) {
            match turn.get(index.as_usize()).copied() {
                Some(provider) => {
                    taken.insert(provider);
                    self.note(shards.pack, index, *hash, provider);
                    self.send(index, *hash, blob.clone(), provider, &mut sending);
                }
                None => return Err(self.give_up(&shards, Vec::new(), sending).await),
            }
        }
        let mut kept = Vec::with_capacity(wanted);
        while let Some(done) = sending.join_next().await {
            let (index, provider, result) = done.expect("an upload neither panics nor is aborted here");
            match result {
                Ok(receipt) => kept.push(self.count(index, provider, &receipt)),
                Err(failure) => {
                    self.blame(&Failure { pack: Some(shards.pack), ..failure });
                    let Some(other) = self.spare(&taken) else {
                        return Err(self.give_up(&shards, kept, sending).await);
                    };
                    taken.insert(other);
                    let (hash, blob) = shards.blobs[index.as_usize()].clone();
                    self.note(shards.pack, index, hash, other);
                    self.send(index, hash, blob, other, &mut sending);
                }
            }
        }
        kept.sort_by_key(|kept| kept.shard);
        Ok(kept)
    }

    /// Stores one shard at one provider.
    pub(crate) async fn store_shard(
        &self,
        shard: ShardIndex,
        (hash, blob): (BlobHash, Bytes),
        provider: ProviderId,
    ) -> Result<Kept, Failure> {
        let receipt = store_one(&self.exchange, provider, Some(hash), blob, self.keep_until).await?;
        Ok(self.count(shard, provider, &receipt))
    }

    /// Stores one blob at one provider, outside any pack.
    pub(crate) async fn store_at(&self, provider: ProviderId, blob: Bytes) -> Result<(), Failure> {
        let hash = BlobHash::of(&blob);
        self.note(PackId::new([0; PackId::LEN]), ShardIndex(0), hash, provider);
        let receipt = store_one(&self.exchange, provider, Some(hash), blob, self.keep_until).await?;
        self.count(ShardIndex(0), provider, &receipt);
        Ok(())
    }

    /// Writes down what is about to be sent.
    fn note(&self, pack: PackId, shard: ShardIndex, hash: BlobHash, provider: ProviderId) {
        let part = match self.purpose {
            Purpose::Other => return,
            Purpose::Pack => Part::Shard { pack, shard },
            Purpose::Head(counter) => Part::Manifest { counter },
        };
        if let Some(journal) = &self.journal {
            journal.note(part, provider, hash);
        }
    }

    fn send(
        &self,
        index: ShardIndex,
        hash: BlobHash,
        blob: Bytes,
        provider: ProviderId,
        sending: &mut JoinSet<(ShardIndex, ProviderId, Result<Receipt, Failure>)>,
    ) {
        let (exchange, keep_until) = (self.exchange.clone(), self.keep_until);
        sending.spawn(async move {
            (index, provider, store_one(&exchange, provider, Some(hash), blob, keep_until).await)
        });
    }

    /// The next provider that has no shard of this pack and has not failed.
    pub(crate) fn spare(&self, taken: &BTreeSet<ProviderId>) -> Option<ProviderId> {
        self.placement.spare(taken, &self.state().avoid)
    }

    fn count(&self, shard: ShardIndex, provider: ProviderId, receipt: &Receipt) -> Kept {
        let mut state = self.state();
        let tally = &mut state.tally;
        tally.blobs += 1;
        tally.bytes += receipt.size;
        tally.providers.insert(provider);
        tally.first_lapse =
            Some(tally.first_lapse.map_or(receipt.expires, |first| first.min(receipt.expires)));
        drop(state);
        self.monitor.advance(receipt.size);
        Kept { shard, provider, hash: receipt.hash, expires: receipt.expires }
    }

    pub(crate) fn blame(&self, failure: &Failure) {
        let mut state = self.state();
        let is_new = state.avoid.down.insert(failure.provider);
        state.failures.push(failure.clone());
        drop(state);
        if is_new {
            self.monitor.failed(failure);
        }
    }

    /// Ends a pack that cannot reach its spread: nothing of it is to stay behind.
    async fn give_up(
        &self,
        shards: &Shards,
        mut kept: Vec<Kept>,
        mut sending: JoinSet<(ShardIndex, ProviderId, Result<Receipt, Failure>)>,
    ) -> ClientError {
        while let Some(done) = sending.join_next().await {
            if let Ok((index, provider, Ok(receipt))) = done {
                kept.push(self.count(index, provider, &receipt));
            }
        }
        for stray in &kept {
            if let Err(error) = self.exchange.delete(stray.provider, &[stray.hash]).await {
                tracing::debug!(provider = %stray.provider.short(), %error, "a stray shard stays until it lapses");
            }
        }
        let failures = self.failures();
        ClientError::SpreadNotReached {
            pack: shards.pack,
            have: kept.len(),
            wanted: shards.blobs.len(),
            failures,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores one blob; a receipt that promises too little is a failure.
async fn store_one(
    exchange: &Exchange,
    provider: ProviderId,
    hash: Option<BlobHash>,
    blob: Bytes,
    keep_until: Timestamp,
) -> Result<Receipt, Failure> {
    let receipt = exchange.store(provider, blob, StoreOptions { hash, ..StoreOptions::default() }).await;
    let receipt = receipt.map_err(|error| Failure::new(provider, None, &error))?;
    if receipt.expires < keep_until {
        let short: Duration = keep_until.since(receipt.expires);
        let why = format!("promises {} days less than asked for", short.as_secs().div_ceil(86_400));
        return Err(Failure { provider, pack: None, why, corrupt: false });
    }
    Ok(receipt)
}
