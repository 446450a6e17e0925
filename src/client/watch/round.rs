//! One round of watching.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::health::{Charge, CheckOutcome, Depth, Due, RenewOutcome, RepairLimits, RepairOutcome};
use crate::client::roster::Roster;
use crate::client::watch::absence::excused;
use crate::types::Timestamp;
use crate::vault::{Moved, Round};

/// A head is published again after so long, whatever happens: its copies at providers lapse like other blobs.
const HEAD_REFRESH: Duration = Duration::from_secs(30 * 86_400);
const DAY_SECS: u64 = 86_400;

/// How to watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// How long a provider may be away before its shards are stored elsewhere.
    pub grace: Duration,
    /// Samples that each provider has to prove in a round.
    pub audit_count: u32,
    /// Packs of which so many shards are missing are repaired; at least 1.
    pub missing_min: usize,
    /// Bytes that audits and repairs may move in a day (UTC).
    pub bytes_per_day: u64,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(2 * DAY_SECS),
            audit_count: 20,
            missing_min: 1,
            bytes_per_day: u64::MAX,
        }
    }
}

impl Client {
    /// One round: who is there, what lapses, what is missing or wrong; promises are extended, shards stored anew, heads
    /// published again. What was done is remembered for `status`.
    pub async fn watch_round(&mut self, options: &WatchOptions) -> Result<Round, ClientError> {
        let done = self.make_round(options).await;
        self.remember_deeds();
        done
    }

    async fn make_round(&mut self, options: &WatchOptions) -> Result<Round, ClientError> {
        let caught = self.catch_up().await?;
        let mut charge = self.charge_with(caught, None)?;
        let keepers = self.keepers(&charge)?;
        charge.roster = Roster::of(self, &keepers, keepers.len()).await?;
        let (now, members) = (self.env.now(), &charge.roster.members);
        charge.foreknown.excused = self.vault.update_care(|care| {
            let is_there = |provider: &_| members.contains_key(provider);
            excused(&keepers, is_there, options.grace, now, &mut care.absent_since)
        })?;
        charge.roster.excused.clone_from(&charge.foreknown.excused);
        let mut left = self.budget_left(options)?;

        let mut renewed = RenewOutcome::default();
        self.renew_all(Due::HalfOver, &charge, &mut renewed).await?;
        let mut checked = CheckOutcome::default();
        let audit_count = if left > 0 { options.audit_count } else { 0 };
        self.examine(Depth::Audit { count: audit_count }, &mut charge, &mut checked).await?;
        left = left.saturating_sub(renewed.bytes_moved + checked.bytes_moved);
        let limits = RepairLimits { missing_min: options.missing_min.max(1), bytes_left: left };
        let repaired = self.bring_in_order(limits, &mut charge, &checked).await?;
        self.publish_where_lost(&charge).await?;
        let moved = renewed.bytes_moved + checked.bytes_moved + repaired.bytes_read + repaired.bytes_written;
        self.remember_round(moved, &renewed, &checked, &repaired)
    }

    /// Repairs what is not healthy, and publishes what is new or old; nobody is looked for where there is neither.
    async fn bring_in_order(
        &mut self,
        limits: RepairLimits,
        charge: &mut Charge,
        checked: &CheckOutcome,
    ) -> Result<RepairOutcome, ClientError> {
        let mut repaired = RepairOutcome::default();
        let is_weak = checked.tally.packs > checked.tally.healthy && limits.bytes_left > 0;
        let is_new = !self.is_published(&charge.caught) && self.vault.chain_position().is_some();
        let is_old =
            self.vault.head()?.is_some_and(|head| head.made_at.saturating_add(HEAD_REFRESH) < self.env.now());
        if !is_weak && !is_new && !is_old {
            return Ok(repaired);
        }
        let mut crew = match self.crew(1, &charge.caught).await {
            Ok(crew) => crew,
            // With hardly anybody there nothing can be done, and the round says so.
            Err(ClientError::TooFewProviders { failures, .. }) => {
                repaired.failures = failures;
                return Ok(repaired);
            }
            Err(error) => return Err(error),
        };
        crew.roster.excused.clone_from(&charge.foreknown.excused);
        if is_weak {
            self.repair_all(limits, charge, &crew, &mut repaired).await?;
        }
        if is_old {
            self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await?;
        } else {
            self.publish_what_is_new(&crew, &charge.caught).await?;
        }
        Ok(repaired)
    }

    /// Gives heads back to relays that answered and have none, or an older one.
    async fn publish_where_lost(&self, charge: &Charge) -> Result<(), ClientError> {
        let lost = charge.caught.not_everywhere.iter();
        for head in lost.filter_map(|device| charge.caught.heads.get(device)) {
            let is_newest = self.vault.settings().heads_seen.get(&head.device) == Some(&head.counter);
            if is_newest {
                self.publish_again(std::slice::from_ref(head)).await?;
            }
        }
        Ok(())
    }

    /// Bytes that may still be moved today.
    fn budget_left(&self, options: &WatchOptions) -> Result<u64, ClientError> {
        let moved = self.vault.care()?.moved;
        let today = self.env.now().0 / DAY_SECS;
        let so_far = if moved.day == today { moved.bytes } else { 0 };
        Ok(options.bytes_per_day.saturating_sub(so_far))
    }

    fn remember_round(
        &self,
        moved: u64,
        renewed: &RenewOutcome,
        checked: &CheckOutcome,
        repaired: &RepairOutcome,
    ) -> Result<Round, ClientError> {
        let (now, tally) = (self.env.now(), &checked.tally);
        let audited = checked.audits.values().fold((0, 0), |(count, good), audit| {
            (count + u64::from(audit.count()), good + u64::from(audit.good))
        });
        // Each provider's trouble once.
        let failures = checked.failures.iter().chain(&renewed.failures).chain(&repaired.failures);
        let troubles: BTreeMap<_, _> =
            failures.map(|failure: &Failure| (failure.provider, failure.why.clone())).collect();
        let not_repaired = repaired.packs_left + repaired.packs_lost;
        let round = Round {
            at: now,
            next: Timestamp::default(),
            packs: tally.packs,
            healthy: tally.healthy + (tally.degraded + tally.out_of_reach).min(repaired.packs_repaired),
            degraded: (tally.degraded + tally.out_of_reach).saturating_sub(repaired.packs_repaired),
            lost: tally.lost,
            first_lapse: renewed.first_lapse,
            renewed: renewed.renewed,
            audited,
            shards_written: repaired.shards_written,
            troubles: troubles
                .into_iter()
                .map(|(provider, why)| format!("{}: {why}", provider.short()))
                .collect(),
        };
        tracing::info!(packs = round.packs, healthy = round.healthy, not_repaired, "a round has ended");
        self.vault.update_care(|care| {
            let day = now.0 / DAY_SECS;
            let so_far = if care.moved.day == day { care.moved.bytes } else { 0 };
            care.moved = Moved { day, bytes: so_far.saturating_add(moved) };
            care.round = Some(round.clone());
        })?;
        Ok(round)
    }
}
