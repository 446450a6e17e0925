//! Verify devices, as the others see them: whose heads are read, and what a revocation means (docs/format.md, "Grant",
//! "Revoke").

use std::collections::BTreeMap;

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::error::ClientError;
use crate::client::head::find::{self, Authors, DeviceHeads};
use crate::crypt::DeviceClass;
use crate::format::Head;
use crate::types::DeviceId;
use crate::vault::{HeadRelation, RecordFault, VaultError};

impl Client {
    /// Who signs the heads of the devices that count, as far as this home knows of them.
    pub(crate) fn authors(&self) -> Result<Authors, ClientError> {
        let access = self.vault.access();
        let mut authors = Authors::full(access)?.and_own(access);
        for grant in self.vault.live_grants()? {
            authors.add(&grant);
        }
        Ok(authors)
    }

    /// What is to be done where a record says that this device does not count any more.
    ///
    /// # Errors
    /// [`ClientError::Revoked`] if it is a verify device. A full one was taken for lost, and goes on as a new device:
    /// nobody waits for the old one any more.
    pub(crate) fn heed_revocations(&self) -> Result<(), ClientError> {
        let device = self.vault.device();
        if !self.vault.revoked_devices()?.contains(&device) {
            return Ok(());
        }
        if self.vault.class() == DeviceClass::Verify {
            return Err(ClientError::Revoked { device });
        }
        self.vault.start_new_device()?;
        self.monitor.note("this device was revoked by another one, and goes on as a new device");
        Ok(())
    }

    /// Brings in what the verify devices have published: those in `found`, whose heads `asked` sign, and those that the
    /// full devices have granted since.
    pub(crate) async fn catch_up_with_verifiers(
        &self,
        mut found: BTreeMap<DeviceId, DeviceHeads>,
        asked: &Authors,
        caught: &mut CaughtUp,
    ) -> Result<(), ClientError> {
        let own = self.vault.device();
        let is_verify = self.vault.class() == DeviceClass::Verify;
        if is_verify && self.vault.chain_ends().iter().all(|end| end.device == own) {
            return Err(ClientError::NoHead { relays: caught.relays, providers: 0 });
        }
        let live = self.vault.live_grants()?;
        let mut news = Authors::full(self.vault.access())?;
        live.iter().filter(|grant| !asked.has(grant)).for_each(|grant| news.add(grant));
        if !news.is_full_only() {
            found.extend(find::on_relays(&*self.carrier, &news, self.vault.access()).await?.take_verifiers());
        }
        found.retain(|device, _| *device == own || live.iter().any(|grant| grant.device == *device));
        for (device, offered) in found {
            if device == own {
                self.go_on_from(&offered.newest).await?;
                if offered.relays.len() < caught.relays {
                    caught.not_everywhere.insert(device);
                }
            } else if let Err(left) = self.follow(&offered.newest).await {
                let why = left.why;
                self.monitor.note(&format!("verify device {} is not followed: {why}", device.short()));
                continue;
            }
            caught.verifiers.insert(device, offered.newest);
        }
        Ok(())
    }

    /// Goes on from this verify device's own head. Its home may have been lost or put back: unlike a full device it is
    /// one device for good, so it takes over what it has published itself.
    ///
    /// # Errors
    /// [`ClientError::CapabilityShared`] if another home has written the same chain.
    async fn go_on_from(&self, head: &Head) -> Result<(), ClientError> {
        let device = head.device;
        match self.vault.compare_head(head)? {
            HeadRelation::Same => Ok(()),
            HeadRelation::Older => {
                let counter = head.counter;
                self.monitor
                    .note(&format!("the relays offer head {counter} of this device, which is an older one"));
                Ok(())
            }
            HeadRelation::Forked => Err(ClientError::CapabilityShared { device }),
            HeadRelation::Newer => {
                match self.bring_back(head, &mut Vec::new()).await {
                    Ok(_) => {}
                    // It has records of its own that the head does not lead to.
                    Err(ClientError::Vault(error)) if is_fork(&error) => {
                        return Err(ClientError::CapabilityShared { device });
                    }
                    Err(ClientError::Integrity { .. }) => {
                        return Err(ClientError::CapabilityShared { device });
                    }
                    Err(error) => return Err(error),
                }
                Ok(self.vault.set_head(head)?)
            }
        }
    }
}

/// True if records contradict those of this home: the same one differs, or the next one follows another.
fn is_fork(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::ChainForks { .. } | VaultError::DamagedRecord { fault: RecordFault::BrokenLink, .. }
    )
}
