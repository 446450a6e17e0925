//! The search for the shards of one pack: any k of them, or the few data shards in which the wanted bytes lie. A shard
//! that is missing, wrong or late is made up for by others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::ExchangeError;
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::race::Runner;
use crate::format::Coding;
use crate::format::pack::VerifiedShard;
use crate::types::{Blob, PackId, ShardIndex};

/// The search for shards of one pack. Fetches that are under way end with it.
pub(super) struct Hunt<'a> {
    fetcher: &'a Fetcher,
    pack: PackId,
    coding: &'a Coding,
    untried: Vec<Holder>,
    /// Data shards that would do; `None` if all of the pack is wanted.
    wanted: Option<BTreeSet<ShardIndex>>,
    /// True while only the wanted shards are asked for.
    is_narrow: bool,
    under_way: BTreeMap<Holder, UnderWay>,
    tasks: JoinSet<Fetched>,
    intact: BTreeMap<ShardIndex, VerifiedShard>,
    failures: Vec<Failure>,
}

type Fetched = (Holder, Result<Blob, ExchangeError>);

struct UnderWay {
    runner: Arc<Runner>,
    /// Whether it was found late: then others are asked, as if it would never come.
    is_late: bool,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(fetcher: &'a Fetcher, pack: PackId, coding: &'a Coding, holders: &[Holder]) -> Self {
        let (under_way, tasks, intact, failures) = Default::default();
        let untried = holders.to_vec();
        let (wanted, is_narrow) = (None, false);
        Self { fetcher, pack, coding, untried, wanted, is_narrow, under_way, tasks, intact, failures }
    }

    /// Asks first only for the data shards `wanted`, if those who hold them answer and have not failed.
    pub(super) fn narrow(mut self, wanted: &BTreeSet<ShardIndex>) -> Self {
        let is_likely =
            |(shard, provider): &&Holder| wanted.contains(shard) && self.fetcher.is_likely(provider);
        let likely: BTreeSet<_> = self.untried.iter().filter(is_likely).map(|(shard, _)| *shard).collect();
        self.is_narrow = likely == *wanted;
        self.wanted = Some(wanted.clone());
        self
    }

    /// # Errors
    /// [`ClientError::TooFewShards`] when no holder is left to ask.
    pub(super) async fn run(mut self) -> Result<Vec<VerifiedShard>, ClientError> {
        let mut changes = self.fetcher.races().changes();
        while !self.is_done() {
            let wake = self.find_late();
            self.ask();
            if self.under_way.is_empty() {
                if self.is_narrow {
                    self.is_narrow = false;
                    continue;
                }
                break;
            }
            let late = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => self.take(done),
                _ = changes.changed() => {}
                () = late => {}
            }
        }
        if self.is_done() {
            return Ok(self.intact.into_values().collect());
        }
        let Self { pack, coding, intact, failures, .. } = self;
        let (have, need) = (intact.len(), usize::from(coding.scheme.need()));
        Err(ClientError::TooFewShards { pack, have, need, failures })
    }

    fn is_done(&self) -> bool {
        let has_wanted = |wanted: &BTreeSet<_>| wanted.iter().all(|shard| self.intact.contains_key(shard));
        self.intact.len() >= usize::from(self.coding.scheme.need())
            || self.wanted.as_ref().is_some_and(has_wanted)
    }

    /// Gives up hope in what is late. Returns when the next one will be.
    fn find_late(&mut self) -> Option<Instant> {
        let (now, races) = (Instant::now(), self.fetcher.races());
        let mut wake: Option<Instant> = None;
        for fetch in self.under_way.values_mut() {
            match fetch.runner.late_at() {
                _ if fetch.is_late => {}
                Some(at) if at > now => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Some(_) if races.may_race() => {
                    fetch.is_late = true;
                    fetch.runner.race();
                    self.is_narrow = false;
                }
                Some(_) | None => {}
            }
        }
        wake
    }

    /// Asks as many holders, best first, as may be enough.
    fn ask(&mut self) {
        let need = usize::from(self.coding.scheme.need());
        loop {
            let hopeful = self.under_way.values().filter(|fetch| !fetch.is_late).count();
            let is_enough = match &self.wanted {
                Some(wanted) if self.is_narrow => self.intact.len() + hopeful >= wanted.len(),
                _ => self.intact.len() + hopeful >= need,
            };
            if is_enough {
                return;
            }
            let Some((shard, provider)) = self.take_best() else { return };
            let Some(name) = self.coding.shards.get(shard.as_usize()) else { continue };
            let (fetcher, hash, len) = (self.fetcher.clone(), name.hash, u64::from(self.coding.shard_len()));
            let runner = fetcher.races().runner(provider, len);
            let (begun, load) = (runner.clone(), fetcher.load(provider));
            self.tasks.spawn(async move {
                let _load = load;
                ((shard, provider), fetcher.fetch(provider, hash, len, &begun).await)
            });
            self.under_way.insert((shard, provider), UnderWay { runner, is_late: false });
        }
    }

    /// Takes the holder that promises most, of a shard that is neither here nor hoped for.
    fn take_best(&mut self) -> Option<Holder> {
        let is_hoped_for = |shard: &ShardIndex| {
            let mut fetches = self.under_way.iter();
            fetches.any(|((asked, _), fetch)| asked == shard && !fetch.is_late)
        };
        let is_open = |(shard, provider): &Holder| {
            let is_free = !self.intact.contains_key(shard) && !is_hoped_for(shard);
            let is_wanted = self.wanted.as_ref().is_some_and(|wanted| wanted.contains(shard));
            is_free && (!self.is_narrow || (is_wanted && self.fetcher.is_likely(provider)))
        };
        let all = self.untried.iter().copied().enumerate();
        let open: Vec<_> = all.filter(|(_, holder)| is_open(holder)).collect();
        let best = self.fetcher.best(open, self.coding.scheme.need())?;
        Some(self.untried.swap_remove(best))
    }

    fn take(&mut self, done: Result<Fetched, JoinError>) {
        let ((shard, provider), result) = done.expect("a fetch neither panics nor is aborted here");
        let fetch = self.under_way.remove(&(shard, provider));
        match self.fetcher.verified((shard, provider), self.pack, self.coding, result) {
            Ok(verified) => {
                if let Some(fetch) = fetch {
                    fetch.runner.succeed();
                }
                self.intact.entry(shard).or_insert(verified);
            }
            Err(failure) => {
                self.is_narrow = false;
                self.failures.push(failure);
            }
        }
    }
}
