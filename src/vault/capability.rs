//! Verify capabilities: exported by a full device, listed, revoked; and the file that holds one.

use std::collections::BTreeSet;
use std::path::Path;

use zeroize::Zeroizing;

use crate::crypt::DeviceClass;
use crate::format::{Capability, Grant, PlacementItem, Revoke};
use crate::types::DeviceId;
use crate::types::limits::VERIFY_DEVICE_COUNT_MAX;
use crate::vault::{Vault, VaultError, files, key_file};

/// More than any capability has.
const CAPABILITY_FILE_LEN_MAX: u64 = 64 * 1024;

/// Reads the capability in a file that nobody but its owner may use.
///
/// # Errors
/// [`VaultError::LooseKeyFile`], [`VaultError::NotACapability`], or what the system says.
pub fn read_capability(path: &Path) -> Result<Capability, VaultError> {
    let missing = || VaultError::io("open", path)(std::io::ErrorKind::NotFound.into());
    let bytes = files::read_small(path, CAPABILITY_FILE_LEN_MAX)?.ok_or_else(missing)?;
    key_file::refuse_loose(path)?;
    parse_capability(&bytes, &path.display().to_string())
}

/// Writes a capability, durably and for the owner alone.
pub fn write_capability(path: &Path, capability: &Capability) -> Result<(), VaultError> {
    let text = capability.to_text()?;
    let line = Zeroizing::new([text.as_bytes(), b"\n"].concat());
    files::write_atomically(path, &line)
}

/// The capability in the bytes of a file; an error repeats nothing of them.
pub(crate) fn parse_capability(bytes: &[u8], source_name: &str) -> Result<Capability, VaultError> {
    let text = str::from_utf8(bytes).unwrap_or_default();
    Capability::parse(text)
        .map_err(|source| VaultError::NotACapability { source_name: source_name.to_owned(), source })
}

impl Vault {
    /// The verify devices that a capability was ever exported for, oldest first.
    pub fn grants(&self) -> Result<Vec<Grant>, VaultError> {
        self.manifest.grants()
    }

    /// Devices that were revoked.
    pub fn revoked_devices(&self) -> Result<BTreeSet<DeviceId>, VaultError> {
        self.manifest.catalog.revoked()
    }

    /// Devices that nobody waits for and nobody relies on: the verify devices, and all that were revoked.
    pub fn uncounted_devices(&self) -> Result<BTreeSet<DeviceId>, VaultError> {
        let mut devices = self.revoked_devices()?;
        devices.extend(self.grants()?.into_iter().map(|grant| grant.device));
        Ok(devices)
    }

    /// Those of the grants that were not revoked.
    pub fn live_grants(&self) -> Result<Vec<Grant>, VaultError> {
        let (mut grants, revoked) = (self.grants()?, self.revoked_devices()?);
        grants.retain(|grant| !revoked.contains(&grant.device));
        grants.truncate(VERIFY_DEVICE_COUNT_MAX);
        Ok(grants)
    }

    /// Makes a capability, and records that there is one. It counts once a head was published.
    ///
    /// # Errors
    /// [`VaultError::TooManyGrants`]; [`VaultError::ContentsSealed`] without the vault's secret.
    pub fn grant_capability(&self, label: &str, relays: Vec<String>) -> Result<Capability, VaultError> {
        let keys = self.keys()?;
        if self.live_grants()?.len() >= VERIFY_DEVICE_COUNT_MAX {
            return Err(VaultError::TooManyGrants { max: VERIFY_DEVICE_COUNT_MAX });
        }
        let device = DeviceId::new(self.env.random_bytes());
        let capability = Capability::issue(device, self.env.now(), relays, keys);
        self.append(&[PlacementItem::Grant(capability.grant(label))], &[])?;
        Ok(capability)
    }

    /// Records that a device does not count any more.
    ///
    /// # Errors
    /// [`VaultError::ContentsSealed`] without the vault's secret.
    pub fn revoke_device(&self, device: DeviceId) -> Result<(), VaultError> {
        self.keys()?;
        self.append(&[PlacementItem::Revoke(Revoke { device })], &[])
    }

    /// The device whose id begins with `text`, of all that this home has heard of, and its class.
    ///
    /// # Errors
    /// [`VaultError::NoSuchDevice`] if there is none, or more than one.
    pub fn find_device(&self, text: &str) -> Result<(DeviceId, DeviceClass), VaultError> {
        let granted: BTreeSet<_> = self.grants()?.into_iter().map(|grant| grant.device).collect();
        let mut known = granted.clone();
        known.extend(self.chain_ends().into_iter().map(|end| end.device));
        known.extend(self.settings().heads_seen.into_keys());
        let mut meant = known.into_iter().filter(|device| device.to_string().starts_with(text));
        let none = || VaultError::NoSuchDevice { text: text.to_owned() };
        let device = meant.next().filter(|_| !text.is_empty()).ok_or_else(none)?;
        if meant.next().is_some() {
            return Err(none());
        }
        let class = if granted.contains(&device) { DeviceClass::Verify } else { DeviceClass::Full };
        Ok((device, class))
    }
}
