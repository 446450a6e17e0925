//! A prune from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::format::PackFate;
use crate::types::limits::{CONDEMNED_GRACE, UNFINISHED_KEEP};
use crate::types::{PackId, SnapshotId, Timestamp};

use super::remove::condemn;

/// Packs that are looked up together.
const LOOKED_UP_TOGETHER: usize = 1_000;

/// How to prune.
#[derive(Debug, Clone, Copy)]
pub struct PruneOptions {
    /// Only say what would go.
    pub dry_run: bool,
    /// Wait for nothing. Only for a vault with one device.
    pub now: bool,
    /// Packs of which more than this part is dead are stored anew, in percent of their sealed bytes.
    pub dead_percent_max: u8,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { dry_run: false, now: false, dead_percent_max: 50 }
    }
}

/// What a prune has done, or would do.
#[derive(Debug, Default)]
pub struct PruneOutcome {
    /// Packs that were condemned long enough ago.
    pub due_packs: u64,
    /// Packs that are condemned and still have to wait.
    pub waiting: u64,
    /// Packs that were condemned now, because nothing needs them.
    pub condemned: u64,
    /// Packs that nothing needs either, but only for a short time: the put that has stored them may go on.
    pub unfinished: u64,
    /// Packs of which the living part was stored anew.
    pub repacked: u64,
    /// Blobs that were deleted, orphans included.
    pub deleted_blobs: u64,
    /// Their bytes; in a dry run, those that would be.
    pub freed_bytes: u64,
    /// Blobs that nothing names: deleted ones, and those that still have to wait.
    pub orphans: u64,
    /// Providers that failed. Those that were away are asked again by the next prune.
    pub failures: Vec<Failure>,
}

/// What is to become of the vault's packs.
#[derive(Debug, Default)]
pub(super) struct Fates {
    pub(super) needed: BTreeSet<PackId>,
    due: BTreeSet<PackId>,
    waiting: u64,
    unneeded: BTreeSet<PackId>,
    /// Packs that a put may still come back to, and since when this home knows that nothing needs them.
    young: BTreeMap<PackId, Timestamp>,
    /// Snapshots of which only the needs were recorded, by a put that did not come to its end.
    unfinished: BTreeSet<SnapshotId>,
}

impl Client {
    /// Lets go of what nothing needs: deletes what was condemned long enough ago and blobs that nothing names, condemns
    /// what unfinished puts left, and stores anew what lives in packs that are mostly dead.
    ///
    /// Whatever is stored anew is recorded in a published head before the old is condemned, and deleted only by a later
    /// prune. A crash at any point leaves every live snapshot whole, and the next prune goes on.
    ///
    /// # Errors
    /// [`ClientError::DeviceUnread`] or [`ClientError::RelaysSilent`], and nothing is deleted, where not all devices'
    /// heads could be read; [`ClientError::SeveralDevices`].
    pub async fn prune(&mut self, options: &PruneOptions) -> Result<PruneOutcome, ClientError> {
        let done = self.let_go(options).await;
        self.remember_deeds();
        done
    }

    async fn let_go(&mut self, options: &PruneOptions) -> Result<PruneOutcome, ClientError> {
        let caught = self.catch_up_with_all().await?;
        let grace = if options.now { Duration::ZERO } else { CONDEMNED_GRACE };
        if options.now {
            self.check_only_device(&caught)?;
        }
        let fates = self.fates(grace)?;
        let victims = self.mostly_dead(&fates.needed, options.dead_percent_max)?;
        let mut outcome = PruneOutcome {
            due_packs: fates.due.len() as u64,
            waiting: fates.waiting,
            condemned: fates.unneeded.len() as u64,
            unfinished: fates.young.len() as u64,
            repacked: victims.packs.len() as u64,
            ..PruneOutcome::default()
        };
        let crew = self.crew(victims.spread(), &caught).await?;
        if options.dry_run {
            outcome.freed_bytes = self.stored_len(&fates.due)?;
            let orphans = self.find_orphans(grace, &crew.roster, &caught).await?;
            outcome.freed_bytes += orphans.due_len();
            outcome.orphans = orphans.count();
            return Ok(outcome);
        }
        let swept = Box::pin(self.sweep(&crew.roster, &caught)).await?.finish(self).await?;
        outcome.deleted_blobs += swept.blobs;
        outcome.failures.extend(swept.failures);
        self.vault.set_unneeded_packs(&fates.young)?;
        if !fates.unneeded.is_empty() || !fates.unfinished.is_empty() {
            self.vault.append(&condemn(&fates.unfinished, &fates.unneeded, self.env.now()), &[])?;
        }
        if victims.spread() > crew.standard.scheme.total() {
            self.monitor.note("nothing is repacked while so many providers are away");
            outcome.repacked = 0;
        } else if !victims.packs.is_empty() {
            self.repack(victims, &crew, &mut outcome).await?;
        }
        self.publish_what_is_new(&crew, &caught).await?;
        // All that was done since the beginning may have taken long: other devices are asked once more.
        let caught = self.catch_up_with_all().await?;
        let mut due = self.fates(grace)?.due;
        // Without waiting, what was condemned a moment ago is due by now.
        if !options.now {
            due.retain(|pack| fates.due.contains(pack));
        }
        let deleted = self.delete_packs(&due, &crew.roster).await?;
        outcome.deleted_blobs += deleted.blobs;
        outcome.freed_bytes += deleted.bytes;
        outcome.failures.extend(deleted.failures);
        self.record_dropped(&deleted.packs, &crew).await?;
        let orphans = self.find_orphans(grace, &crew.roster, &caught).await?;
        outcome.orphans = orphans.count();
        self.delete_orphans(orphans, &mut outcome).await?;
        outcome.failures.extend(crew.uploader.failures());
        Ok(outcome)
    }

    /// What is to become of each pack, if the blobs of condemned ones stay for `grace`.
    fn fates(&self, grace: Duration) -> Result<Fates, ClientError> {
        let (removals, now) = (self.vault.removals()?, self.env.now());
        let recorded: BTreeSet<_> = self.vault.snapshots()?.into_iter().map(|snapshot| snapshot.id).collect();
        let unrecorded = self.vault.snapshots_with_needs()?.into_iter().filter(|id| !recorded.contains(id));
        let mut fates = Fates {
            needed: self.vault.needed_by(&recorded)?,
            unfinished: unrecorded.filter(|snapshot| removals.is_live(snapshot)).collect(),
            ..Fates::default()
        };
        let (known, wait) =
            (self.vault.unneeded_packs()?, if grace.is_zero() { grace } else { UNFINISHED_KEEP });
        let mut packs: BTreeSet<_> = removals.condemned_packs().collect();
        let mut last = None;
        loop {
            let part = self.vault.packs_after(last.as_ref(), LOOKED_UP_TOGETHER)?;
            let Some(end) = part.last() else { break };
            last = Some(*end);
            packs.extend(part);
        }
        for pack in packs {
            match removals.fate(&pack, &fates.needed, grace, now) {
                PackFate::Unneeded => {
                    let since = known.get(&pack).copied().unwrap_or(now);
                    if since.saturating_add(wait) <= now {
                        fates.unneeded.insert(pack);
                    } else {
                        fates.young.insert(pack, since);
                    }
                }
                PackFate::Due => {
                    fates.due.insert(pack);
                }
                PackFate::Waiting { .. } => fates.waiting += 1,
                PackFate::Needed | PackFate::Dropped => {}
            }
        }
        Ok(fates)
    }
}
