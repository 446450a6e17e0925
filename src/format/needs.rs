//! What a snapshot needs, told by how it differs from what another one needs (docs/format.md, "Placement items"): so that
//! the snapshots of a vault that hardly changes take what its changes take, and not what the whole vault takes.

use crate::types::limits::NEED_CHANGE_COUNT_MAX;
use crate::types::{PackId, SnapshotId};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::removal::{check_order, read_ascending};

const PACKS: &str = "packs by which needs differ";

/// A snapshot needs what the base needs by what stands before this in the same chain, without some packs and with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsAfter {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The snapshot that it is told by.
    pub base: SnapshotId,
    /// Packs that only the base needs, ascending.
    pub without: Vec<PackId>,
    /// Packs that the base does not need, ascending.
    pub with: Vec<PackId>,
}

impl NeedsAfter {
    fn check(&self) -> Result<(), FormatError> {
        check_order(&self.without)?;
        check_order(&self.with)?;
        let broken = |rule| Err(FormatError::Invalid { what: "needs after others", rule });
        if self.base == self.snapshot {
            return broken("a snapshot is told by another");
        }
        if self.with.iter().any(|pack| self.without.binary_search(pack).is_ok()) {
            return broken("no pack is both left out and added");
        }
        Ok(())
    }
}

impl Encoding for NeedsAfter {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        self.snapshot.write(out)?;
        self.base.write(out)?;
        out.list(&self.without, NEED_CHANGE_COUNT_MAX, PACKS)?;
        out.list(&self.with, NEED_CHANGE_COUNT_MAX, PACKS)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let needs = Self {
            snapshot: SnapshotId::read(input)?,
            base: SnapshotId::read(input)?,
            without: read_ascending(input, NEED_CHANGE_COUNT_MAX, PACKS)?,
            with: read_ascending(input, NEED_CHANGE_COUNT_MAX, PACKS)?,
        };
        needs.check()?;
        Ok(needs)
    }
}
