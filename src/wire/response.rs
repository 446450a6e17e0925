//! Kind 24211: a provider's answer to a request.

use nostr::{Event, EventId};

use crate::types::{BlobHash, ClientId, Timestamp};
use crate::wire::response_body;
use crate::wire::tags::{expect_kind, request_id, requester, tag, value};
use crate::wire::{ChunkSet, Draft, RESPONSE_KIND, RequestNumber, WireError};

/// A provider's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The request's event: any of its tries.
    pub request: EventId,
    /// Who sent it.
    pub requester: ClientId,
    /// The request's number, where it had one.
    pub number: Option<RequestNumber>,
    /// The answer.
    pub answer: Answer,
}

/// What a provider answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The blob is durable. This is the receipt.
    Stored(BlobInfo),
    /// The chunks that were asked for have been sent.
    Available(BlobInfo),
    /// The sender's claim is gone.
    Deleted(BlobHash),
    /// What the provider still lacks of an upload (extension `chunked`).
    Missing {
        /// The blob.
        hash: BlobHash,
        /// The chunks that have not arrived.
        chunks: ChunkSet,
    },
    /// One item for each hash of a batch, in its order.
    Items {
        /// What was asked.
        of: ItemsOf,
        /// `None` where the blob is not there, or (delete) the sender had no claim.
        items: Vec<Option<Promise>>,
    },
    /// A page of the sender's claims.
    Listed {
        /// The claims, ascending by hash.
        claims: Vec<Claim>,
        /// Whether there are more after the last of these.
        more: bool,
    },
}

/// The action that a list of items answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemsOf {
    /// `stat`.
    Stat,
    /// `renew`.
    Renew,
    /// `delete`.
    Delete,
    /// `retrieve`.
    Retrieve,
}

/// A blob, as a provider describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    /// How many chunks it has.
    pub chunks: u32,
    /// Until when the provider promises to keep it for the requester.
    pub expires: Timestamp,
}

/// Length and promise of a blob in a list of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The blob's length in bytes.
    pub size: u64,
    /// Until when the sender's claim holds; 0 where the blob is there but the sender has no claim.
    pub expires: Timestamp,
}

/// One of the sender's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The blob.
    pub hash: BlobHash,
    /// The blob's length in bytes.
    pub size: u64,
    /// Until when the claim holds.
    pub expires: Timestamp,
}

impl Response {
    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let mut tags = vec![tag(["e", &self.request.to_hex()]), tag(["p", &self.requester.to_string()])];
        let (hash, expires) = match &self.answer {
            Answer::Stored(info) | Answer::Available(info) => (Some(info.hash), Some(info.expires)),
            Answer::Deleted(hash) | Answer::Missing { hash, .. } => (Some(*hash), None),
            Answer::Items { .. } | Answer::Listed { .. } => (None, None),
        };
        tags.extend(hash.map(|hash| tag(["file_hash", &hash.to_string()])));
        tags.extend(expires.map(|expires| tag(["expires", &expires.0.to_string()])));
        Draft { kind: RESPONSE_KIND, content: response_body::encode(&self.answer, self.number), tags }
    }

    /// Reads a verified event. Where the content lacks `hash` or `expires`, the tags say them.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, RESPONSE_KIND)?;
        let fallback = response_body::Fallback {
            hash: value(event, "file_hash"),
            expires: value(event, "expires").and_then(|text| text.parse().ok()),
        };
        let (answer, number) = response_body::decode(&event.content, &fallback)?;
        Ok(Self { request: request_id(event)?, requester: requester(event)?, number, answer })
    }
}
