//! A new head: records that no head covers yet go out to providers, the head goes to every relay, and is read back.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::base::Client;
use crate::client::confirm::Standard;
use crate::client::error::{ClientError, Failure};
use crate::client::head::find;
use crate::client::head::run::{self, ProviderTable};
use crate::client::roster::Roster;
use crate::client::upload::Uploader;
use crate::crypt::ActorKeys;
use crate::erasure::Scheme;
use crate::format::head::OtherHead;
use crate::format::runs::{self, RunSpan};
use crate::format::{ChainEnd, Head, ManifestPack, Run};
use crate::types::limits::{HEAD_OTHER_COUNT_MAX, HEAD_RUN_COUNT_MAX};
use crate::types::{DeviceId, ProviderId};
use crate::vault::{HeadRelation, Part};

/// How long the others may take to keep a copy of the head once the first has one, at least.
const COPY_GRACE: Duration = Duration::from_millis(300);
/// Pause between two attempts to read the head back.
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// Compares this device's head on the relays with what the home knows. A head that this home's chain does not lead
    /// to means that the home is a copy, or was restored: then it goes on as a new device, never on the old chain
    /// (invariant I6).
    pub(crate) fn leave_a_foreign_chain(&self, heads: &find::DeviceHeads) -> Result<(), ClientError> {
        for (relay, counter) in &heads.behind {
            let newest = heads.newest.counter;
            self.monitor.note(&format!("{relay} offers head {counter} of this device, older than {newest}"));
        }
        match self.vault.compare_head(&heads.newest)? {
            HeadRelation::Same => {}
            HeadRelation::Older => {
                let counter = heads.newest.counter;
                self.monitor
                    .note(&format!("the relays offer head {counter} of this device, which is an older one"));
            }
            HeadRelation::Newer | HeadRelation::Forked => {
                self.vault.start_new_device()?;
                self.monitor
                    .note("this home is a copy of another, or was restored: it goes on as a new device");
            }
        }
        Ok(())
    }

    /// Brings everything in the manifest to providers, and the head that leads to it to the relays.
    pub(crate) async fn publish_head(
        &mut self,
        uploader: &Uploader,
        roster: &Roster,
        standard: &Standard,
    ) -> Result<(), ClientError> {
        let end = self.vault.chain_position().expect("a put has recorded something");
        let counter = self.vault.head()?.map_or(0, |head| head.counter) + 1;
        let uploader = &uploader.for_head(counter);
        let head = self.next_head(end, || Ok(self.vault.head()?), uploader, roster, standard).await?;
        let copies = head.providers.clone();
        self.keep_head_at(&copies, &head, uploader, roster).await?;
        // Before anybody can see it: a head of this device that is on a relay is always known here.
        self.vault.set_head(&head)?;
        self.vault.unfinished().settle(|sent| sent.part == Part::Manifest { counter });
        self.send(&head).await?;
        uploader.settle().await;
        Ok(())
    }

    /// Publishes a head for another device of this vault, after its last one, which leads to as much: only where its
    /// chain is stored changes.
    pub(crate) async fn publish_head_of(
        &self,
        last: Head,
        uploader: &Uploader,
        roster: &Roster,
        standard: &Standard,
    ) -> Result<(), ClientError> {
        let access = self.vault.access();
        let sealed = self.seal(&last, access.actor())?;
        let again = || find::open_sealed(&sealed, access).map(Some);
        let head = self.next_head(last.chain_end(), again, uploader, roster, standard).await?;
        let copies = head.providers.clone();
        self.keep_head_at(&copies, &head, uploader, roster).await?;
        self.vault.note_head(&head)?;
        self.send(&head).await?;
        uploader.settle().await;
        Ok(())
    }

    /// Sends a head to every relay, and reads it back.
    async fn send(&self, head: &Head) -> Result<(), ClientError> {
        let actor = self.vault.access().actor();
        let sealed = self.seal(head, actor)?;
        let event = find::draft(&sealed, &head.device, actor).sign(&actor.head_author(), head.made_at);
        for (relay, answer) in self.carrier.publish_acknowledged(event, self.patience).await {
            if let Err(why) = answer {
                self.monitor.note(&format!("{relay} did not take the head: {why}"));
            }
        }
        self.read_back(head).await
    }

    /// The head after the `last` one: runs that are confirmed stay, the rest of the chain up to `end` is written anew.
    async fn next_head(
        &self,
        end: ChainEnd,
        last: impl Fn() -> Result<Option<Head>, ClientError>,
        uploader: &Uploader,
        roster: &Roster,
        standard: &Standard,
    ) -> Result<Head, ClientError> {
        let scheme = Scheme::for_manifest(standard.scheme.total()).expect("the spread is at least 1");
        let mut run_max = HEAD_RUN_COUNT_MAX;
        loop {
            let last = last()?;
            let counter = last.as_ref().map_or(0, |head| head.counter);
            let now = self.env.now();
            // Of two addressable events with the same time relays keep either: a head is always later than the last.
            let made_at = last
                .as_ref()
                .map_or(now, |head| now.max(head.made_at.saturating_add(Duration::from_secs(1))));
            let mut table = ProviderTable::default();
            let mut kept = self.confirmed_runs(last, standard, roster, &mut table).await;
            let spans: Vec<RunSpan> = kept.iter().map(RunSpan::from).collect();
            if let Some(plan) = runs::plan(&spans, end.sequence, run_max) {
                kept.truncate(plan.keep);
                let (span, len_max) = (plan.write, ManifestPack::run_len_max(scheme));
                let cuts = self.vault.cut_records(end.device, (span.first, span.last), len_max)?;
                for span in runs::cut(span, &cuts) {
                    let records = self.vault.record_range(end.device, span.first, span.last)?;
                    kept.push(run::write(span, &records, scheme, &mut table, uploader, &self.env).await?);
                }
            }
            let device = self.vault.device_record(end.device).expect("a chain begins with its device");
            let head = Head {
                device: end.device,
                class: device.class,
                key: device.key,
                certificate: device.certificate,
                counter: counter + 1,
                made_at,
                last: end.sequence,
                last_hash: end.hash,
                providers: table.into_providers(),
                relays: self.carrier.relays().iter().map(ToString::to_string).collect(),
                others: self.other_heads(end.device)?,
                runs: kept,
            };
            match head.sealed_len() {
                Ok(_) => return Ok(head),
                // Fewer runs, unless that was tried: full ones stay as they are.
                Err(_) if head.runs.len() > 1 && head.runs.len() <= run_max => run_max = head.runs.len() - 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The longest beginning of the last head's runs that are all confirmed, with providers named in `table`.
    async fn confirmed_runs(
        &self,
        last: Option<Head>,
        standard: &Standard,
        roster: &Roster,
        table: &mut ProviderTable,
    ) -> Vec<Run> {
        let Some(mut head) = last else { return Vec::new() };
        let verdicts = head.runs.iter().map(|run| run::confirm(run, &head, standard, self, roster));
        let verdicts = join_all(verdicts).await;
        let mut confirmed = Vec::new();
        for (mut run, expires) in std::mem::take(&mut head.runs).into_iter().zip(verdicts) {
            let Some(expires) = expires else { break };
            run.expires = expires;
            for position in &mut run.pack.providers {
                let Some(provider) = head.providers.get(usize::from(*position)) else { return confirmed };
                *position = table.position(*provider);
            }
            confirmed.push(run);
        }
        confirmed
    }

    /// The heads of full devices other than `own`, as far as they were seen.
    fn other_heads(&self, own: DeviceId) -> Result<Vec<OtherHead>, ClientError> {
        let mut left_out = self.vault.uncounted_devices()?;
        left_out.insert(own);
        let seen = self.vault.settings().heads_seen.into_iter();
        let seen = seen.filter(|(device, _)| !left_out.contains(device));
        Ok(seen.map(|(device, counter)| OtherHead { device, counter }).take(HEAD_OTHER_COUNT_MAX).collect())
    }

    /// Seals a head of a device that `actor` acts for.
    pub(crate) fn seal(&self, head: &Head, actor: &ActorKeys) -> Result<Vec<u8>, ClientError> {
        let access = self.vault.access();
        let device_keys = actor.device_keys(&head.device);
        Ok(head.seal(access.vault_id(), &access.head_key(), &device_keys, &mut self.env.rng())?)
    }

    /// Keeps the head as a small blob at every provider that has a pack of the manifest, each sealed afresh, so that
    /// it can be found where no relay has it. A provider that fails here, or is much slower than the first, is reported:
    /// the others have one too.
    async fn keep_head_at(
        &self,
        providers: &[ProviderId],
        head: &Head,
        uploader: &Uploader,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        let (started, stores) = (Instant::now(), FuturesUnordered::new());
        let mut waiting = BTreeSet::new();
        for provider in providers.iter().copied().filter(|provider| roster.can_use(provider)) {
            let copy = Bytes::from(self.seal(head, self.vault.access().actor())?);
            waiting.insert(provider);
            stores.push(async move { (provider, uploader.store_at(provider, copy).await) });
        }
        tokio::pin!(stores);
        let (mut kept, mut failures) = (0, Vec::new());
        let mut deadline = started + self.patience * 2;
        while let Ok(Some((provider, result))) = timeout_at(deadline, stores.next()).await {
            waiting.remove(&provider);
            match result {
                Ok(()) => {
                    kept += 1;
                    deadline = deadline.min(Instant::now() + COPY_GRACE.max(started.elapsed() * 3));
                }
                Err(failure) => failures.push(failure),
            }
        }
        for provider in waiting {
            self.exchange.late(provider, started.into_std());
            let why = "is too slow to keep a copy of the head".to_owned();
            failures.push(Failure { provider, pack: None, why, corrupt: false });
        }
        for failure in &failures {
            self.monitor.failed(failure);
        }
        if kept == 0 {
            return Err(ClientError::TooFewProviders { have: 0, wanted: 1, failures });
        }
        Ok(())
    }

    /// Waits until a relay gives the head back: its OK alone would prove nothing.
    async fn read_back(&self, head: &Head) -> Result<(), ClientError> {
        let access = self.vault.access();
        let filter = find::filter(&head.device, access.actor());
        let deadline = Instant::now() + self.patience;
        loop {
            let answers = self.carrier.query(filter.clone(), self.patience.min(Duration::from_secs(3))).await;
            let back = answers.values().flatten().filter_map(|event| find::open(event, access).ok());
            if back.into_iter().any(|back| back.counter == head.counter && back.last_hash == head.last_hash) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(ClientError::HeadNotReadBack { waited_secs: self.patience.as_secs() });
            }
            sleep(READ_BACK_PAUSE).await;
        }
    }
}
