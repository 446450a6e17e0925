//! The manifest's own packs: this device's are written anew with its next head; other devices' go back to where their
//! heads name them, or, for one that has been silent for long, to where a new head of theirs does.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::crew::Crew;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::health::check::Charge;
use crate::client::health::repair::RepairOutcome;
use crate::client::health::state::{Found, Verdict};
use crate::client::health::survey::Examined;
use crate::crypt::DeviceClass;
use crate::format::Head;
use crate::types::{DeviceId, PackId};

/// A device whose head is older may be no more: its manifest is looked after in its place.
const SILENT_DEVICE: Duration = Duration::from_secs(30 * 86_400);

impl Client {
    /// Brings the packs of the manifests back to full health, and publishes what this run has recorded.
    pub(crate) async fn repair_manifests(
        &mut self,
        charge: &mut Charge,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<(), ClientError> {
        let own = self.vault.device();
        let mut weak = BTreeSet::new();
        let mut silent = Vec::new();
        for head in charge.heads() {
            let examined = self.examine_manifest(head, charge, crew, outcome).await;
            let weak_here = examined.iter().filter(|one| one.standing().verdict != Verdict::Healthy);
            weak.extend(weak_here.map(|one| (head.device, one.pack.id)));
            if head.device == own {
                continue;
            }
            let mut left = 0;
            for one in &examined {
                left += usize::from(!self.put_back(one, crew, outcome).await?);
            }
            if left > 0 && crew.is_full && self.may_stand_in_for(head) {
                silent.push(head.device);
            } else {
                outcome.packs_left += left as u64;
            }
        }
        for device in silent {
            if let Some(head) = charge.caught.heads.remove(&device) {
                self.publish_head_of(head, &crew.uploader, &crew.roster, &crew.standard).await?;
                outcome.packs_repaired += count_of(&weak, device);
            }
        }
        let weak_own = count_of(&weak, own);
        // With fewer providers than the manifest has now, writing it anew would make it weaker.
        if weak_own > 0 && crew.is_full {
            self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await?;
            outcome.packs_repaired += weak_own;
        } else {
            self.publish_what_is_new(crew, &charge.caught).await?;
            outcome.packs_left += weak_own;
        }
        Ok(self.vault.clear_blemishes(|blemish| weak.iter().any(|(_, pack)| *pack == blemish.pack))?)
    }

    async fn examine_manifest(
        &self,
        head: &Head,
        charge: &Charge,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Vec<Examined> {
        let packs = self.manifest_packs(std::iter::once(head), &crew.roster).await;
        self.survey(packs, &charge.foreknown, &crew.roster, &mut outcome.failures).await
    }

    /// Stores shards of another device's manifest where its head says that they are. Whether the pack is whole then.
    async fn put_back(
        &self,
        one: &Examined,
        crew: &Crew,
        outcome: &mut RepairOutcome,
    ) -> Result<bool, ClientError> {
        let standing = one.standing();
        if standing.verdict == Verdict::Healthy {
            return Ok(true);
        }
        if standing.verdict == Verdict::Lost {
            outcome.packs_lost += 1;
            return Ok(true);
        }
        let is_good = |found| matches!(found, Found::Good { .. });
        let good = one.sights.iter().filter(|sight| is_good(sight.found));
        let holders: Vec<Holder> = good.map(|sight| (sight.shard, sight.provider)).collect();
        let (exchange, monitor) = (self.exchange.clone(), self.monitor.clone());
        let fetcher = Fetcher::new(&crew.roster, BTreeSet::new(), exchange, monitor);
        let coding = &one.pack.coding;
        let Ok(shards) = fetcher.shards(one.pack.id, coding, &holders).await else { return Ok(false) };
        let rebuilt = coding.rebuild(&shards)?;
        let mut is_whole = true;
        for sight in one.sights.iter().filter(|sight| !sight.found.counts()) {
            let index = sight.shard.as_usize();
            let (Some(name), Some(blob)) = (coding.shards.get(index), rebuilt.get(index)) else { continue };
            let stored = if crew.roster.members.contains_key(&sight.provider) {
                crew.uploader.store_shard(sight.shard, (name.hash, blob.clone()), sight.provider).await
            } else {
                let why = "did not answer".to_owned();
                Err(Failure { provider: sight.provider, pack: Some(one.pack.id), why, corrupt: false })
            };
            match stored {
                Ok(_) => outcome.shards_written += 1,
                Err(failure) => {
                    is_whole = false;
                    outcome.failures.push(failure);
                }
            }
        }
        outcome.packs_repaired += u64::from(is_whole);
        Ok(is_whole)
    }

    /// Whether this device may publish a head for another one: it can sign for it and has all its records, and the
    /// other one has said nothing for long. Should that one come back, it goes on as a new device (invariant I6).
    fn may_stand_in_for(&self, head: &Head) -> bool {
        let is_old = head.made_at.saturating_add(SILENT_DEVICE) < self.env.now();
        is_old
            && head.class == DeviceClass::Full
            && self.vault.class() == DeviceClass::Full
            && self.vault.chain_end(head.device) == Some(head.chain_end())
    }
}

fn count_of(weak: &BTreeSet<(DeviceId, PackId)>, device: DeviceId) -> u64 {
    weak.iter().filter(|(of, _)| *of == device).count() as u64
}
