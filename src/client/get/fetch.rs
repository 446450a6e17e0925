//! One pack from its shards: any k of them, from the providers that promise the most; a shard that is missing or wrong
//! is blamed on its provider and made up for by another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{Exchange, ExchangeError};
use crate::client::monitor::Monitor;
use crate::client::roster::{PROBE_DEADLINE, Roster};
use crate::format::Coding;
use crate::format::pack::VerifiedShard;
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex};

/// A provider that promised a shard.
pub(crate) type Holder = (ShardIndex, ProviderId);

/// Fetches packs. Cheap to clone; clones share what was learned about providers.
#[derive(Clone)]
pub(crate) struct Fetcher {
    exchange: Exchange,
    monitor: Arc<dyn Monitor>,
    /// How fast those answered that did.
    latencies: Arc<BTreeMap<ProviderId, Duration>>,
    /// Providers that the user wants asked first.
    preferred: Arc<BTreeSet<ProviderId>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Fetches under way.
    load: BTreeMap<ProviderId, usize>,
    /// Providers that failed in this run: asked when nobody else is left.
    demoted: BTreeSet<ProviderId>,
    failures: Vec<Failure>,
}

impl Fetcher {
    pub(crate) fn new(
        roster: &Roster,
        preferred: BTreeSet<ProviderId>,
        exchange: Exchange,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        let latencies = roster.members.iter().map(|(provider, member)| (*provider, member.latency)).collect();
        let (latencies, preferred) = (Arc::new(latencies), Arc::new(preferred));
        Self { exchange, monitor, latencies, preferred, state: Arc::default() }
    }

    /// What providers failed at so far.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.state().failures.clone()
    }

    /// Fetches and verifies as many shards of a pack as are enough.
    ///
    /// # Errors
    /// [`ClientError::TooFewShards`] when no holder is left to ask.
    pub(crate) async fn shards(
        &self,
        pack: PackId,
        coding: &Coding,
        holders: &[Holder],
    ) -> Result<Vec<VerifiedShard>, ClientError> {
        let need = usize::from(coding.scheme.need());
        let mut untried: Vec<_> = holders.to_vec();
        let mut asked: BTreeSet<ShardIndex> = BTreeSet::new();
        let mut intact: Vec<VerifiedShard> = Vec::with_capacity(need);
        let mut failures = Vec::new();
        let mut fetches = JoinSet::new();
        loop {
            while intact.len() + fetches.len() < need {
                let Some((shard, provider)) = self.take_best(&mut untried, &asked) else { break };
                let Some(name) = coding.shards.get(shard.as_usize()) else { continue };
                asked.insert(shard);
                *self.state().load.entry(provider).or_default() += 1;
                let (fetcher, hash, len) = (self.clone(), name.hash, u64::from(coding.shard_len()));
                fetches.spawn(async move { (shard, provider, fetcher.fetch(provider, hash, len).await) });
            }
            let Some(done) = fetches.join_next().await else { break };
            let (shard, provider, result) = done.expect("a fetch neither panics nor is aborted here");
            match self.verified(shard, provider, pack, coding, result) {
                Ok(shard) => intact.push(shard),
                Err(failure) => {
                    // Another holder of the same shard may be asked.
                    asked.remove(&shard);
                    failures.push(failure);
                }
            }
        }
        if intact.len() < need {
            return Err(ClientError::TooFewShards { pack, have: intact.len(), need, failures });
        }
        Ok(intact)
    }

    /// Fetches one blob. A provider that has not answered in this run is first asked whether it is there: all the
    /// patience that a transfer deserves would be wasted on it.
    async fn fetch(&self, provider: ProviderId, hash: BlobHash, len: u64) -> Result<Bytes, ExchangeError> {
        if !self.latencies.contains_key(&provider) {
            self.exchange.probe(provider, PROBE_DEADLINE).await?;
        }
        self.exchange.fetch(provider, hash, Some(len)).await
    }

    /// Takes the holder that promises most out of `untried`, among those whose shard is not asked for yet.
    fn take_best(&self, untried: &mut Vec<Holder>, asked: &BTreeSet<ShardIndex>) -> Option<Holder> {
        let state = self.state();
        let rank = |(shard, provider): &Holder| {
            let load = state.load.get(provider).copied().unwrap_or(0);
            let answered = self.latencies.contains_key(provider);
            let preferred = self.preferred.contains(provider);
            (Reverse((!state.demoted.contains(provider), answered, preferred)), load, *shard, *provider)
        };
        let best = (0..untried.len())
            .filter(|index| !asked.contains(&untried[*index].0))
            .min_by_key(|index| rank(&untried[*index]))?;
        drop(state);
        Some(untried.swap_remove(best))
    }

    fn verified(
        &self,
        shard: ShardIndex,
        provider: ProviderId,
        pack: PackId,
        coding: &Coding,
        fetched: Result<Bytes, ExchangeError>,
    ) -> Result<VerifiedShard, Failure> {
        if let Some(load) = self.state().load.get_mut(&provider) {
            *load -= 1;
        }
        let failure = match fetched {
            Ok(bytes) => {
                let len = bytes.len() as u64;
                match coding.verify(shard, bytes) {
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
        let is_new = state.demoted.insert(provider);
        state.failures.push(failure.clone());
        drop(state);
        if is_new {
            self.monitor.failed(&failure);
        }
        Err(failure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
