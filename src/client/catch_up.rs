//! Catching up: what the vault's other devices have published since is brought in before anything is decided
//! (invariants I2, I12).

use std::collections::{BTreeMap, BTreeSet};

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::Fetcher;
use crate::client::head::{find, run};
use crate::client::roster::Roster;
use crate::crypt::DeviceClass;
use crate::format::{Condemn, Head, PlacementItem, RecordHash};
use crate::types::limits::{NEED_COUNT_MAX, VERIFY_CHAIN_LEN_MAX};
use crate::types::{DeviceId, PackId, Timestamp};
use crate::vault::{HeadRelation, VaultError};

/// What is known of the vault's devices, as of now.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// Relays that answered.
    pub relays: usize,
    /// Devices whose newest records could not be had, and why.
    pub unread: BTreeMap<DeviceId, String>,
    /// Those among them of which this home has records that contradict the published ones.
    pub(crate) forked: BTreeSet<DeviceId>,
    /// Devices whose newest head is not on all relays that answered.
    pub(crate) not_everywhere: BTreeSet<DeviceId>,
    /// The newest head of each full device that was found, this one's included.
    pub(crate) heads: BTreeMap<DeviceId, Head>,
    /// The same of the verify devices that count. Nothing that they say is waited for or relied on.
    pub(crate) verifiers: BTreeMap<DeviceId, Head>,
    /// The last record that this device's head on the relays carries.
    pub(crate) published: Option<RecordHash>,
}

/// Why a device's head is not followed.
pub(crate) struct LeftAside {
    pub(crate) why: String,
    is_fork: bool,
}

impl Client {
    /// Reads the heads of all devices, and brings in the records that other devices have published since.
    ///
    /// A device whose records cannot be had is left aside, and told: see [`CaughtUp::unread`]. Verify devices come after
    /// the full ones, whose grants and revocations say which of them count.
    ///
    /// # Errors
    /// [`ClientError::NoHead`] if a verify device knows nothing of its vault yet and finds nothing;
    /// [`ClientError::Revoked`], [`ClientError::CapabilityShared`].
    pub async fn catch_up(&mut self) -> Result<CaughtUp, ClientError> {
        let authors = self.authors()?;
        let mut found = find::on_relays(&*self.carrier, &authors, self.vault.access()).await?;
        let relays = found.relays.len();
        let mut caught = CaughtUp { relays, ..CaughtUp::default() };
        if let Some(own) = found.devices.get(&self.vault.device())
            && self.vault.class() == DeviceClass::Full
        {
            self.leave_a_foreign_chain(own)?;
        }
        if let Some(own) = self.vault.head()?
            && relays > 0
            && !found.devices.contains_key(&own.device)
        {
            caught.not_everywhere.insert(own.device);
        }
        let verifiers = found.take_verifiers();
        for (device, offered) in found.devices {
            if offered.relays.len() < relays {
                caught.not_everywhere.insert(device);
            }
            if device != self.vault.device()
                && let Err(left) = self.follow(&offered.newest).await
            {
                if left.is_fork {
                    caught.forked.insert(device);
                }
                caught.unread.insert(device, left.why);
            }
            caught.heads.insert(device, offered.newest);
        }
        for (device, why) in &caught.unread {
            self.monitor.note(&format!("device {} could not be caught up with: {why}", device.short()));
        }
        self.heed_revocations()?;
        Box::pin(self.catch_up_with_verifiers(verifiers, &authors, &mut caught)).await?;
        let own = self.vault.device();
        caught.published = caught.heads.get(&own).or(caught.verifiers.get(&own)).map(|head| head.last_hash);
        if relays > 0 {
            self.condemn_again(&caught)?;
        }
        Ok(caught)
    }

    /// Catches up, and insists on it: every device that this home or another one has ever heard of is read up to its
    /// newest head. Where relays have lost a head, providers are asked for theirs.
    ///
    /// # Errors
    /// [`ClientError::RelaysSilent`], [`ClientError::DeviceUnread`].
    pub async fn catch_up_with_all(&mut self) -> Result<CaughtUp, ClientError> {
        let mut caught = self.catch_up().await?;
        if caught.relays == 0 {
            return Err(ClientError::RelaysSilent);
        }
        if let Some(own) = self.vault.head()?
            && own.class == DeviceClass::Full
            && caught.heads.get(&own.device).is_none_or(|head| head.counter < own.counter)
        {
            caught.heads.insert(own.device, own);
        }
        if self.missing(&caught)?.is_empty() {
            return Ok(caught);
        }
        let known: BTreeSet<_> = self.known_providers()?.into_keys().collect();
        for head in self.heads_at_providers(&known, caught.relays).await.unwrap_or_default() {
            let is_wanted = self.missing(&caught)?.contains_key(&head.device);
            if is_wanted && self.follow(&head).await.is_ok() {
                self.publish_again(std::slice::from_ref(&head)).await?;
                caught.unread.remove(&head.device);
                caught.heads.insert(head.device, head);
            }
        }
        match self.missing(&caught)?.pop_first() {
            None => Ok(caught),
            Some((device, why)) => Err(ClientError::DeviceUnread { device, why }),
        }
    }

    /// Fetches and imports what `head` leads to and this home does not have; returns how many records the chain has.
    pub(crate) async fn bring_back(
        &self,
        head: &Head,
        failures: &mut Vec<Failure>,
    ) -> Result<u64, ClientError> {
        let known = self.vault.chain_end(head.device).map_or(0, |end| end.sequence + 1);
        let wanted: Vec<_> = head.runs.iter().filter(|run| run.last >= known).collect();
        if !wanted.is_empty() {
            let providers = head.providers.iter().copied().collect();
            let enough = wanted.iter().map(|run| usize::from(run.pack.coding.scheme.need())).max();
            let roster = Roster::of(self, &providers, enough.unwrap_or(0)).await?;
            let fetcher = Fetcher::new(&roster, BTreeSet::new(), self.exchange.clone(), self.monitor.clone());
            let len_max = if head.class == DeviceClass::Verify { VERIFY_CHAIN_LEN_MAX } else { u64::MAX };
            for run in wanted {
                let take = |records: &[u8]| {
                    self.vault.import_records(head.device, records)?;
                    Ok(())
                };
                run::read(run, head, len_max, &fetcher, take).await?;
            }
            failures.extend(fetcher.failures());
        }
        if self.vault.chain_end(head.device) != Some(head.chain_end()) {
            return Err(ClientError::Integrity {
                what: format!("the manifest of device {}", head.device.short()),
            });
        }
        self.vault.note_head(head)?;
        Ok(head.last + 1)
    }

    /// Brings in what another device's head leads to, unless a newer one was seen.
    pub(crate) async fn follow(&self, head: &Head) -> Result<(), LeftAside> {
        let aside = |why: String| LeftAside { why, is_fork: false };
        match self.vault.compare_head(head).map_err(|error| aside(error.to_string()))? {
            HeadRelation::Same => Ok(()),
            HeadRelation::Older => Err(aside(format!("head {} is older than one seen before", head.counter))),
            HeadRelation::Forked => {
                Err(LeftAside { why: "its records contradict those of this home".to_owned(), is_fork: true })
            }
            HeadRelation::Newer => self.bring_back(head, &mut Vec::new()).await.map(drop).map_err(|error| {
                let is_fork = matches!(&error, ClientError::Vault(VaultError::ChainForks { .. }));
                LeftAside { why: error.to_string(), is_fork }
            }),
        }
    }

    /// Devices that were heard of and not read up to where they are known to be, and why.
    /// Verify devices are never waited for, nor are devices that were revoked.
    fn missing(&self, caught: &CaughtUp) -> Result<BTreeMap<DeviceId, String>, ClientError> {
        let mut wanted = self.vault.settings().heads_seen;
        wanted.extend(
            self.vault
                .chain_ends()
                .into_iter()
                .map(|end| (end.device, 0))
                .filter(|(device, _)| !self.vault.settings().heads_seen.contains_key(device)),
        );
        for other in caught.heads.values().flat_map(|head| &head.others) {
            let counter = wanted.entry(other.device).or_default();
            *counter = other.counter.max(*counter);
        }
        wanted.remove(&self.vault.device());
        let mut missing = caught.unread.clone();
        for device in &self.vault.uncounted_devices()? {
            wanted.remove(device);
            missing.remove(device);
        }
        for (device, counter) in wanted {
            match caught.heads.get(&device) {
                Some(head) if head.counter >= counter => {}
                Some(head) => {
                    let why = format!("head {counter} was seen, and {} is what is left", head.counter);
                    missing.entry(device).or_insert(why);
                }
                None => {
                    missing.entry(device).or_insert_with(|| "its head is nowhere to be found".to_owned());
                }
            }
        }
        Ok(missing)
    }

    /// A condemnation counts from when others can know of it: those that no published head of this device carries
    /// are said again, as of now.
    fn condemn_again(&self, caught: &CaughtUp) -> Result<(), ClientError> {
        let device = self.vault.device();
        let published = caught.heads.get(&device).map_or(0, |head| head.last + 1);
        let packs = self.vault.condemned_from(device, published)?;
        if !packs.is_empty() {
            self.vault.append(&condemnations(&packs, self.env.now()), &[])?;
        }
        Ok(())
    }
}

/// Items that condemn `packs` as of `at`.
pub(crate) fn condemnations(packs: &BTreeSet<PackId>, at: Timestamp) -> Vec<PlacementItem> {
    let packs: Vec<_> = packs.iter().copied().collect();
    let condemn = |part: &[PackId]| Condemn { at, snapshots: Vec::new(), packs: part.to_vec() };
    packs.chunks(NEED_COUNT_MAX).map(|part| PlacementItem::Condemn(condemn(part))).collect()
}
