//! What all uploads of one operation share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{Exchange, Receipt, StoreOptions};
use crate::client::monitor::Monitor;
use crate::client::placement::{Avoid, Placement};
use crate::client::race::Races;
use crate::client::upload::pack::PackUpload;
use crate::client::upload::strays::Strays;
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
    races: Races,
    strays: Strays,
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
    down: BTreeSet<ProviderId>,
    /// Copies of which the user was told that they may stay.
    told: BTreeSet<(ProviderId, BlobHash)>,
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
        let (races, strays) = (Races::new(exchange.clone()), Strays::new(exchange.clone()));
        let (journal, purpose, state) = Default::default();
        let placement = Arc::new(placement);
        Self { exchange, monitor, placement, keep_until, journal, purpose, races, strays, state }
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
        let suspect = self.races.suspects();
        let turn = {
            let mut state = self.state();
            state.packs += 1;
            let avoid = Avoid { suspect, down: state.down.clone() };
            self.placement.turn(state.packs, &avoid)
        };
        PackUpload::new(self, &shards).run(&turn).await
    }

    /// Stores one shard at one provider.
    pub(crate) async fn store_shard(
        &self,
        shard: ShardIndex,
        (hash, blob): (BlobHash, Bytes),
        provider: ProviderId,
    ) -> Result<Kept, Failure> {
        let receipt = store_one(&self.exchange, provider, Some(hash), blob, self.keep_until, || {}).await?;
        Ok(self.count(shard, provider, &receipt))
    }

    /// Stores one blob at one provider, outside any pack.
    pub(crate) async fn store_at(&self, provider: ProviderId, blob: Bytes) -> Result<(), Failure> {
        let hash = BlobHash::of(&blob);
        self.note(PackId::new([0; PackId::LEN]), ShardIndex(0), hash, provider);
        let receipt = store_one(&self.exchange, provider, Some(hash), blob, self.keep_until, || {}).await?;
        self.count(ShardIndex(0), provider, &receipt);
        Ok(())
    }

    /// Writes down what is about to be sent.
    pub(super) fn note(&self, pack: PackId, shard: ShardIndex, hash: BlobHash, provider: ProviderId) {
        let part = match self.purpose {
            Purpose::Other => return,
            Purpose::Pack => Part::Shard { pack, shard },
            Purpose::Head(counter) => Part::Manifest { counter },
        };
        if let Some(journal) = &self.journal {
            journal.note(part, provider, hash);
        }
    }

    /// Waits a moment for copies that came too late to be deleted, and says where some may have stayed.
    pub(crate) async fn settle(&self) {
        let left = self.strays.settle().await;
        for (provider, hash) in left {
            if self.state().told.insert((provider, hash)) {
                let provider = provider.short();
                self.monitor.note(&format!(
                    "a shard that provider {provider} may have got too late was stored elsewhere; a prune deletes it"
                ));
            }
        }
    }

    pub(super) fn races(&self) -> &Races {
        &self.races
    }

    pub(super) fn strays(&self) -> &Strays {
        &self.strays
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    pub(super) fn keep_until(&self) -> Timestamp {
        self.keep_until
    }

    pub(super) fn is_down(&self, provider: &ProviderId) -> bool {
        self.state().down.contains(provider)
    }

    /// The best provider that was sent no shard of this pack and has not failed.
    pub(crate) fn spare(&self, taken: &BTreeSet<ProviderId>) -> Option<ProviderId> {
        let suspect = self.races.all_suspects();
        let avoid = Avoid { suspect, down: self.state().down.clone() };
        self.placement.spare(taken, &avoid)
    }

    pub(super) fn count(&self, shard: ShardIndex, provider: ProviderId, receipt: &Receipt) -> Kept {
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
        let is_new = state.down.insert(failure.provider);
        state.failures.push(failure.clone());
        drop(state);
        if is_new {
            self.monitor.failed(failure);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores one blob; a receipt that promises too little is a failure.
pub(super) async fn store_one(
    exchange: &Exchange,
    provider: ProviderId,
    hash: Option<BlobHash>,
    blob: Bytes,
    keep_until: Timestamp,
    begin: impl FnOnce(),
) -> Result<Receipt, Failure> {
    let options = StoreOptions { hash, ..StoreOptions::default() };
    let receipt = exchange.store_begun(provider, blob, options, begin).await;
    let receipt = receipt.map_err(|error| Failure::new(provider, None, &error))?;
    if receipt.expires < keep_until {
        let short: Duration = keep_until.since(receipt.expires);
        let why = format!("promises {} days less than asked for", short.as_secs().div_ceil(86_400));
        return Err(Failure { provider, pack: None, why, corrupt: false });
    }
    Ok(receipt)
}
