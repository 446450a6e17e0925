//! Which of some packs each of some snapshots needs, found in one pass over what is recorded: a bit for each of both, so
//! that a year of snapshots of a million packs takes 48 MB.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{PackId, SnapshotId};
use crate::vault::VaultError;
use crate::vault::manifest::Manifest;
use crate::vault::needs::{Said, not_before};

/// The answer.
#[derive(Debug)]
pub struct NeedsAmong {
    /// The packs, ascending.
    packs: Vec<PackId>,
    needs: BTreeMap<SnapshotId, Bits>,
}

/// One for each pack.
#[derive(Debug, Clone)]
struct Bits(Vec<u64>);

impl NeedsAmong {
    /// Those of the packs that a snapshot needs.
    pub fn of(&self, snapshot: &SnapshotId) -> BTreeSet<PackId> {
        self.needs.get(snapshot).into_iter().flat_map(|bits| bits.of(&self.packs)).collect()
    }

    /// Those that any of the snapshots needs.
    pub(crate) fn of_any(&self) -> impl Iterator<Item = PackId> {
        let mut any = Bits::none(self.packs.len());
        for bits in self.needs.values() {
            any.add(bits);
        }
        any.of(&self.packs).collect::<Vec<_>>().into_iter()
    }
}

impl Manifest {
    /// Which of `packs` each of the `wanted` snapshots needs, without those that it was released from.
    pub(crate) fn needs_among(
        &self,
        wanted: &BTreeSet<SnapshotId>,
        packs: &BTreeSet<PackId>,
    ) -> Result<NeedsAmong, VaultError> {
        let rows = self.catalog.all_needs()?;
        let built_on: BTreeSet<(u16, SnapshotId)> =
            rows.iter().filter_map(|(place, _, base)| Some((place.chain, (*base)?))).collect();
        let packs: Vec<_> = packs.iter().copied().collect();
        let mut built: BTreeMap<(u16, SnapshotId), Bits> = BTreeMap::new();
        for (place, snapshot, _) in rows {
            let key = (place.chain, snapshot);
            if !wanted.contains(&snapshot) && !built_on.contains(&key) {
                continue;
            }
            let bits = match self.said(place, &snapshot)? {
                Said::Packs(with) => {
                    let mut bits = Bits::none(packs.len());
                    bits.set(&with, &packs, true);
                    bits
                }
                Said::After(after) => {
                    let mut bits = built.get(&(place.chain, after.base)).ok_or_else(not_before)?.clone();
                    bits.set(&after.without, &packs, false);
                    bits.set(&after.with, &packs, true);
                    bits
                }
            };
            built.entry(key).and_modify(|known| known.add(&bits)).or_insert(bits);
        }
        let mut needs: BTreeMap<SnapshotId, Bits> = BTreeMap::new();
        for ((_, snapshot), bits) in built {
            if wanted.contains(&snapshot) {
                needs.entry(snapshot).and_modify(|known| known.add(&bits)).or_insert(bits);
            }
        }
        for (pack, snapshot) in self.catalog.releases()? {
            if let Some(bits) = needs.get_mut(&snapshot) {
                bits.set(&[pack], &packs, false);
            }
        }
        Ok(NeedsAmong { packs, needs })
    }
}

impl Bits {
    fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Sets those of `some` which there are among `all`, which ascend.
    fn set(&mut self, some: &[PackId], all: &[PackId], to: bool) {
        for index in some.iter().filter_map(|pack| all.binary_search(pack).ok()) {
            let (word, bit) = (&mut self.0[index / 64], 1 << (index % 64));
            if to {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
    }

    fn add(&mut self, more: &Self) {
        for (word, more) in self.0.iter_mut().zip(&more.0) {
            *word |= more;
        }
    }

    fn of<'a>(&'a self, all: &'a [PackId]) -> impl Iterator<Item = PackId> + 'a {
        let is_set = |index: usize| self.0[index / 64] >> (index % 64) & 1 == 1;
        all.iter().enumerate().filter(move |(index, _)| is_set(*index)).map(|(_, pack)| *pack)
    }
}
