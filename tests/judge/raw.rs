//! A second, minimal implementation of Nostr (NIP-01) and of the base protocol: client, provider, and a proxy before
//! a relay that records or withholds.

mod client;
mod event;
mod link;
mod provider;
mod proxy;

pub(crate) use client::{Client, Failure, discover, next_second};
pub(crate) use event::{Event, Keys, now, sha256_hex};
pub(crate) use link::Link;
pub(crate) use provider::BaseProvider;
pub(crate) use proxy::{Proxy, Rule};

/// Bytes of a chunk.
pub(crate) const CHUNK_LEN: usize = 32_768;
/// Largest blob.
pub(crate) const BLOB_LEN_MAX: usize = 10_485_760;
/// The `d` tag of announcements.
pub(crate) const IDENTIFIER: &str = "blob-storage-v1";

/// Event kinds.
pub(crate) mod kind {
    pub(crate) const ANNOUNCEMENT: u64 = 31_999;
    pub(crate) const REQUEST: u64 = 24_210;
    pub(crate) const RESPONSE: u64 = 24_211;
    pub(crate) const CHUNK: u64 = 24_212;
    pub(crate) const UPLOAD: u64 = 24_213;
    pub(crate) const AUDIT: u64 = 24_214;
    pub(crate) const STATUS: u64 = 21_999;
}
