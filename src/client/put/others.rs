//! What a put owes to the vault's other devices, and they to it: no put builds on records that nobody else can have, on
//! packs that were let go while it ran, or on a manifest whose promises lapse.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::confirm::{Confirmer, Standard};
use crate::client::error::ClientError;
use crate::client::head::run;
use crate::client::roster::Roster;
use crate::client::upload::Uploader;
use crate::types::{PackId, Timestamp};

/// After so long a put asks again whether what it builds on is still there. Far below the time for which condemned
/// packs are kept.
const LONG_PUT: Duration = Duration::from_secs(3_600);

/// Refuses to go on in a home that holds records which contradict the published ones of their device: whatever is found
/// in them would be reused, and recorded nowhere else.
pub(super) fn check_chains(caught: &CaughtUp) -> Result<(), ClientError> {
    caught.forked.first().map_or(Ok(()), |device| Err(ClientError::ForkedHome { device: *device }))
}

impl Client {
    /// Publishes what an earlier run has recorded and did not publish, so that other devices know of the packs that
    /// are reused now.
    pub(super) async fn publish_what_was_left(
        &mut self,
        caught: &CaughtUp,
        uploader: &Uploader,
        roster: &Roster,
        standard: &Standard,
    ) -> Result<(), ClientError> {
        if self.is_published(caught) {
            return Ok(());
        }
        self.publish_head(uploader, roster, standard).await
    }

    /// Renews what holds the manifests of other devices, also of those that are no more: their records are built on.
    /// Says where they are not kept as they should be.
    pub(super) async fn renew_other_manifests(
        &self,
        caught: &CaughtUp,
        standard: &Standard,
        roster: &Roster,
    ) {
        let own = self.vault.device();
        for head in caught.heads.values().filter(|head| head.device != own) {
            let mut weak = 0;
            for run in &head.runs {
                weak += u32::from(run::confirm(run, head, standard, self, roster).await.is_none());
            }
            if weak > 0 {
                let (device, all) = (head.device.short(), head.runs.len());
                self.monitor.note(&format!(
                    "{weak} of {all} parts of the manifest of device {device} are not at all providers that they \
                     were stored at; a put from that device stores them anew"
                ));
            }
        }
    }

    /// Asks again after a long put whether everything that its snapshot needs is still there and not let go.
    pub(super) async fn check_again(
        &mut self,
        begun: Timestamp,
        needs: &BTreeSet<PackId>,
        standard: &Standard,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        if self.env.now().distance(begun) < LONG_PUT {
            return Ok(());
        }
        let caught = self.catch_up().await?;
        check_chains(&caught)?;
        let mut confirmer = Confirmer::new(*standard, BTreeSet::new());
        if confirmer.are_all_still_there(needs, self, roster).await? {
            Ok(())
        } else {
            Err(ClientError::LetGoMeanwhile)
        }
    }
}
