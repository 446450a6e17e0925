//! Items that let go of what is no longer wanted (docs/format.md, "Placement items"; invariant I12).

use crate::types::limits::{CONDEMNED_SNAPSHOT_COUNT_MAX, NEED_COUNT_MAX};
use crate::types::{PackId, SnapshotId, Timestamp};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};

const SNAPSHOTS: &str = "snapshots of an item";
const PACKS: &str = "packs of an item";

/// Snapshots that are removed, and packs that are to be deleted later unless a live snapshot needs them then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemn {
    /// When; deletion waits from the latest time that a pack was condemned.
    pub at: Timestamp,
    /// Snapshots that are removed for good, ascending.
    pub snapshots: Vec<SnapshotId>,
    /// Packs, ascending.
    pub packs: Vec<PackId>,
}

/// Snapshots that no longer need a pack: what they reach in it was stored anew, in other packs that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The pack.
    pub pack: PackId,
    /// The snapshots, ascending.
    pub snapshots: Vec<SnapshotId>,
}

/// Packs whose blobs were deleted at their providers: nothing asks for them any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The packs, ascending.
    pub packs: Vec<PackId>,
}

impl Encoding for Condemn {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.u64(self.at.0);
        check_order(&self.snapshots)?;
        out.list(&self.snapshots, CONDEMNED_SNAPSHOT_COUNT_MAX, SNAPSHOTS)?;
        check_order(&self.packs)?;
        out.list(&self.packs, NEED_COUNT_MAX, PACKS)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let at = Timestamp(input.u64()?);
        let snapshots = read_ascending(input, CONDEMNED_SNAPSHOT_COUNT_MAX, SNAPSHOTS)?;
        Ok(Self { at, snapshots, packs: read_ascending(input, NEED_COUNT_MAX, PACKS)? })
    }
}

impl Encoding for Release {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.pack.write(out)?;
        check_order(&self.snapshots)?;
        out.list(&self.snapshots, CONDEMNED_SNAPSHOT_COUNT_MAX, SNAPSHOTS)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let pack = PackId::read(input)?;
        Ok(Self { pack, snapshots: read_ascending(input, CONDEMNED_SNAPSHOT_COUNT_MAX, SNAPSHOTS)? })
    }
}

impl Encoding for Dropped {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        check_order(&self.packs)?;
        out.list(&self.packs, NEED_COUNT_MAX, PACKS)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { packs: read_ascending(input, NEED_COUNT_MAX, PACKS)? })
    }
}

pub(super) fn read_ascending<T: Encoding + Ord>(
    input: &mut Reader<'_>,
    max: usize,
    what: &'static str,
) -> Result<Vec<T>, FormatError> {
    let ids = input.list(max, what)?;
    check_order(&ids)?;
    Ok(ids)
}

/// A set has one encoding: ascending, each once.
pub(super) fn check_order<T: Ord>(ids: &[T]) -> Result<(), FormatError> {
    if ids.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(());
    }
    Err(FormatError::Invalid { what: "a list of ids", rule: "they ascend, each once" })
}
