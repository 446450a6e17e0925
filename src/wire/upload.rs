//! Kind 24213: one chunk of a blob, sent by a client to a provider (extension `chunked`).

use bytes::Bytes;
use nostr::Event;

use crate::types::{BlobHash, ChunkIndex, ProviderId};
use crate::wire::chunk::{decode_data, position};
use crate::wire::payload::encode_base64;
use crate::wire::tags::{blob_hash, expect_kind, parse_required, tag};
use crate::wire::{Draft, UPLOAD_KIND, WireError};

/// One chunk of a blob on its way to a provider. At the provider an upload is known by (author, `hash`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Whom the chunk is for.
    pub provider: ProviderId,
    /// The blob, as the store request named it.
    pub hash: BlobHash,
    /// Position of the chunk in the blob.
    pub index: ChunkIndex,
    /// How many chunks the blob has.
    pub total: u32,
    /// The bytes of the chunk.
    pub data: Bytes,
}

impl Upload {
    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let tags = vec![
            tag(["p", &self.provider.to_string()]),
            tag(["x", &self.hash.to_string()]),
            tag(["chunk_index", &self.index.to_string()]),
            tag(["chunk_total", &self.total.to_string()]),
        ];
        Draft { kind: UPLOAD_KIND, content: encode_base64(&self.data), tags }
    }

    /// Reads an event. Whether it is its author's says its [`Attestation`](crate::wire::Attestation).
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        UploadPlace::parse(event)?.upload(event)
    }
}

/// Where a chunk belongs; its bytes are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPlace {
    /// Whom the chunk is for.
    pub provider: ProviderId,
    /// The blob, as the store request named it.
    pub hash: BlobHash,
    /// Position of the chunk in the blob.
    pub index: ChunkIndex,
    /// How many chunks the blob has.
    pub total: u32,
}

impl UploadPlace {
    /// Reads the tags of an event.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, UPLOAD_KIND)?;
        let (index, total) = position(event)?;
        Ok(Self { provider: parse_required(event, "p")?, hash: blob_hash(event, "x")?, index, total })
    }

    /// The chunk of the event that this was read from.
    pub fn upload(self, event: &Event) -> Result<Upload, WireError> {
        let Self { provider, hash, index, total } = self;
        Ok(Upload { provider, hash, index, total, data: decode_data(&event.content)? })
    }
}
