//! A repair: packs back to full health. Works on sealed shards alone: no segment is opened, no key of one is needed.

use std::collections::BTreeSet;

use crate::client::base::Client;
use crate::client::crew::Crew;
use crate::client::error::{ClientError, Failure};
use crate::client::health::check::Charge;
use crate::client::health::kept::ASKED_TOGETHER;
use crate::client::health::mend::{Mended, Mender};
use crate::client::health::survey::Examined;
use crate::types::{PackId, SnapshotId};

/// What a repair has done.
#[derive(Debug, Default)]
pub struct RepairOutcome {
    /// Packs that are back at full health.
    pub packs_repaired: u64,
    /// Packs that could not be brought there: too few providers are free, or too few shards answer.
    pub packs_left: u64,
    /// Packs that cannot be restored.
    pub packs_lost: u64,
    /// Shards that were stored anew.
    pub shards_written: u64,
    /// Bytes of shards that were read.
    pub bytes_read: u64,
    /// Bytes that were stored, the record of it included.
    pub bytes_written: u64,
    /// Providers that failed.
    pub failures: Vec<Failure>,
}

/// What may be done in one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepairLimits {
    /// Packs with so many shards missing are repaired; fewer can wait.
    pub(crate) missing_min: usize,
    /// Bytes that may still be moved; what needs more waits.
    pub(crate) bytes_left: u64,
}

impl RepairLimits {
    /// Everything, now.
    pub(crate) const NONE: Self = Self { missing_min: 1, bytes_left: u64::MAX };

    /// Takes `bytes` out of what is left. Whether there was so much.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

impl Client {
    /// Brings everything that the vault, or one of its snapshots, relies on back to full health: reads as many shards of
    /// a pack as are enough, and stores what is missing at the provider that promised it, or at another one.
    ///
    /// Each pack is recorded as soon as its shards are receipted: a repair that is cut off goes on where it was.
    pub async fn repair(&mut self, snapshot: Option<SnapshotId>) -> Result<RepairOutcome, ClientError> {
        self.repair_some(snapshot, |_| true).await
    }

    /// Repairs the packs of which a get, a check or an audit has found a shard missing or wrong, and nothing else.
    pub async fn heal(&mut self) -> Result<RepairOutcome, ClientError> {
        let blemished: BTreeSet<_> = self.vault.blemishes()?.iter().map(|blemish| blemish.pack).collect();
        self.repair_some(None, |pack| blemished.contains(pack)).await
    }

    async fn repair_some(
        &mut self,
        snapshot: Option<SnapshotId>,
        is_meant: impl Fn(&PackId) -> bool,
    ) -> Result<RepairOutcome, ClientError> {
        let caught = self.catch_up().await?;
        let crew = self.crew(1, &caught).await?;
        let mut charge = self.charge_with(caught, snapshot)?;
        charge.packs.retain(is_meant);
        let mut outcome =
            RepairOutcome { failures: crew.roster.failures.clone(), ..RepairOutcome::default() };
        self.audit_suspects(&mut charge.foreknown, &charge.packs, &crew.roster).await?;
        let done = self.repair_all(RepairLimits::NONE, &mut charge, &crew, &mut outcome).await;
        self.remember_deeds();
        done?;
        Ok(outcome)
    }

    /// Repairs what is looked after, within `limits`, and publishes what was done.
    pub(crate) async fn repair_all(
        &mut self,
        mut limits: RepairLimits,
        charge: &mut Charge,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<(), ClientError> {
        let before = (self.exchange.fetched_len(), self.exchange.stored_len());
        for part in charge.packs.chunks(ASKED_TOGETHER) {
            let packs = self.kept_packs(part)?;
            let examined = self.survey(packs, &charge.foreknown, &crew.roster, &mut outcome.failures).await;
            self.repair_part(examined, &mut limits, crew, outcome).await?;
        }
        self.repair_manifests(charge, crew, outcome).await?;
        outcome.bytes_read += self.exchange.fetched_len() - before.0;
        outcome.bytes_written += self.exchange.stored_len() - before.1;
        outcome.failures.extend(crew.uploader.failures());
        Ok(())
    }

    async fn repair_part(
        &self,
        examined: Vec<Examined>,
        limits: &mut RepairLimits,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<(), ClientError> {
        let weak = examined.into_iter().filter_map(|one| {
            let standing = one.standing();
            let missing = usize::from(one.pack.coding.scheme.total()) - standing.placed.len();
            (missing >= limits.missing_min).then_some((one, standing))
        });
        let mender = Mender::new(self, &crew.roster, &crew.uploader);
        let done = mender.mend_all(weak.collect(), limits, |mended| outcome.count(mended)).await;
        outcome.failures.extend(mender.failures());
        done
    }
}

impl RepairOutcome {
    fn count(&mut self, mended: &Mended) {
        self.shards_written += mended.kept.len() as u64;
        if mended.is_lost {
            self.packs_lost += 1;
        } else if mended.left > 0 {
            self.packs_left += 1;
        } else {
            self.packs_repaired += 1;
        }
    }
}
