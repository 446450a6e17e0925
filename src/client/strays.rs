//! What a run that was cut off has sent and not recorded: found in the journal of this home, and deleted at the providers.
//!
//! No recorded pack and no head may name what is deleted here: an entry is a stray only if the manifest does not say that
//! the provider keeps that shard, and if the head that it was sent for was never written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::Fetcher;
use crate::client::head::run;
use crate::client::roster::Roster;
use crate::types::limits::UPLOAD_AGE_MAX;
use crate::types::{BlobHash, ProviderId};
use crate::vault::{Part, Sent};

/// How long the deletes are waited for at the end of a put. Those that do not come to their end are asked for again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Deletes that are under way, beside whatever else is done. Dropped, they end where they are.
pub(crate) struct Sweep {
    deletes: JoinSet<Result<u64, Failure>>,
}

/// What a sweep has done.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Blobs that were there.
    pub(crate) blobs: u64,
    pub(crate) failures: Vec<Failure>,
}

impl Client {
    /// Begins to delete what earlier runs of this home have sent to providers of `roster` and not recorded. Those that
    /// are away are asked by a later run.
    pub(crate) async fn sweep(&self, roster: &Roster, caught: &CaughtUp) -> Result<Sweep, ClientError> {
        let mut deletes = JoinSet::new();
        let journal = self.vault.unfinished();
        let mut strays: BTreeMap<ProviderId, Vec<Sent>> = BTreeMap::new();
        // Where no relay has answered, this may be a home that was put back, and does not know it yet.
        let left = if caught.relays > 0 { journal.left() } else { Vec::new() };
        for sent in left {
            if self.is_recorded(&sent)? {
                journal.forget(sent.provider, &[sent.hash]);
            } else if roster.members.contains_key(&sent.provider) {
                strays.entry(sent.provider).or_default().push(sent);
            }
        }
        if !strays.is_empty() {
            let named = match self.named_by_heads(roster, caught).await {
                Ok(named) => named,
                Err(error) => {
                    tracing::info!(%error, "what a head names is not known, so nothing is deleted");
                    return Ok(Sweep { deletes });
                }
            };
            for sent in strays.values_mut() {
                sent.retain(|sent| !named.contains(&sent.hash));
            }
        }
        let now = self.env.now();
        for (provider, strays) in strays {
            let (exchange, journal) = (self.exchange.clone(), journal.clone());
            deletes.spawn(async move {
                let hashes: Vec<_> = strays.iter().map(|sent| sent.hash).collect();
                let had = exchange.delete(provider, &hashes).await;
                let had = had.map_err(|error| Failure::new(provider, None, &error))?;
                // What was sent a moment ago may only be arriving: it is asked for once more.
                let is_done = |(sent, had): &(&Sent, bool)| *had || now.since(sent.at) > UPLOAD_AGE_MAX;
                let done = strays.iter().zip(had.iter().copied()).filter(is_done);
                let done: Vec<BlobHash> = done.map(|(sent, _)| sent.hash).collect();
                journal.forget(provider, &done);
                Ok(had.iter().filter(|had| **had).count() as u64)
            });
        }
        Ok(Sweep { deletes })
    }

    /// True if the manifest says that the provider keeps the blob, or may say so in a head that was published.
    fn is_recorded(&self, sent: &Sent) -> Result<bool, ClientError> {
        Ok(match sent.part {
            Part::Shard { pack, shard } => self.vault.pack(&pack)?.is_some_and(|entry| {
                entry
                    .promises
                    .iter()
                    .any(|(index, provider, _)| (*index, *provider) == (shard, sent.provider))
            }),
            Part::Manifest { counter } => self.vault.head()?.is_some_and(|head| head.counter >= counter),
        })
    }

    /// Names of all blobs of the manifest's packs that the devices' newest heads lead to.
    async fn named_by_heads(
        &self,
        roster: &Roster,
        caught: &CaughtUp,
    ) -> Result<BTreeSet<BlobHash>, ClientError> {
        let own = self.vault.head()?;
        let fetcher = Fetcher::new(roster, BTreeSet::new(), self.exchange.clone(), self.monitor.clone());
        let mut named = BTreeSet::new();
        for head in caught.heads.values().chain(&own) {
            for run in &head.runs {
                named.extend(run::blobs(run, head, &fetcher).await?);
            }
        }
        Ok(named)
    }
}

impl Sweep {
    /// Waits for all deletes.
    pub(crate) async fn finish(mut self, client: &Client) -> Result<Swept, ClientError> {
        let mut swept = Swept::default();
        while let Some(done) = self.deletes.join_next().await {
            match done.expect("a delete neither panics nor is aborted here") {
                Ok(blobs) => swept.blobs += blobs,
                Err(failure) => swept.failures.push(failure),
            }
        }
        client.vault.unfinished().tidy()?;
        Ok(swept)
    }

    /// Waits for them, but not for long.
    pub(crate) async fn finish_soon(self, client: &Client) {
        match tokio::time::timeout(PATIENCE, self.finish(client)).await {
            Ok(Ok(swept)) => tracing::debug!(?swept, "strays of an earlier run were deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "what was sent cannot be written down"),
            Err(_elapsed) => tracing::debug!("strays of an earlier run stay for now"),
        }
    }
}
