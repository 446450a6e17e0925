//! Items that name the vault's verify devices, and those that do not count any more (docs/format.md, "Placement items").

use crate::crypt::PublicKey;
use crate::types::limits::LABEL_LEN_MAX;
use crate::types::{DeviceId, Timestamp};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};

/// A verify device that a capability was exported for. Whoever reads it knows whose head to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The device.
    pub device: DeviceId,
    /// When the capability was made.
    pub created: Timestamp,
    /// Signs the events that carry the device's heads.
    pub author: PublicKey,
    /// A name for people; may be empty.
    pub label: String,
}

/// A device that does not count any more, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoke {
    /// The device.
    pub device: DeviceId,
}

impl Encoding for Grant {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.device.write(out)?;
        out.u64(self.created.0);
        self.author.write(out)?;
        out.text(&self.label, LABEL_LEN_MAX, "bytes of a label")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            device: DeviceId::read(input)?,
            created: Timestamp(input.u64()?),
            author: PublicKey::read(input)?,
            label: input.text(LABEL_LEN_MAX, "bytes of a label")?,
        })
    }
}

impl Encoding for Revoke {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.device.write(out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { device: DeviceId::read(input)? })
    }
}
