//! The catalog: where each thing of the manifest stands. A cache: whatever is wrong with it, it is rebuilt.
//!
//! It holds no secret and no name, only keyed tags, random ids and places of records; keys and names are read from the
//! sealed records themselves. It is written without syncing: it remembers up to where each chain is in it, so a
//! catalog that a crash threw back is noticed and brought up to date from there. To keep that short, it is synced
//! after every few megabytes of records, and when it is closed.
//!
//! # Why redb
//!
//! `benches/catalog_engines` with a million segments, 256 a commit, unsynced, 32 MiB of cache, on two shared cores:
//!
//! | | insert | worst commit | lookup, there | lookup, not there | open | open after a kill | on disk |
//! |---|---|---|---|---|---|---|---|
//! | redb 4.4 | 102,000/s | 27 ms | 3.5 µs | 3.3 µs | 0.5 ms | 32 ms | 67 MB |
//! | SQLite (rusqlite 0.41) | 81,000/s | 10 ms | 6.6 µs | 5.7 µs | 0.4 ms | 0.6 ms | 50 MB |
//!
//! Both are fast enough by far. Lookups, which a backup of an unchanged tree consists of, take redb half the time; it is
//! Rust alone, where SQLite brings a C compiler to every build; and its tables have types, where SQL has text. SQLite
//! does better on disk and keeps unsynced commits through a kill, which matters little to what can be rebuilt. redb
//! panics on pages that the disk has changed; hence the [`checksum`] of the closed file.

mod checksum;
mod find;
mod removals;
mod tables;
mod write;

pub(crate) use tables::{Catalog, ChainRow, ItemPlace};
pub(crate) use write::Word;
