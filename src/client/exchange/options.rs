//! What can be set for exchanges, and what a store brings.

use std::time::Duration;

use nostr::EventId;

use crate::types::{BlobHash, ChunkLen, ProviderId, Timestamp};

/// Settings of an [`Exchange`](crate::client::Exchange).
#[derive(Debug, Clone, Copy)]
pub struct ExchangeOptions {
    /// A conversation without progress for so long has failed.
    pub stall_timeout: Duration,
    /// Bytes of blobs under way at one provider.
    pub provider_window_bytes: u64,
    /// Bytes of blobs under way at all providers.
    pub total_window_bytes: u64,
    /// Chunks of one blob under way, of the base protocol; of longer ones fewer.
    pub chunk_window: u32,
    /// Which way exchanges take.
    pub carrier: CarrierChoice,
    /// The longest chunks that are asked for over relays, of providers that take them, where the relays pass them. With
    /// the base protocol's, relays are not measured.
    pub chunk_len_max: ChunkLen,
}

/// How far the user knows a provider: what it announces is believed no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acquaintance {
    /// It announces itself, and was never used.
    Stranger,
    /// It was used before.
    Known,
    /// The user named or trusted it.
    Named,
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

/// How the direct path to a provider stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectStanding {
    /// The provider announces no endpoint.
    Unannounced,
    /// No connection was wanted so far.
    Untried,
    /// One is being made, and nobody has answered so far.
    Pending,
    /// There is a connection.
    Open,
    /// The last one could not be made, or broke off.
    Failed {
        /// Why, as a lowercase fragment.
        why: String,
    },
}

impl ExchangeOptions {
    /// How many chunks of one blob are under way, if they have this length.
    pub(super) fn window_of(&self, chunk_len: ChunkLen) -> u32 {
        const COUNT_MIN: u32 = 2;
        let bytes = u64::from(self.chunk_window) * ChunkLen::BASE.bytes();
        u32::try_from(bytes / chunk_len.bytes()).unwrap_or(u32::MAX).max(COUNT_MIN.min(self.chunk_window))
    }
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(30),
            provider_window_bytes: 4 * 1024 * 1024,
            total_window_bytes: 24 * 1024 * 1024,
            chunk_window: 64,
            carrier: CarrierChoice::Best,
            chunk_len_max: ChunkLen::BASE,
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
