//! Which runs of a chain a new head keeps, and which it writes anew (docs/format.md, "Runs").
//!
//! Runs stand from the oldest records to the newest and their levels never rise. New records form a run of level 0;
//! eight runs of a level become one of the next, so that a chain of N records has about 7 · log8(N) runs and each record
//! is stored log8(N) times. A run is no longer than one index can name packs for: what is longer is cut, and the full
//! pieces stay as they are.

use super::head::Run;

/// The level of a run that is as long as one can be: it never becomes part of another.
pub const FULL_LEVEL: u8 = u8::MAX;
/// So many runs of one level become one of the next.
pub const RUNS_PER_LEVEL: usize = 8;

/// The level of a run, and the records that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSpan {
    /// Its level.
    pub level: u8,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
}

/// What a new head does with the runs of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// So many of the oldest runs stay as they are.
    pub keep: usize,
    /// One run holds all other records, new and old.
    pub write: RunSpan,
}

impl From<&Run> for RunSpan {
    fn from(run: &Run) -> Self {
        Self { level: run.level, first: run.first, last: run.last }
    }
}

/// Decides how a chain with its last record at `last` is stored, given the runs that exist, oldest first. None if the
/// runs hold all of it.
///
/// At most `run_max` runs are left, at least one, unless more are full; a caller whose head is still too long asks again for
/// fewer.
pub fn plan(existing: &[RunSpan], last: u64, run_max: usize) -> Option<Plan> {
    let first = existing.last().map_or(0, |run| run.last.saturating_add(1));
    if first > last {
        return None;
    }
    let mut plan = Plan { keep: existing.len(), write: RunSpan { level: 0, first, last } };
    while let Some(newest) = existing[..plan.keep].last().filter(|newest| newest.level != FULL_LEVEL) {
        let same_level =
            existing[..plan.keep].iter().rev().take_while(|run| run.level == newest.level).count();
        let level_is_full = newest.level <= plan.write.level && same_level + 1 >= RUNS_PER_LEVEL;
        if !level_is_full && newest.level >= plan.write.level && plan.keep < run_max.max(1) {
            break;
        }
        plan.keep -= same_level;
        plan.write.level = newest.level.max(plan.write.level).saturating_add(1).min(FULL_LEVEL - 1);
        plan.write.first = existing[plan.keep].first;
    }
    Some(plan)
}

/// The runs that a stretch of records becomes that is cut behind these records: all but the last are full.
pub fn cut(span: RunSpan, cuts: &[u64]) -> Vec<RunSpan> {
    let mut first = span.first;
    let mut spans = Vec::with_capacity(cuts.len());
    for last in cuts {
        let level = if *last == span.last { span.level } else { FULL_LEVEL };
        spans.push(RunSpan { level, first, last: *last });
        first = last + 1;
    }
    spans
}
