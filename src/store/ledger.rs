//! The index and its log as one: a change is in both, in the same order, and durable when `commit` returns.
//!
//! Many threads change and commit at once; one of them writes what all of them have queued, with one sync (group
//! commit), while the others wait for it. The names of new files are made safe in the same stroke, before the records
//! that speak of them.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::files::Files;
use crate::store::index::Index;
use crate::store::log::{self, LogState, Writer};
use crate::store::record::Record;
use crate::store::{Disk, StoreError};
use crate::types::Timestamp;
use crate::types::limits::STORE_QUEUE_COUNT_MAX;

pub(super) struct Ledger {
    disk: Arc<dyn Disk>,
    shared: Mutex<Shared>,
    settled: Condvar,
    /// Taken by whoever set `Shared::writing`.
    writer: Mutex<Writer>,
}

struct Shared {
    index: Index,
    /// Applied to the index, not yet safe.
    queue: Vec<Record>,
    /// Records in the queue speak of files whose names may not be safe.
    named: bool,
    /// How many records were ever queued.
    queued: u64,
    /// How many of them are safe.
    durable: u64,
    /// How many of them were tried in vain, and why the last try failed.
    failed: u64,
    failure: Option<(std::io::ErrorKind, String)>,
    writing: bool,
    /// Slots at which the log is written anew.
    compact_at: u64,
    slack: u64,
}

/// What has to be durable for a change to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The index during one change: it is changed by records alone.
pub(super) struct Changing<'a> {
    shared: &'a mut Shared,
}

impl Changing<'_> {
    pub(super) fn index(&self) -> &Index {
        &self.shared.index
    }

    /// For what is not in the log: the state of the files.
    pub(super) fn index_mut(&mut self) -> &mut Index {
        &mut self.shared.index
    }

    pub(super) fn record(&mut self, record: Record) {
        self.shared.index.apply(&record);
        self.shared.queue.push(record);
        self.shared.queued += 1;
    }

    /// The names of the files that were written for this change become safe before its records.
    pub(super) fn names_files(&mut self) {
        self.shared.named = true;
    }

    /// Whether the log keeps up: refuse changes otherwise.
    pub(super) fn has_room(&self) -> bool {
        self.shared.queue.len() < STORE_QUEUE_COUNT_MAX
    }
}

impl Ledger {
    /// Reads the log, and starts one where there is none; then syncs the names in the store's folder.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        slack: u64,
        now: Timestamp,
    ) -> Result<(Self, LogState), StoreError> {
        let mut index = Index::default();
        let state = log::read(&*disk, |record| index.apply(record))?;
        let mut queue = Vec::new();
        if state.slot_count == 0 {
            let begun = Record::Tick { now };
            index.apply(&begun);
            queue.push(begun);
        } else {
            // Found by a name that a crash may still undo.
            let folder = Path::new("");
            disk.sync_dir(folder).map_err(StoreError::disk(folder))?;
        }
        let writer = Writer::new(state);
        let shared = Shared {
            // What is damaged in it tells at the next start that there is something to adopt.
            compact_at: u64::MAX,
            slack,
            index,
            queued: queue.len() as u64,
            queue,
            named: false,
            durable: 0,
            failed: 0,
            failure: None,
            writing: false,
        };
        Ok((
            Self { disk, shared: Mutex::new(shared), settled: Condvar::new(), writer: Mutex::new(writer) },
            state,
        ))
    }

    /// Makes durable what was changed since the log was read, in a log that takes the place of the old one: whole or not at
    /// all, because what is damaged in the old one tells that more may be missing. Where there is no room for a second log,
    /// the old one goes on.
    pub(super) fn write_anew(&self) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.compact_at = 0;
        let ticket = Ticket(shared.queued);
        drop(shared);
        self.commit(ticket)
    }

    /// From now on the log is written anew where that is due: one of an earlier version with the next change.
    pub(super) fn allow_compaction(&self, state: LogState) {
        let mut shared = self.lock();
        shared.compact_at = if state.is_old { 0 } else { compact_at(&shared.index, shared.slack) };
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.lock().index)
    }

    /// Makes a change; it is durable when the ticket was committed.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Changing<'_>) -> T) -> (T, Ticket) {
        let mut shared = self.lock();
        let outcome = change(&mut Changing { shared: &mut shared });
        (outcome, Ticket(shared.queued))
    }

    /// Returns when everything up to the ticket is durable, or could not be made so.
    pub(super) fn commit(&self, ticket: Ticket) -> Result<(), StoreError> {
        let mut shared = self.lock();
        let asked_after = shared.failed;
        loop {
            if shared.durable >= ticket.0 {
                return Ok(());
            }
            // A failure from before this commit does not count: the next try includes what it left.
            if shared.failed >= ticket.0 && shared.failed > asked_after {
                return Err(shared.failure());
            }
            if shared.writing {
                shared = self.settled.wait(shared).unwrap_or_else(PoisonError::into_inner);
            } else {
                shared = self.write_queue(shared);
                if shared.durable < ticket.0 {
                    return Err(shared.failure());
                }
            }
        }
    }

    /// Writes what is queued, without holding the lock meanwhile.
    fn write_queue<'a>(&'a self, mut shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        shared.writing = true;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut shared.queue);
        let named = std::mem::take(&mut shared.named);
        let through = shared.queued;
        let compacted =
            (writer.slot_count() >= shared.compact_at).then(|| log::encode_log(shared.index.records()));
        drop(shared);

        let names = if named { Files::sync_names(&*self.disk) } else { Ok(()) };
        let result =
            names.and_then(|()| match compacted.as_ref().map(|log| writer.replace(&*self.disk, log)) {
                Some(Ok(())) => Ok(()),
                // There is none yet to go on with.
                Some(Err(error)) if writer.slot_count() == 0 => Err(error),
                // The old log goes on; a full disk must not keep anybody from deleting.
                Some(Err(_)) | None => writer.append(&*self.disk, &batch),
            });
        let slot_count = writer.slot_count();
        drop(writer);

        let mut shared = self.lock();
        shared.writing = false;
        if compacted.is_some() {
            shared.compact_at =
                compact_at(&shared.index, shared.slack).max(slot_count.saturating_add(shared.slack));
        }
        match result {
            Ok(()) => shared.durable = through,
            Err(error) => {
                // These records are in the index: they go out with the next try, before whatever came since.
                shared.queue.splice(0..0, batch);
                shared.named |= named;
                shared.failed = through;
                shared.failure = Some(describe(&error));
            }
        }
        self.settled.notify_all();
        shared
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn failure(&self) -> StoreError {
        let (kind, text) = self.failure.clone().unwrap_or((std::io::ErrorKind::Other, String::new()));
        StoreError::Disk { path: log::LOG.into(), source: std::io::Error::new(kind, text) }
    }
}

/// More than half of the log is history then.
fn compact_at(index: &Index, slack: u64) -> u64 {
    2 * (index.claim_count() + index.dropped_count()) as u64 + slack
}

fn describe(error: &StoreError) -> (std::io::ErrorKind, String) {
    match error {
        StoreError::Disk { source, .. } => (source.kind(), source.to_string()),
        other => (std::io::ErrorKind::Other, other.to_string()),
    }
}
