//! Kind 31999: what a provider offers.

use std::collections::BTreeSet;
use std::time::Duration;

use nostr::{Event, RelayUrl, Tag};
use serde_json::{Value, json};

use crate::types::ChunkLen;
use crate::types::limits::{
    ABOUT_LEN_MAX, BLOB_LEN_MAX, CHUNK_LEN, EXTENSION_COUNT_MAX, PROVIDER_NAME_LEN_MAX, RETENTION_BASE,
};
use crate::wire::tags::{
    endpoints_tag, expect_kind, malformed, parse_endpoints, parse_optional, parse_relays, printable,
    relays_tag, required, tag, value,
};
use crate::wire::{ANNOUNCEMENT_KIND, Draft, REQUEST_KIND, RESPONSE_KIND, SERVICE, WireError};

/// What a provider offers. Who announces it is the event's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What the provider calls itself. Anyone can take any name.
    pub name: String,
    /// What the provider says about itself.
    pub about: String,
    /// Largest blob that it takes, in bytes.
    pub max_file_size: u64,
    /// Bytes of its chunks, all but a blob's last, where a request asks for no others.
    pub chunk_size: u64,
    /// The longest chunks that a request may ask for (extension `larger`).
    pub chunk_len_max: ChunkLen,
    /// How long it promises to keep a blob, in whole seconds.
    pub retention: Duration,
    /// What it speaks beyond the base protocol.
    pub extensions: BTreeSet<Extension>,
    /// Where its documentation is; may be empty.
    pub documentation: String,
    /// The relays that it listens on; the base protocol does not say them.
    pub relays: Vec<RelayUrl>,
    /// WebSocket endpoints of its direct path; none where it has none.
    pub endpoints: Vec<RelayUrl>,
}

/// A part of the protocol beyond the base (docs/protocol.md, "Extensions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Extension {
    /// Chunk events name the request and the requester.
    Directed,
    /// A store can ask for no chunk echo.
    Quiet,
    /// The data of a store can follow in chunk events of kind 24213.
    Chunked,
    /// A retrieve can ask for some chunks of a blob.
    Partial,
    /// One request can name several blobs.
    Batch,
    /// Is a blob there, and until when.
    Stat,
    /// Keep a blob longer.
    Renew,
    /// The sender's claims.
    List,
    /// A store can ask for a time of its own.
    Retain,
    /// Random positions of blobs, proved by Merkle paths.
    Audit,
    /// A request can ask for longer chunks.
    Larger,
    /// AES-256-GCM is the faster cipher for the direct path's records there.
    Aes,
}

impl Extension {
    /// Every extension that this program speaks.
    pub const ALL: [Self; 12] = [
        Self::Directed,
        Self::Quiet,
        Self::Chunked,
        Self::Partial,
        Self::Batch,
        Self::Stat,
        Self::Renew,
        Self::List,
        Self::Retain,
        Self::Audit,
        Self::Larger,
        Self::Aes,
    ];

    /// The extension's name in an `ext` tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directed => "directed",
            Self::Quiet => "quiet",
            Self::Chunked => "chunked",
            Self::Partial => "partial",
            Self::Batch => "batch",
            Self::Stat => "stat",
            Self::Renew => "renew",
            Self::List => "list",
            Self::Retain => "retain",
            Self::Audit => "audit",
            Self::Larger => "larger",
            Self::Aes => "aes",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.as_str() == name)
    }
}

impl Announcement {
    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let hours = self.retention.as_secs() / 3600;
        let mut tags = vec![
            tag(["d", SERVICE]),
            tag(["k", &REQUEST_KIND.to_string()]),
            tag(["response_kind", &RESPONSE_KIND.to_string()]),
            tag(["name", &self.name]),
            tag(["about", &self.about]),
            tag(["max_file_size", &self.max_file_size.to_string()]),
            tag(["chunk_size", &self.chunk_size.to_string()]),
            tag(["retention_hours", &hours.to_string()]),
            tag(["documentation", &self.documentation]),
        ];
        if hours * 3600 != self.retention.as_secs() {
            tags.push(tag(["retention_seconds", &self.retention.as_secs().to_string()]));
        }
        if self.chunk_len_max > ChunkLen::BASE {
            tags.push(tag(["chunk_size_max", &self.chunk_len_max.bytes().to_string()]));
        }
        tags.extend(self.extensions.iter().map(|extension| tag(["ext", extension.as_str()])));
        tags.extend(relays_tag(&self.relays));
        tags.extend(endpoints_tag(&self.endpoints));
        let schemas = json!({ "input_schema": input_schema(), "output_schema": output_schema() });
        Draft { kind: ANNOUNCEMENT_KIND, content: schemas.to_string(), tags }
    }

    /// Reads a verified event. What it does not say has the value of the base protocol.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, ANNOUNCEMENT_KIND)?;
        let service = required(event, "d")?;
        if service != SERVICE {
            return Err(malformed("d", service));
        }
        let text = |tag, max| printable(value(event, tag).unwrap_or_default(), max);
        Ok(Self {
            name: text("name", PROVIDER_NAME_LEN_MAX),
            about: text("about", ABOUT_LEN_MAX),
            max_file_size: parse_optional(event, "max_file_size")?.unwrap_or(BLOB_LEN_MAX),
            chunk_size: parse_optional(event, "chunk_size")?.unwrap_or(CHUNK_LEN),
            chunk_len_max: ChunkLen::at_most(parse_optional(event, "chunk_size_max")?.unwrap_or(CHUNK_LEN)),
            retention: parse_retention(event)?,
            extensions: parse_extensions(event),
            documentation: text("documentation", ABOUT_LEN_MAX),
            relays: parse_relays(event),
            endpoints: parse_endpoints(event),
        })
    }
}

fn parse_retention(event: &Event) -> Result<Duration, WireError> {
    if let Some(seconds) = parse_optional(event, "retention_seconds")? {
        return Ok(Duration::from_secs(seconds));
    }
    let Some(hours) = parse_optional::<u64>(event, "retention_hours")? else { return Ok(RETENTION_BASE) };
    let seconds = hours.checked_mul(3600).ok_or_else(|| malformed("retention_hours", &hours.to_string()))?;
    Ok(Duration::from_secs(seconds))
}

fn parse_extensions(event: &Event) -> BTreeSet<Extension> {
    let names = event
        .tags
        .iter()
        .map(Tag::as_slice)
        .filter(|values| values.first().is_some_and(|name| name == "ext"));
    names.take(EXTENSION_COUNT_MAX).filter_map(|values| Extension::parse(values.get(1)?)).collect()
}

/// JSON Schema of the requests that every BlobDVM provider takes.
fn input_schema() -> Value {
    let hash = json!({ "type": "string", "pattern": "^[a-f0-9]{64}$" });
    let by_hash = |action: &str| {
        json!({
            "type": "object",
            "properties": { "action": { "const": action }, "hash": hash },
            "required": ["action", "hash"],
        })
    };
    let store = json!({
        "type": "object",
        "properties": {
            "action": { "const": "store" },
            "data": { "type": "string", "contentEncoding": "base64" },
            "filename": { "type": "string" },
            "encrypt": { "type": "boolean", "default": false },
        },
        "required": ["action", "data"],
    });
    json!({ "oneOf": [store, by_hash("retrieve"), by_hash("delete")] })
}

/// JSON Schema of the response.
fn output_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "hash": { "type": "string", "pattern": "^[a-f0-9]{64}$" },
            "size": { "type": "integer", "minimum": 0 },
            "chunks": { "type": "integer", "minimum": 0 },
            "expires": { "type": "integer" },
            "status": { "type": "string", "enum": ["stored", "available", "deleted"] },
        },
        "required": ["hash", "status"],
    })
}
