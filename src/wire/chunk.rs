//! Kind 24212: one chunk of a blob, sent by its provider.

use bytes::Bytes;
use nostr::{Event, EventId};
use sha2::{Digest, Sha256};

use crate::types::limits::{CHUNK_COUNT_MAX, CHUNK_LEN_MAX};
use crate::types::{BlobHash, ChunkIndex, ClientId, Timestamp};
use crate::wire::payload::{decode_base64, encode_base64};
use crate::wire::tags::{
    blob_hash, expect_kind, malformed, parse_optional, parse_required, request_id, requester, tag, value,
};
use crate::wire::{CHUNK_KIND, Draft, WireError};

/// One chunk of a blob on its way from a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The blob.
    pub hash: BlobHash,
    /// Position of the chunk in the blob.
    pub index: ChunkIndex,
    /// How many chunks the blob has.
    pub total: u32,
    /// SHA-256 of `data`, as the provider states it.
    pub chunk_hash: [u8; 32],
    /// When relays may forget the event.
    pub expiration: Option<Timestamp>,
    /// Whom the chunk is for (extension `directed`).
    pub direction: Option<Direction>,
    /// The bytes of the chunk.
    pub data: Bytes,
}

/// The request that a directed chunk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The request's event.
    pub request: EventId,
    /// Who sent it.
    pub requester: ClientId,
}

impl Chunk {
    /// The SHA-256 of a chunk's bytes.
    pub fn hash_of(data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    /// Whether the bytes have the hash that the provider states.
    pub fn is_intact(&self) -> bool {
        Self::hash_of(&self.data) == self.chunk_hash
    }

    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let mut tags = vec![
            tag(["file_hash", &self.hash.to_string()]),
            tag(["chunk_index", &self.index.to_string()]),
            tag(["chunk_total", &self.total.to_string()]),
            tag(["chunk_hash", &hex::encode(self.chunk_hash)]),
        ];
        if let Some(expiration) = self.expiration {
            tags.push(tag(["expiration", &expiration.0.to_string()]));
        }
        if let Some(direction) = self.direction {
            tags.push(tag(["e", &direction.request.to_hex()]));
            tags.push(tag(["p", &direction.requester.to_string()]));
        }
        Draft { kind: CHUNK_KIND, content: encode_base64(&self.data), tags }
    }

    /// Reads an event. Whether it is its author's says its [`Attestation`](crate::wire::Attestation).
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, CHUNK_KIND)?;
        let (index, total) = position(event)?;
        let hash_text = crate::wire::tags::required(event, "chunk_hash")?;
        let mut chunk_hash = [0; 32];
        hex::decode_to_slice(hash_text, &mut chunk_hash).map_err(|_| malformed("chunk_hash", hash_text))?;
        let direction = match value(event, "e") {
            Some(_) => Some(Direction { request: request_id(event)?, requester: requester(event)? }),
            None => None,
        };
        Ok(Self {
            hash: blob_hash(event, "file_hash")?,
            index,
            total,
            chunk_hash,
            expiration: parse_optional(event, "expiration")?.map(Timestamp),
            direction,
            data: decode_data(&event.content)?,
        })
    }
}

/// The tags `chunk_index` and `chunk_total`, the first below the second, the second within its limit.
pub(crate) fn position(event: &Event) -> Result<(ChunkIndex, u32), WireError> {
    let index: u32 = parse_required(event, "chunk_index")?;
    let total: u32 = parse_required(event, "chunk_total")?;
    if total > CHUNK_COUNT_MAX {
        let (found, max) = (u64::from(total), u64::from(CHUNK_COUNT_MAX));
        return Err(WireError::TooMuch { what: "chunk_total", found, max });
    }
    if index >= total {
        return Err(malformed("chunk_index", &index.to_string()));
    }
    Ok((ChunkIndex(index), total))
}

/// The bytes of a chunk from its base64; at least one, at most [`CHUNK_LEN_MAX`]. Whether they are as many as was asked
/// for is for the session to judge.
pub(crate) fn decode_data(content: &str) -> Result<Bytes, WireError> {
    let len_max = usize::try_from(CHUNK_LEN_MAX).unwrap_or(usize::MAX);
    let found = content.len() / 4 * 3;
    if found > len_max + 2 {
        return Err(WireError::TooMuch { what: "chunk length", found: found as u64, max: CHUNK_LEN_MAX });
    }
    let data = decode_base64(content)?;
    match data.len() {
        0 => Err(WireError::Field { field: "content" }),
        len if len > len_max => {
            Err(WireError::TooMuch { what: "chunk length", found: len as u64, max: CHUNK_LEN_MAX })
        }
        _ => Ok(data.into()),
    }
}
