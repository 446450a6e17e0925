//! What can be set for exchanges, and what a store brings.

use std::time::Duration;

use nostr::EventId;

use crate::types::{BlobHash, ProviderId, Timestamp};

/// Settings of an [`Exchange`](crate::client::Exchange).
#[derive(Debug, Clone, Copy)]
pub struct ExchangeOptions {
    /// A conversation without progress for so long has failed.
    pub stall_timeout: Duration,
    /// Bytes of blobs under way at one provider.
    pub provider_window_bytes: u64,
    /// Bytes of blobs under way at all providers.
    pub total_window_bytes: u64,
    /// Chunks of one blob under way.
    pub chunk_window: u32,
    /// Which way exchanges take.
    pub carrier: CarrierChoice,
}

/// Which way exchanges take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CarrierChoice {
    /// The direct path to whoever announces one, and relays where it fails.
    #[default]
    Best,
    /// Relays only: providers do not see the client's address.
    Relay,
    /// The direct path only. Relays still say who is there, and keep the vault's head.
    Direct,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(30),
            provider_window_bytes: 4 * 1024 * 1024,
            total_window_bytes: 24 * 1024 * 1024,
            chunk_window: 64,
            carrier: CarrierChoice::Best,
        }
    }
}

/// How a blob is to be kept.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// The blob's hash, if it is known already.
    pub hash: Option<BlobHash>,
    /// For how long, where the provider lets the client choose (extension `retain`); what it announces where `None`.
    pub retention: Option<Duration>,
    /// A name that goes with the blob in clear. Never set for blobs of a vault.
    pub filename: Option<String>,
    /// Whether the provider shall keep it encrypted at rest.
    pub encrypt: bool,
}

/// A provider's word that a blob is durable: signed, or over a connection that shows who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The provider.
    pub provider: ProviderId,
    /// The blob.
    pub hash: BlobHash,
    /// The blob's length in bytes.
    pub size: u64,
    /// Until when the provider promises to keep it.
    pub expires: Timestamp,
    /// The event in which it says so, where it came over relays.
    pub event_id: Option<EventId>,
}
