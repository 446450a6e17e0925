//! A chain of records, followed link by link (docs/format.md, "Chains"; invariant I5).

use crate::crypt::{LayerKey, PublicKey};
use crate::types::{DeviceId, VaultId};

use super::FormatError;
use super::placement::{ChainEnd, Device, PlacementItem};
use super::record::{Place, Record, RecordHash};

/// A record that is not the next link of its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The record is well formed but belongs to another device.
    #[error("a record of device {} in the chain of device {}", found.short(), wanted.short())]
    OtherDevice {
        /// Whose chain it is.
        wanted: DeviceId,
        /// Whose record it is.
        found: DeviceId,
    },
    /// A record is missing, or comes twice.
    #[error("record {found} of device {} follows where record {wanted} should", device.short())]
    OutOfOrder {
        /// Whose chain it is.
        device: DeviceId,
        /// The place that is next.
        wanted: u64,
        /// The place of the record.
        found: u64,
    },
    /// The record follows another record than the one before it: the chain was forked or changed.
    #[error("record {sequence} of device {} does not follow the record before it", device.short())]
    Forked {
        /// Whose chain it is.
        device: DeviceId,
        /// The place of the record.
        sequence: u64,
    },
    /// The first record is not the one item that names the device.
    #[error("the chain of device {} does not begin with its device", device.short())]
    NoBeginning {
        /// Whose chain it is.
        device: DeviceId,
    },
    /// The record itself is wrong.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// What the chain of a vault's device is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    /// The vault.
    pub vault: VaultId,
    /// Its public key, which certifies devices.
    pub vault_key: PublicKey,
    /// Opens the first record.
    pub placement_key: &'a LayerKey,
}

/// A device's chain as far as it was followed.
#[derive(Debug, Clone)]
pub struct Chain {
    device: Device,
    last: u64,
    last_hash: RecordHash,
}

impl Chain {
    /// Begins with the first record: it must carry the device, certified by the vault, and be signed by it.
    pub fn begin(record: &Record, anchor: &Anchor<'_>) -> Result<Self, ChainError> {
        let place = record.place();
        let no_beginning = ChainError::NoBeginning { device: place.device };
        if place.sequence != 0 {
            return Err(ChainError::OutOfOrder { device: place.device, wanted: 0, found: place.sequence });
        }
        let items: Vec<PlacementItem> = record.open(anchor.vault, anchor.placement_key)?;
        let Ok([PlacementItem::Device(device)]) = <[_; 1]>::try_from(items) else { return Err(no_beginning) };
        if device.id != place.device {
            return Err(no_beginning);
        }
        device.verify(anchor.vault, &anchor.vault_key)?;
        record.verify(&device.key)?;
        Ok(Self { device, last: 0, last_hash: record.hash() })
    }

    /// Goes on to the next record: it must follow the last one and be signed by the device.
    pub fn follow(&mut self, record: &Record) -> Result<(), ChainError> {
        let (device, place, next) = (self.device.id, record.place(), self.next());
        if place.device != device {
            return Err(ChainError::OtherDevice { wanted: device, found: place.device });
        }
        if place.sequence != next.sequence {
            return Err(ChainError::OutOfOrder { device, wanted: next.sequence, found: place.sequence });
        }
        if place.previous != next.previous {
            return Err(ChainError::Forked { device, sequence: place.sequence });
        }
        record.verify(&self.device.key)?;
        self.last = place.sequence;
        self.last_hash = record.hash();
        Ok(())
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The last record.
    pub fn end(&self) -> ChainEnd {
        ChainEnd { device: self.device.id, sequence: self.last, hash: self.last_hash }
    }

    /// Where the next record goes.
    pub fn next(&self) -> Place {
        Place { device: self.device.id, sequence: self.last + 1, previous: self.last_hash }
    }
}
