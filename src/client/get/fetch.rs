//! Packs from their shards, from the providers that promise the most. A shard that is missing or wrong is blamed on its
//! provider and made up for by others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{Exchange, ExchangeError};
use crate::client::get::hunt::Hunt;
use crate::client::monitor::Monitor;
use crate::client::race::{Races, Runner};
use crate::client::roster::{Member, PROBE_DEADLINE, Roster};
use crate::format::Coding;
use crate::format::pack::VerifiedShard;
use crate::types::{Blob, BlobHash, PackId, ProviderId, ShardIndex};
use crate::vault::Blemish;
use crate::wire::ErrorCode;

/// A provider that promised a shard.
pub(crate) type Holder = (ShardIndex, ProviderId);

/// A parity shard is asked for where all who hold data shards have so many fetches more under way: data shards are the
/// pack as it is, and need no decoding.
const PARITY_LOAD: usize = 4;

/// Fetches packs. Cheap to clone; clones share what was learned about providers.
#[derive(Clone)]
pub(crate) struct Fetcher {
    exchange: Exchange,
    monitor: Arc<dyn Monitor>,
    /// How fast those answered that did.
    latencies: Arc<BTreeMap<ProviderId, Duration>>,
    /// Providers that the user wants asked first.
    preferred: Arc<BTreeSet<ProviderId>>,
    /// Providers that the user wants nothing to do with: asked when nobody else is left.
    banned: Arc<BTreeSet<ProviderId>>,
    races: Races,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Fetches under way.
    load: BTreeMap<ProviderId, usize>,
    /// Providers that failed in this run: asked when nobody else is left.
    demoted: BTreeSet<ProviderId>,
    failures: Vec<Failure>,
    blemishes: BTreeSet<Blemish>,
}

/// A fetch that counts as under way until it is dropped.
pub(super) struct Load {
    state: Arc<Mutex<State>>,
    provider: ProviderId,
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(load) = lock(&self.state).load.get_mut(&self.provider) {
            *load -= 1;
        }
    }
}

impl Fetcher {
    pub(crate) fn new(
        roster: &Roster,
        preferred: BTreeSet<ProviderId>,
        exchange: Exchange,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        let latencies = roster.members.iter().map(|(provider, member)| (*provider, member.latency)).collect();
        let is_banned = |(_, member): &(&ProviderId, &Member)| !member.is_usable();
        let banned = roster.members.iter().filter(is_banned).map(|(provider, _)| *provider).collect();
        let (latencies, preferred, banned) = (Arc::new(latencies), Arc::new(preferred), Arc::new(banned));
        let races = Races::new(exchange.clone());
        Self { exchange, monitor, latencies, preferred, banned, races, state: Arc::default() }
    }

    /// What providers failed at so far.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.state().failures.clone()
    }

    /// Fetches and verifies as many shards of a pack as are enough for all of it.
    ///
    /// # Errors
    /// [`ClientError::TooFewShards`] when no holder is left to ask.
    pub(crate) async fn shards(
        &self,
        pack: PackId,
        coding: &Coding,
        holders: &[Holder],
    ) -> Result<Vec<VerifiedShard>, ClientError> {
        Hunt::new(self, pack, coding, holders).run().await
    }

    /// Fetches and verifies the data shards `wanted` of a pack, where those who hold them answer and have not failed;
    /// otherwise as many others as are enough for all of it.
    ///
    /// # Errors
    /// [`ClientError::TooFewShards`] when no holder is left to ask.
    pub(crate) async fn some_shards(
        &self,
        wanted: &BTreeSet<ShardIndex>,
        pack: PackId,
        coding: &Coding,
        holders: &[Holder],
    ) -> Result<Vec<VerifiedShard>, ClientError> {
        Hunt::new(self, pack, coding, holders).narrow(wanted).run().await
    }

    /// Shards that providers promised, and that were found missing or wrong there so far.
    pub(crate) fn blemishes(&self) -> Vec<Blemish> {
        self.state().blemishes.iter().copied().collect()
    }

    pub(super) fn races(&self) -> &Races {
        &self.races
    }

    /// Counts one more fetch as under way.
    pub(super) fn load(&self, provider: ProviderId) -> Load {
        *self.state().load.entry(provider).or_default() += 1;
        Load { state: self.state.clone(), provider }
    }

    /// Fetches one blob. A provider that has not answered in this run is first asked whether it is there: all the
    /// patience that a transfer deserves would be wasted on it.
    pub(super) async fn fetch(
        &self,
        provider: ProviderId,
        hash: BlobHash,
        len: u64,
        runner: &Runner,
    ) -> Result<Blob, ExchangeError> {
        if !self.latencies.contains_key(&provider) {
            runner.begin();
            self.exchange.probe(provider, PROBE_DEADLINE).await?;
        }
        self.exchange.fetch_begun(provider, hash, Some(len), || runner.begin()).await
    }

    /// Whether the provider has answered in this run, and was neither late nor wrong since.
    pub(super) fn is_likely(&self, provider: &ProviderId) -> bool {
        let is_good = self.latencies.contains_key(provider) && !self.banned.contains(provider);
        is_good && !self.state().demoted.contains(provider) && !self.races.is_suspect(provider)
    }

    /// The key of the holder that promises most. Shards from `need` on are parity.
    pub(super) fn best<K>(&self, holders: Vec<(K, Holder)>, need: u8) -> Option<K> {
        let (suspects, state) = (self.races.all_suspects(), self.state());
        let rank = |(_, (shard, provider)): &(K, Holder)| {
            let load = state.load.get(provider).copied().unwrap_or(0);
            let answered = self.latencies.contains_key(provider);
            let is_bad = (self.banned.contains(provider), state.demoted.contains(provider));
            let is_slow = (!answered, suspects.contains(provider));
            let load = load + if shard.0 < need { 0 } else { PARITY_LOAD };
            (is_bad, is_slow, !self.preferred.contains(provider), load, *shard, *provider)
        };
        holders.into_iter().min_by_key(rank).map(|(key, _)| key)
    }

    /// Judges what has come, and blames the provider where it is not the shard.
    pub(super) fn verified(
        &self,
        (shard, provider): Holder,
        pack: PackId,
        coding: &Coding,
        fetched: Result<Blob, ExchangeError>,
    ) -> Result<VerifiedShard, Failure> {
        let code = fetched.as_ref().err().and_then(ExchangeError::code);
        let is_missing = matches!(code, Some(ErrorCode::FileNotFound | ErrorCode::ChunkMissing));
        // It says itself that what it has is not the shard any more.
        let is_spoilt = matches!(code, Some(ErrorCode::IntegrityFailed));
        let failure = match fetched {
            Ok(blob) => {
                let len = blob.bytes().len() as u64;
                match coding.verify(shard, blob) {
                    Ok(verified) => {
                        self.monitor.advance(len);
                        return Ok(verified);
                    }
                    Err(error) => {
                        Failure { provider, pack: Some(pack), why: error.to_string(), corrupt: true }
                    }
                }
            }
            Err(error) => Failure::new(provider, Some(pack), &error),
        };
        let mut state = self.state();
        let is_corrupt = is_spoilt || failure.corrupt;
        if is_missing || is_corrupt {
            state.blemishes.insert(Blemish { pack, shard, provider, is_corrupt });
        }
        let is_new = state.demoted.insert(provider);
        state.failures.push(failure.clone());
        drop(state);
        if is_new {
            self.monitor.failed(&failure);
        }
        Err(failure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
