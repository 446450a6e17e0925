//! Records that were opened lately: many questions in a row are about the same few.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::format::chain::Items;

/// Bytes of records that are kept open; compressed ones take a few times as much when opened.
const OPENED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a record counts at least, for what surrounds its items.
const RECORD_BYTES_MIN: usize = 16 * 1024;

/// Chain and sequence of a record.
type Key = (u16, u64);

/// The most recently used opened records, bounded by their length.
#[derive(Debug, Default)]
pub(crate) struct OpenedRecords {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<Key, Opened>,
    bytes: usize,
    tick: u64,
}

#[derive(Debug)]
struct Opened {
    items: Arc<Items>,
    bytes: usize,
    used_at: u64,
}

impl OpenedRecords {
    /// The record, if it is open.
    pub(crate) fn get(&self, key: Key) -> Option<Arc<Items>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tick += 1;
        let tick = inner.tick;
        let opened = inner.records.get_mut(&key)?;
        opened.used_at = tick;
        Some(Arc::clone(&opened.items))
    }

    /// Keeps a record of `len` bytes open, in the place of those not used for longest.
    pub(crate) fn insert(&self, key: Key, items: Arc<Items>, len: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tick += 1;
        let opened = Opened { items, bytes: len.max(RECORD_BYTES_MIN), used_at: inner.tick };
        inner.bytes += opened.bytes;
        if let Some(before) = inner.records.insert(key, opened) {
            inner.bytes -= before.bytes;
        }
        while inner.bytes > OPENED_BYTES_MAX && inner.records.len() > 1 {
            let oldest = inner.records.iter().min_by_key(|(_, opened)| opened.used_at).map(|(key, _)| *key);
            let Some(removed) = oldest.and_then(|key| inner.records.remove(&key)) else { return };
            inner.bytes -= removed.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_records_are_bounded_and_the_last_used_stay() {
        let opened = OpenedRecords::default();
        let items = || Arc::new(Items::Content(Vec::new()));
        opened.insert((0, 0), items(), 1024 * 1024);
        for sequence in 1..100 {
            opened.insert((0, sequence), items(), 1024 * 1024);
            assert!(opened.get((0, 0)).is_some());
        }
        let inner = opened.inner.lock().unwrap();
        assert_eq!((inner.records.len(), inner.bytes), (4, OPENED_BYTES_MAX));
        assert!(inner.records.contains_key(&(0, 99)) && !inner.records.contains_key(&(0, 1)));
    }
}
