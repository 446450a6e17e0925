//! Kind 24210: what a client asks of a provider.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use nostr::{Event, RelayUrl};

use crate::types::{AuditNonce, BlobHash, ChunkLen, ProviderId};
use crate::wire::request_body;
use crate::wire::tags::{
    address, expect_kind, malformed, parse_address, parse_relays, relays_tag, required, tag,
};
use crate::wire::{ChunkSet, Draft, REQUEST_KIND, WireError};

/// A request to one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whom it is for.
    pub provider: ProviderId,
    /// Where the client listens for the answer.
    pub relays: Vec<RelayUrl>,
    /// Makes the tries of one request one request; sent only to providers that announce any extension.
    pub number: Option<RequestNumber>,
    /// How long the chunks are that the blob comes in, of a chunked store or of a retrieve (extension `larger`).
    pub chunk_len: ChunkLen,
    /// What is asked.
    pub action: Action,
}

/// The number that all tries of one request share: chosen at random, sixteen hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNumber(pub u64);

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Keep a blob.
    Store(Store),
    /// Send a blob, several blobs (extension `batch`), or some chunks of one (extension `partial`).
    Retrieve {
        /// The blobs.
        hashes: Hashes,
        /// The chunks that are wanted of the one blob; all where `None`.
        ranges: Option<ChunkSet>,
    },
    /// Drop the sender's claims.
    Delete(Hashes),
    /// Is it there, and until when (extension `stat`).
    Stat(Hashes),
    /// Keep it longer: adds or extends the sender's claims (extension `renew`).
    Renew {
        /// The blobs.
        hashes: Hashes,
        /// For how long from now; the announced retention where `None`.
        retention: Option<Duration>,
    },
    /// The sender's claims, in the order of their hashes (extension `list`).
    List {
        /// Only hashes greater than this one.
        after: Option<BlobHash>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// Proof that blobs are there: one leaf of each, at a position that follows from the nonce (extension `audit`).
    Audit {
        /// Fresh random bytes.
        nonce: AuditNonce,
        /// The blobs, 1 to [`AUDIT_COUNT_MAX`](crate::types::limits::AUDIT_COUNT_MAX); one may be named more than once.
        hashes: Vec<BlobHash>,
    },
}

/// A request to keep a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The blob, or its name with the bytes to follow.
    pub body: StoreBody,
    /// A name for it; means nothing to the provider.
    pub filename: Option<String>,
    /// Whether the provider shall keep it encrypted at rest.
    pub encrypt: bool,
    /// Whether the provider shall not publish the chunks (extension `quiet`).
    pub quiet: bool,
    /// For how long from now (extension `retain`); the announced retention where `None`.
    pub retention: Option<Duration>,
}

/// How the bytes of a store travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreBody {
    /// Inside the request.
    Inline(Bytes),
    /// In chunk events of kind 24213 (extension `chunked`).
    Chunked {
        /// The blob's hash.
        hash: BlobHash,
        /// The blob's length in bytes.
        size: u64,
        /// How many chunks it has.
        chunks: u32,
    },
}

/// One blob or several. A retrieve or delete of one is answered as in the base protocol; everything else with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashes {
    /// Named in the field `hash`.
    One(BlobHash),
    /// Named in the field `hashes`: 1 to [`BATCH_COUNT_MAX`](crate::types::limits::BATCH_COUNT_MAX).
    Many(Vec<BlobHash>),
}

impl Hashes {
    /// The blobs in the order of the request.
    pub fn as_slice(&self) -> &[BlobHash] {
        match self {
            Self::One(hash) => std::slice::from_ref(hash),
            Self::Many(hashes) => hashes,
        }
    }
}

impl Action {
    /// Whether the action changes what the provider keeps, so that its time must be fresh (invariant I11).
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Delete(_) | Self::Renew { .. })
    }

    /// The one blob that the action names, for the `x` tag.
    fn single_hash(&self) -> Option<BlobHash> {
        match self {
            Self::Store(Store { body: StoreBody::Chunked { hash, .. }, .. })
            | Self::Retrieve { hashes: Hashes::One(hash), .. }
            | Self::Delete(Hashes::One(hash))
            | Self::Stat(Hashes::One(hash))
            | Self::Renew { hashes: Hashes::One(hash), .. } => Some(*hash),
            _ => None,
        }
    }
}

impl Request {
    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let mut tags = vec![tag(["a", &address(self.provider)]), tag(["p", &self.provider.to_string()])];
        if let Some(hash) = self.action.single_hash() {
            tags.push(tag(["x", &hash.to_string()]));
        }
        tags.extend(relays_tag(&self.relays));
        Draft {
            kind: REQUEST_KIND,
            content: request_body::encode(&self.action, self.number, self.chunk_len),
            tags,
        }
    }

    /// Reads a verified event. An error's [`code`](WireError::code) is the provider's answer.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, REQUEST_KIND)?;
        let address = required(event, "a")?;
        let provider = parse_address(address).ok_or_else(|| malformed("a", address))?;
        let (action, number, chunk_len) = request_body::decode(&event.content)?;
        Ok(Self { provider, relays: parse_relays(event), number, chunk_len, action })
    }
}

impl fmt::Display for RequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RequestNumber {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}
