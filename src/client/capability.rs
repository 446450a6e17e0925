//! Capabilities handed out and taken back: both stand in a published head before anything relies on them.

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::error::ClientError;
use crate::format::Capability;
use crate::types::DeviceId;
use crate::types::limits::{HEAD_RELAY_COUNT_MAX, LABEL_LEN_MAX};

impl Client {
    /// Makes a verify capability. When this returns, the grant of it stands in a head that was read back from a relay, so
    /// that the vault's devices listen to its holder.
    ///
    /// # Errors
    /// As of a put that finds too few providers, or no relay; [`ClientError::LabelTooLong`].
    pub async fn export_capability(&mut self, label: &str) -> Result<Capability, ClientError> {
        if label.len() > LABEL_LEN_MAX {
            return Err(ClientError::LabelTooLong { text: label.to_owned(), max: LABEL_LEN_MAX });
        }
        let caught = self.catch_up_to_write().await?;
        let crew = self.crew(1, &caught).await?;
        let relays =
            self.carrier.relays().iter().take(HEAD_RELAY_COUNT_MAX).map(ToString::to_string).collect();
        let capability = self.vault.grant_capability(label, relays)?;
        self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await?;
        Ok(capability)
    }

    /// Revokes a device: from when the head is read that this publishes, its heads are not followed any more if it is a
    /// verify device, and not waited for if it is a full one. What others have of its records stays.
    ///
    /// # Errors
    /// [`ClientError::OwnDevice`]; as of [`Client::export_capability`].
    pub async fn revoke_device(&mut self, device: DeviceId) -> Result<(), ClientError> {
        let caught = self.catch_up_to_write().await?;
        if device == self.vault.device() {
            return Err(ClientError::OwnDevice { device });
        }
        let crew = self.crew(1, &caught).await?;
        if !self.vault.revoked_devices()?.contains(&device) {
            self.vault.revoke_device(device)?;
        }
        if self.is_published(&caught) {
            return Ok(());
        }
        self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await
    }

    async fn catch_up_to_write(&mut self) -> Result<CaughtUp, ClientError> {
        self.vault.keys()?;
        let caught = self.catch_up().await?;
        if caught.relays == 0 { Err(ClientError::RelaysSilent) } else { Ok(caught) }
    }
}

#[cfg(test)]
mod tests;
