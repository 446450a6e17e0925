//! redb: a copy-on-write B-tree in Rust.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::CACHE_BYTES;
use crate::engine::{Engine, Entry, Tag};

const SEGMENTS: TableDefinition<'_, &Tag, (u32, u32)> = TableDefinition::new("segments");

/// A redb database.
pub struct Redb(Database);

impl Engine for Redb {
    const NAME: &'static str = "redb";

    fn open(path: &Path) -> Self {
        Self(Database::builder().set_cache_size(CACHE_BYTES).create(path).expect("opens"))
    }

    fn check(&mut self) {
        assert!(self.0.check_integrity().expect("checks"));
    }

    fn insert(&self, entries: &[Entry]) {
        let mut transaction = self.0.begin_write().expect("begins");
        transaction.set_durability(Durability::None).expect("no savepoints");
        let mut table = transaction.open_table(SEGMENTS).expect("opens");
        for entry in entries {
            table.insert(&entry.tag, (entry.offset, entry.item)).expect("inserts");
        }
        drop(table);
        transaction.commit().expect("commits");
    }

    fn find(&self, tag: &Tag) -> Option<(u32, u32)> {
        let table = match self.0.begin_read().expect("begins").open_table(SEGMENTS) {
            Ok(table) => table,
            // After a kill, nothing of what was not synced is there.
            Err(redb::TableError::TableDoesNotExist(_)) => return None,
            Err(error) => panic!("{error}"),
        };
        table.get(tag).expect("reads").map(|place| place.value())
    }
}
