//! Sets of chunk indexes: what is missing of an upload, what is wanted of a blob.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::ChunkIndex;
use crate::types::limits::CHUNK_COUNT_MAX;
use crate::wire::error::{WireError, cut};

/// A set of chunk indexes, kept and written as ascending ranges: `0-3,7,9-15`.
///
/// The text is canonical: ranges ascend, do not touch, and a range of one is written as a single number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkSet {
    /// Ascending, disjoint, not adjacent.
    ranges: Vec<RangeInclusive<u32>>,
}

impl ChunkSet {
    /// The set without a member.
    pub fn empty() -> Self {
        Self::default()
    }

    /// All chunks of a blob that has `count` of them.
    pub fn all(count: u32) -> Self {
        Self { ranges: count.checked_sub(1).map(|last| 0..=last).into_iter().collect() }
    }

    /// Whether the set has no member.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many chunks are in the set.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// The largest index in the set.
    pub fn last(&self) -> Option<ChunkIndex> {
        self.ranges.last().map(|range| ChunkIndex(*range.end()))
    }

    /// Whether the chunk is in the set.
    pub fn contains(&self, index: ChunkIndex) -> bool {
        let after = self.ranges.partition_point(|range| *range.start() <= index.0);
        after.checked_sub(1).is_some_and(|at| self.ranges[at].contains(&index.0))
    }

    /// Adds a chunk; says whether it is new.
    pub fn insert(&mut self, index: ChunkIndex) -> bool {
        let index = index.0;
        let at = self.ranges.partition_point(|range| *range.start() <= index);
        let before = at.checked_sub(1).map(|at| self.ranges[at].clone());
        if before.as_ref().is_some_and(|range| range.contains(&index)) {
            return false;
        }
        let joins_before = before.filter(|range| range.end().checked_add(1) == Some(index));
        let joins_after =
            self.ranges.get(at).filter(|range| index.checked_add(1) == Some(*range.start())).cloned();
        match (joins_before, joins_after) {
            (Some(before), Some(after)) => {
                self.ranges[at - 1] = *before.start()..=*after.end();
                self.ranges.remove(at);
            }
            (Some(before), None) => self.ranges[at - 1] = *before.start()..=index,
            (None, Some(after)) => self.ranges[at] = index..=*after.end(),
            (None, None) => self.ranges.insert(at, index..=index),
        }
        true
    }

    /// The chunks below `count` that are not in the set.
    #[must_use]
    pub fn complement(&self, count: u32) -> Self {
        let mut ranges = Vec::new();
        let mut next = 0;
        for range in self.ranges.iter().filter(|range| *range.start() < count) {
            if next < *range.start() {
                ranges.push(next..=range.start() - 1);
            }
            next = range.end().saturating_add(1);
        }
        if next < count {
            ranges.push(next..=count - 1);
        }
        Self { ranges }
    }

    /// The chunks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.ranges.iter().cloned().flatten().map(ChunkIndex)
    }

    /// Parses the canonical text. Indexes are below [`CHUNK_COUNT_MAX`], so the set is small whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let refuse = || WireError::ChunkSet { text: cut(text) };
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (start, end) = match part.split_once('-') {
                Some((start, end)) => (parse_index(start), parse_index(end).filter(|_| start != end)),
                None => (parse_index(part), parse_index(part)),
            };
            let (Some(start), Some(end)) = (start, end) else { return Err(refuse()) };
            let ascends = ranges.last().is_none_or(|range| range.end() + 1 < start);
            if start > end || !ascends {
                return Err(refuse());
            }
            ranges.push(start..=end);
        }
        Ok(Self { ranges })
    }
}

/// A decimal index without sign or leading zeros, below [`CHUNK_COUNT_MAX`].
fn parse_index(text: &str) -> Option<u32> {
    let index = text.parse::<u32>().ok().filter(|index| *index < CHUNK_COUNT_MAX)?;
    (index.to_string() == text).then_some(index)
}

impl FromIterator<ChunkIndex> for ChunkSet {
    fn from_iter<I: IntoIterator<Item = ChunkIndex>>(indexes: I) -> Self {
        let mut set = Self::empty();
        for index in indexes {
            set.insert(index);
        }
        set
    }
}

impl fmt::Display for ChunkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for ChunkSet {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ChunkSet {
    type Error = WireError;

    fn try_from(text: String) -> Result<Self, WireError> {
        Self::parse(&text)
    }
}

impl From<ChunkSet> for String {
    fn from(set: ChunkSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunk_set_behaves_like_a_set(indexes in proptest::collection::vec(0..40_u32, 0..60)) {
            let model: BTreeSet<u32> = indexes.iter().copied().collect();
            let set: ChunkSet = indexes.into_iter().map(ChunkIndex).collect();
            prop_assert_eq!(set.count() as usize, model.len());
            for index in 0..42 {
                prop_assert_eq!(set.contains(ChunkIndex(index)), model.contains(&index));
            }
            let missing: Vec<u32> = set.complement(40).iter().map(|index| index.0).collect();
            let expected: Vec<u32> = (0..40).filter(|index| !model.contains(index)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert_eq!(ChunkSet::parse(&set.to_string()).unwrap(), set);
        }

        #[test]
        fn every_accepted_chunk_set_text_is_canonical(text in "[0-9,-]{0,12}") {
            if let Ok(set) = ChunkSet::parse(&text) {
                prop_assert_eq!(set.to_string(), text);
            }
        }
    }

    #[test]
    fn chunk_set_text_that_is_not_canonical_is_refused() {
        for text in [
            "1,0",
            "0,1",
            "0-0",
            "3-1",
            "0-4,3",
            "00",
            "+1",
            " 1",
            "1,",
            ",",
            "-",
            "1-",
            "320",
            "0-320",
            "4294967296",
        ] {
            assert!(ChunkSet::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn complement_of_nothing_is_everything() {
        assert_eq!(ChunkSet::empty().complement(0), ChunkSet::empty());
        assert_eq!(ChunkSet::empty().complement(16), ChunkSet::all(16));
        assert_eq!(ChunkSet::all(16).complement(16), ChunkSet::empty());
        assert_eq!(ChunkSet::all(20).complement(16), ChunkSet::empty());
    }
}
