//! One pack on its way: a shard that is late is sent to a spare provider as well, and the first receipt counts. The
//! other copy is cut off and deleted, so that nothing stays that nobody names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::error::{ClientError, Failure};
use crate::client::exchange::Receipt;
use crate::client::race::Runner;
use crate::client::upload::uploader::{Kept, Shards, Uploader, store_one};
use crate::types::{ProviderId, ShardIndex};

/// How long a pack that has failed waits for what is still under way, and again for its deletion.
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(1);

/// How the sending of one shard to one provider ended.
type Sent = (ShardIndex, ProviderId, Result<Receipt, Failure>);

/// One pack on its way.
pub(super) struct PackUpload<'a> {
    uploader: &'a Uploader,
    shards: &'a Shards,
    /// Everybody who was sent a shard of this pack.
    taken: BTreeSet<ProviderId>,
    /// Who lost a race, and for which shard.
    cut_off: BTreeMap<ProviderId, ShardIndex>,
    under_way: BTreeMap<ProviderId, UnderWay>,
    tasks: JoinSet<Sent>,
    kept: BTreeMap<ShardIndex, Kept>,
}

struct UnderWay {
    shard: ShardIndex,
    runner: Arc<Runner>,
    /// Whether it was found late: then somebody else was asked, or nobody is left.
    is_late: bool,
    task: AbortHandle,
}

impl<'a> PackUpload<'a> {
    pub(super) fn new(uploader: &'a Uploader, shards: &'a Shards) -> Self {
        let (taken, cut_off, under_way, tasks, kept) = Default::default();
        Self { uploader, shards, taken, cut_off, under_way, tasks, kept }
    }

    /// Sends every shard, and waits until each has a receipt. The first ones go to the providers in `turn`.
    pub(super) async fn run(mut self, turn: &[ProviderId]) -> Result<Vec<Kept>, ClientError> {
        let wanted = self.shards.blobs.len();
        for index in (0..).map(ShardIndex).take(wanted) {
            match turn.get(index.as_usize()) {
                Some(provider) => self.send(index, *provider),
                None => return Err(self.give_up().await),
            }
        }
        let mut changes = self.uploader.races().changes();
        while self.kept.len() < wanted {
            let wake = self.race();
            let late = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => {
                    if self.take(done).is_none() {
                        return Err(self.give_up().await);
                    }
                }
                _ = changes.changed() => {}
                () = late => {}
            }
        }
        self.cut_off_all();
        Ok(self.kept.into_values().collect())
    }

    /// Sends shards that are late to spares as well. Returns when the next one will be late.
    fn race(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut wake: Option<Instant> = None;
        let mut late = Vec::new();
        for (provider, sending) in &self.under_way {
            match sending.runner.late_at() {
                _ if sending.is_late => {}
                Some(at) if at <= now => late.push(*provider),
                Some(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                None => {}
            }
        }
        for provider in late {
            let Some(spare) = self.uploader.spare(&self.taken) else { continue };
            // Whether the line is slow cannot be told yet; it changes as soon as anything is done.
            if !self.uploader.races().may_race() {
                break;
            }
            let Some(sending) = self.under_way.get_mut(&provider) else { continue };
            sending.is_late = true;
            let shard = sending.shard;
            sending.runner.race();
            tracing::debug!(late = %provider.short(), instead = %spare.short(), "a shard is sent to another too");
            self.send(shard, spare);
        }
        wake
    }

    fn send(&mut self, shard: ShardIndex, provider: ProviderId) {
        let (hash, blob) = self.shards.blobs[shard.as_usize()].clone();
        self.uploader.note(self.shards.pack, shard, hash, provider);
        let runner = self.uploader.races().runner(provider, blob.len() as u64);
        let (exchange, keep_until, begun) =
            (self.uploader.exchange().clone(), self.uploader.keep_until(), runner.clone());
        let task = self.tasks.spawn(async move {
            let stored = store_one(&exchange, provider, Some(hash), blob, keep_until, || begun.begin()).await;
            (shard, provider, stored)
        });
        self.taken.insert(provider);
        self.under_way.insert(provider, UnderWay { shard, runner, is_late: false, task });
    }

    /// Takes in how a sending ended; `None` if its shard has no place left to go to.
    fn take(&mut self, done: Result<Sent, JoinError>) -> Option<()> {
        let (shard, provider, result) = match done {
            Ok(sent) => sent,
            Err(error) => {
                assert!(error.is_cancelled(), "an upload does not panic");
                return Some(());
            }
        };
        let is_awaited = self.under_way.get(&provider).is_some_and(|sending| sending.shard == shard);
        let sending = is_awaited.then(|| self.under_way.remove(&provider)).flatten();
        match result {
            // It was cut off in the moment in which it was done: its copy is a stray already.
            Ok(_) if sending.is_none() => {}
            Ok(receipt) => {
                if let Some(sending) = sending {
                    sending.runner.succeed();
                }
                self.kept.insert(shard, self.uploader.count(shard, provider, &receipt));
                self.cut_off(|sending| sending.shard == shard);
            }
            Err(failure) => {
                self.uploader.blame(&Failure { pack: Some(self.shards.pack), ..failure });
                let is_safe = self.kept.contains_key(&shard)
                    || self.under_way.values().any(|sending| sending.shard == shard);
                if !is_safe {
                    let other = self.uploader.spare(&self.taken).or_else(|| self.released(shard))?;
                    self.send(shard, other);
                }
            }
        }
        Some(())
    }

    /// A provider that lost a race for another shard: better than none. It never gets the same shard again, which it was
    /// told to delete.
    fn released(&self, shard: ShardIndex) -> Option<ProviderId> {
        let free = self.cut_off.iter().filter(|(provider, lost)| {
            **lost != shard && !self.under_way.contains_key(provider) && !self.uploader.is_down(provider)
        });
        let holders: BTreeSet<_> = self.kept.values().map(|kept| kept.provider).collect();
        free.map(|(provider, _)| *provider).find(|provider| !holders.contains(provider))
    }

    /// Ends sendings that are not needed any more. What may have arrived all the same is deleted.
    fn cut_off(&mut self, is_unneeded: impl Fn(&UnderWay) -> bool) {
        let losers: Vec<_> = self
            .under_way
            .iter()
            .filter(|(_, sending)| is_unneeded(sending))
            .map(|(provider, _)| *provider)
            .collect();
        for provider in losers {
            let Some(sending) = self.under_way.remove(&provider) else { continue };
            sending.task.abort();
            self.cut_off.insert(provider, sending.shard);
            if sending.runner.has_begun() {
                self.uploader.strays().delete(provider, self.shards.blobs[sending.shard.as_usize()].0);
            }
        }
    }

    fn cut_off_all(&mut self) {
        self.cut_off(|_| true);
    }

    /// Ends a pack that cannot reach its spread: nothing of it is to stay behind.
    async fn give_up(mut self) -> ClientError {
        let rest = async {
            while let Some(done) = self.tasks.join_next().await {
                if let Ok((shard, provider, Ok(receipt))) = done
                    && self.under_way.remove(&provider).is_some()
                {
                    self.kept.insert(shard, self.uploader.count(shard, provider, &receipt));
                }
            }
        };
        let _ = timeout(GIVE_UP_DEADLINE, rest).await;
        self.cut_off_all();
        let exchange = self.uploader.exchange();
        let deletions = self.kept.values().map(|stray| async move {
            if let Err(error) = exchange.delete(stray.provider, &[stray.hash]).await {
                tracing::debug!(provider = %stray.provider.short(), %error, "a stray shard stays until it lapses");
            }
        });
        let _ = timeout(GIVE_UP_DEADLINE, join_all(deletions)).await;
        let (have, wanted) = (self.kept.len(), self.shards.blobs.len());
        let failures = self.uploader.failures();
        ClientError::SpreadNotReached { pack: self.shards.pack, have, wanted, failures }
    }
}
