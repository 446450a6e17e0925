//! The provider's durable blobs and the claims on them.
//!
//! | file | what |
//! |---|---|
//! | `blob_store` | [`BlobStore`]: put, get, renew, delete, list |
//! | `admission` | room, eviction, the order of changes |
//! | `upkeep` | files, claims and time kept in step |
//! | `ledger` | index and log as one, with group commit |
//! | `index` | what is held, in memory; pure |
//! | `log`, `record` | the claims log and its records |
//! | `files`, `at_rest` | blobs as files, plain or encrypted |
//! | `checksum` | what tells that a file has changed on the disk |
//! | `disk`, `sim` | the file operations below; a disk in memory that fails and crashes |
//!
//! Three rules carry it. **Order**: a blob's file is durable before the record of a claim on it is written, and a claim's
//! end is durable before the file is removed; so after a crash a claim has its blob, and a file without a claim is
//! rubbish. **Records**: the index changes by log records alone, so that reading the log brings it back. **Locks**: a
//! file is written and removed under the lock of its hash, and the index decides while that lock is held.

mod admission;
mod at_rest;
mod blob_store;
mod checksum;
pub mod disk;
mod error;
mod files;
pub mod fuzz;
mod index;
mod ledger;
pub mod log;
pub mod record;
pub mod sim;
#[cfg(test)]
mod tests;
mod upkeep;

pub use blob_store::{AtRest, BlobStore, Entry, Promise, StoreOptions, StoreStats};
pub use checksum::Checksum;
pub use disk::{Disk, RealDisk};
pub use error::StoreError;
pub use index::Claim;
pub use record::{Change, EventMark};
pub use sim::{SimDisk, Unsynced};
