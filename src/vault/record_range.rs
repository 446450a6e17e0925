//! Stretches of a chain's records, read part by part: all of them may be more than fits into memory.

use std::sync::Arc;

use crate::types::DeviceId;
use crate::vault::log::ChainLog;
use crate::vault::manifest::Manifest;
use crate::vault::{Vault, VaultError};

/// Records `first..=last` of a chain, end to end.
#[derive(Debug)]
pub struct RecordRange {
    log: Arc<ChainLog>,
    offset: u64,
    len: u64,
}

impl RecordRange {
    /// How many bytes they are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether they are none, which records never are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from `at` on, `len_max` of them or as many as there are.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn part(&self, at: u64, len_max: usize) -> Result<Vec<u8>, VaultError> {
        let left = self.len.saturating_sub(at);
        let len = usize::try_from(left).map_or(len_max, |left| left.min(len_max));
        self.log.read(self.offset + at, len)
    }
}

impl Vault {
    /// Records `first..=last` of a device's chain.
    ///
    /// # Errors
    /// [`VaultError::NoSuchRecords`].
    pub fn record_range(&self, device: DeviceId, first: u64, last: u64) -> Result<RecordRange, VaultError> {
        self.manifest.record_range(device, first, last)
    }

    /// Cuts records `first..=last` of a device's chain into stretches of at most `len_max` bytes, or of one record: the last
    /// record of each.
    ///
    /// # Errors
    /// [`VaultError::NoSuchRecords`].
    pub fn cut_records(
        &self,
        device: DeviceId,
        (mut first, last): (u64, u64),
        len_max: u64,
    ) -> Result<Vec<u64>, VaultError> {
        let mut cuts = Vec::new();
        loop {
            let fits = |end| Ok::<_, VaultError>(self.record_range(device, first, end)?.len() <= len_max);
            if first == last || fits(last)? {
                cuts.push(last);
                return Ok(cuts);
            }
            // The first record always goes, the whole stretch does not.
            let (mut good, mut bad) = (first, last);
            while good + 1 < bad {
                let middle = good + (bad - good) / 2;
                if fits(middle)? { good = middle } else { bad = middle }
            }
            cuts.push(good);
            first = good + 1;
        }
    }
}

impl Manifest {
    /// Records `first..=last` of a chain, end to end.
    pub(crate) fn record_range(
        &self,
        device: DeviceId,
        first: u64,
        last: u64,
    ) -> Result<RecordRange, VaultError> {
        let missing = || VaultError::NoSuchRecords { device, first, last };
        if first > last {
            return Err(missing());
        }
        let log = self.log(device).ok_or_else(missing)?;
        let start = self.catalog.record(device, first)?.ok_or_else(missing)?;
        let end = self.catalog.record(device, last)?.ok_or_else(missing)?;
        let len = (end.offset + u64::from(end.len)).checked_sub(start.offset).ok_or_else(missing)?;
        Ok(RecordRange { log, offset: start.offset, len })
    }
}
