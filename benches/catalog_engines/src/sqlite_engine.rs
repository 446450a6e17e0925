//! SQLite through rusqlite, with a write-ahead log.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::CACHE_BYTES;
use crate::engine::{Engine, Entry, Tag};

/// A SQLite database.
pub struct Sqlite(Connection);

impl Engine for Sqlite {
    const NAME: &'static str = "sqlite";

    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("opens");
        connection.pragma_update(None, "journal_mode", "wal").expect("sets");
        connection.pragma_update(None, "synchronous", "off").expect("sets");
        let cache = -i64::try_from(CACHE_BYTES / 1024).expect("fits");
        connection.pragma_update(None, "cache_size", cache).expect("sets");
        let table = "CREATE TABLE IF NOT EXISTS segments (tag BLOB PRIMARY KEY, offset INTEGER NOT NULL, item INTEGER NOT NULL) WITHOUT ROWID";
        connection.execute(table, []).expect("creates");
        Self(connection)
    }

    fn check(&mut self) {
        let answer: String = self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checks");
        assert_eq!(answer, "ok");
    }

    fn insert(&self, entries: &[Entry]) {
        let transaction = self.0.unchecked_transaction().expect("begins");
        let mut statement =
            transaction.prepare_cached("INSERT INTO segments VALUES (?1, ?2, ?3)").expect("prepares");
        for entry in entries {
            statement.execute(params![entry.tag, entry.offset, entry.item]).expect("inserts");
        }
        drop(statement);
        transaction.commit().expect("commits");
    }

    fn find(&self, tag: &Tag) -> Option<(u32, u32)> {
        let mut statement =
            self.0.prepare_cached("SELECT offset, item FROM segments WHERE tag = ?1").expect("prepares");
        statement.query_row([tag], |row| Ok((row.get(0)?, row.get(1)?))).optional().expect("reads")
    }
}
