//! One pack from its shards: any k of them, from the providers that promise the most, or the few data shards in which
//! the wanted bytes lie. A shard that is missing or wrong is blamed on its provider and made up for by others.

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

/// The search for shards of one pack.
struct Hunt<'a> {
    pack: PackId,
    coding: &'a Coding,
    untried: Vec<Holder>,
    /// Shards that are here, or on their way.
    asked: BTreeSet<ShardIndex>,
    intact: Vec<VerifiedShard>,
    failures: Vec<Failure>,
}

impl<'a> Hunt<'a> {
    fn new(pack: PackId, coding: &'a Coding, holders: &[Holder]) -> Self {
        let (asked, intact, failures) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { pack, coding, untried: holders.to_vec(), asked, intact, failures }
    }

    fn enough_for_all(self) -> Result<Vec<VerifiedShard>, ClientError> {
        let Self { pack, coding, intact, failures, .. } = self;
        let (have, need) = (intact.len(), usize::from(coding.scheme.need()));
        if have < need { Err(ClientError::TooFewShards { pack, have, need, failures }) } else { Ok(intact) }
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
        let (latencies, preferred) = (Arc::new(latencies), Arc::new(preferred));
        Self { exchange, monitor, latencies, preferred, state: Arc::default() }
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
        let mut hunt = Hunt::new(pack, coding, holders);
        self.hunt(&mut hunt, usize::from(coding.scheme.need()), |_| true).await;
        hunt.enough_for_all()
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
        let mut hunt = Hunt::new(pack, coding, holders);
        let is_likely = |(shard, provider): &Holder| wanted.contains(shard) && self.is_likely(provider);
        let likely: BTreeSet<_> =
            holders.iter().filter(|holder| is_likely(holder)).map(|(shard, _)| shard).collect();
        if likely.len() == wanted.len() {
            self.hunt(&mut hunt, wanted.len(), is_likely).await;
            if hunt.intact.len() == wanted.len() {
                return Ok(hunt.intact);
            }
        }
        self.hunt(&mut hunt, usize::from(coding.scheme.need()), |_| true).await;
        hunt.enough_for_all()
    }

    /// Asks the holders that `may` be asked, best first, until `count` shards are there or nobody is left.
    async fn hunt(&self, hunt: &mut Hunt<'_>, count: usize, may: impl Fn(&Holder) -> bool) {
        let (pack, coding) = (hunt.pack, hunt.coding);
        let mut fetches = JoinSet::new();
        loop {
            while hunt.intact.len() + fetches.len() < count {
                let Some((shard, provider)) = self.take_best(hunt, &may) else { break };
                let Some(name) = coding.shards.get(shard.as_usize()) else { continue };
                hunt.asked.insert(shard);
                *self.state().load.entry(provider).or_default() += 1;
                let (fetcher, hash, len) = (self.clone(), name.hash, u64::from(coding.shard_len()));
                fetches.spawn(async move { (shard, provider, fetcher.fetch(provider, hash, len).await) });
            }
            let Some(done) = fetches.join_next().await else { break };
            let (shard, provider, result) = done.expect("a fetch neither panics nor is aborted here");
            match self.verified(shard, provider, pack, coding, result) {
                Ok(shard) => hunt.intact.push(shard),
                Err(failure) => {
                    // Another holder of the same shard may be asked.
                    hunt.asked.remove(&shard);
                    hunt.failures.push(failure);
                }
            }
        }
    }

    /// Fetches one blob. A provider that has not answered in this run is first asked whether it is there: all the
    /// patience that a transfer deserves would be wasted on it.
    async fn fetch(&self, provider: ProviderId, hash: BlobHash, len: u64) -> Result<Bytes, ExchangeError> {
        if !self.latencies.contains_key(&provider) {
            self.exchange.probe(provider, PROBE_DEADLINE).await?;
        }
        self.exchange.fetch(provider, hash, Some(len)).await
    }

    /// Whether the provider has answered in this run, and not failed since.
    fn is_likely(&self, provider: &ProviderId) -> bool {
        self.latencies.contains_key(provider) && !self.state().demoted.contains(provider)
    }

    /// Takes the holder that promises most out of those who `may` be asked and whose shard is not asked for yet.
    fn take_best(&self, hunt: &mut Hunt<'_>, may: impl Fn(&Holder) -> bool) -> Option<Holder> {
        let open: Vec<usize> = (0..hunt.untried.len())
            .filter(|index| !hunt.asked.contains(&hunt.untried[*index].0) && may(&hunt.untried[*index]))
            .collect();
        let state = self.state();
        let rank = |(shard, provider): &Holder| {
            let load = state.load.get(provider).copied().unwrap_or(0);
            let answered = self.latencies.contains_key(provider);
            let preferred = self.preferred.contains(provider);
            (Reverse((!state.demoted.contains(provider), answered, preferred)), load, *shard, *provider)
        };
        let best = open.into_iter().min_by_key(|index| rank(&hunt.untried[*index]))?;
        drop(state);
        Some(hunt.untried.swap_remove(best))
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
