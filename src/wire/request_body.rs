//! The JSON content of a request.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::limits::{
    AUDIT_COUNT_MAX, BLOB_LEN_MAX, CHUNK_COUNT_MAX, FILENAME_LEN_MAX, REQUEST_LEN_MAX,
};
use crate::types::{AuditNonce, BlobHash, ChunkLen};
use crate::wire::bounded::Bounded;
use crate::wire::error::cut;
use crate::wire::payload::{decode_base64, encode_base64};
use crate::wire::tags::{parse_hash, printable};
use crate::wire::{Action, ChunkSet, Hashes, RequestNumber, Store, StoreBody, WireError};

/// Every field that a request may have. Unknown ones are ignored, so that later versions can add some.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body<'a> {
    action: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    encrypt: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    hash: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    hashes: Option<Bounded<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_size: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ranges: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_false")]
    quiet: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    nonce: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    req: Option<Cow<'a, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Writes the content of a request.
pub(super) fn encode(action: &Action, number: Option<RequestNumber>, chunk_len: ChunkLen) -> String {
    let mut body = match action {
        Action::Store(store) => store_body(store),
        Action::Retrieve { hashes, ranges } => {
            let ranges = ranges.as_ref().map(|ranges| Cow::from(ranges.to_string()));
            Body { ranges, ..with_hashes("retrieve", hashes) }
        }
        Action::Delete(hashes) => with_hashes("delete", hashes),
        Action::Stat(hashes) => with_hashes("stat", hashes),
        Action::Renew { hashes, retention } => {
            Body { retention: retention.map(|time| time.as_secs()), ..with_hashes("renew", hashes) }
        }
        Action::List { after, limit } => {
            let after = after.map(|hash| Cow::from(hash.to_string()));
            Body { action: "list".into(), after, limit: *limit, ..Body::default() }
        }
        Action::Audit { nonce, hashes } => {
            let nonce = Some(nonce.to_string().into());
            Body { nonce, ..with_hashes("audit", &Hashes::Many(hashes.clone())) }
        }
    };
    body.chunk_size = (chunk_len != ChunkLen::BASE).then(|| chunk_len.bytes());
    body.req = number.map(|number| number.to_string().into());
    serde_json::to_string(&body).expect("strings, numbers and lists are always JSON")
}

fn store_body(store: &Store) -> Body<'static> {
    let mut body = Body {
        action: "store".into(),
        filename: store.filename.clone(),
        encrypt: store.encrypt,
        quiet: store.quiet,
        retention: store.retention.map(|time| time.as_secs()),
        ..Body::default()
    };
    match &store.body {
        StoreBody::Inline(data) => body.data = Some(encode_base64(data).into()),
        StoreBody::Chunked { hash, size, chunks } => {
            body.hash = Some(hash.to_string().into());
            body.size = Some(*size);
            body.chunks = Some(*chunks);
        }
    }
    body
}

fn with_hashes(action: &'static str, hashes: &Hashes) -> Body<'static> {
    let mut body = Body { action: action.into(), ..Body::default() };
    match hashes {
        Hashes::One(hash) => body.hash = Some(hash.to_string().into()),
        Hashes::Many(hashes) => {
            body.hashes = Some(hashes.iter().map(|hash| hash.to_string().into()).collect());
        }
    }
    body
}

/// Reads the content of a request.
pub(super) fn decode(content: &str) -> Result<(Action, Option<RequestNumber>, ChunkLen), WireError> {
    if content.len() > REQUEST_LEN_MAX {
        return Err(WireError::BlobTooLarge { found: content.len() as u64 / 4 * 3, max: BLOB_LEN_MAX });
    }
    let body: Body<'_> = serde_json::from_str(content)?;
    let number = match &body.req {
        Some(text) => Some(text.parse().map_err(|_| WireError::Field { field: "req" })?),
        None => None,
    };
    let chunk_len = match body.chunk_size {
        Some(len) => ChunkLen::new(len).ok_or(WireError::Field { field: "chunk_size" })?,
        None => ChunkLen::BASE,
    };
    let action = match body.action.as_ref() {
        "store" => Action::Store(decode_store(&body, chunk_len)?),
        "retrieve" => decode_retrieve(&body)?,
        "delete" => Action::Delete(decode_hashes(&body)?),
        "stat" => Action::Stat(decode_hashes(&body)?),
        "renew" => Action::Renew { hashes: decode_hashes(&body)?, retention: retention(&body) },
        "list" => Action::List { after: optional_hash(body.after.as_ref())?, limit: body.limit },
        "audit" => decode_audit(&body)?,
        other => return Err(WireError::UnknownAction { action: cut(other) }),
    };
    Ok((action, number, chunk_len))
}

fn decode_store(body: &Body<'_>, chunk_len: ChunkLen) -> Result<Store, WireError> {
    let body_of_store = match &body.data {
        Some(data) => StoreBody::Inline(decode_inline(data)?),
        None => decode_chunked(body, chunk_len)?,
    };
    Ok(Store {
        body: body_of_store,
        filename: body.filename.as_ref().map(|name| printable(name, FILENAME_LEN_MAX)),
        encrypt: body.encrypt,
        quiet: body.quiet,
        retention: retention(body),
    })
}

fn decode_inline(data: &str) -> Result<Bytes, WireError> {
    let refuse = |found| WireError::BlobTooLarge { found, max: BLOB_LEN_MAX };
    let about = data.len() as u64 / 4 * 3;
    if about > BLOB_LEN_MAX + 2 {
        return Err(refuse(about));
    }
    let bytes = decode_base64(data)?;
    if bytes.len() as u64 > BLOB_LEN_MAX {
        return Err(refuse(bytes.len() as u64));
    }
    Ok(bytes.into())
}

fn decode_chunked(body: &Body<'_>, chunk_len: ChunkLen) -> Result<StoreBody, WireError> {
    let hash = optional_hash(body.hash.as_ref())?.ok_or(WireError::Field { field: "data" })?;
    let size = body.size.ok_or(WireError::Field { field: "size" })?;
    let chunks = body.chunks.ok_or(WireError::Field { field: "chunks" })?;
    if size > BLOB_LEN_MAX || chunks > CHUNK_COUNT_MAX {
        return Err(WireError::BlobTooLarge { found: size, max: BLOB_LEN_MAX });
    }
    if chunk_len.count(size) != Some(chunks) {
        return Err(WireError::Field { field: "chunks" });
    }
    Ok(StoreBody::Chunked { hash, size, chunks })
}

fn decode_retrieve(body: &Body<'_>) -> Result<Action, WireError> {
    let hashes = decode_hashes(body)?;
    let ranges = body.ranges.as_ref().map(|text| ChunkSet::parse(text)).transpose()?;
    if ranges.is_some() && matches!(hashes, Hashes::Many(_)) {
        return Err(WireError::Field { field: "ranges" });
    }
    Ok(Action::Retrieve { hashes, ranges })
}

fn decode_hashes(body: &Body<'_>) -> Result<Hashes, WireError> {
    match (&body.hash, &body.hashes) {
        (Some(hash), None) => Ok(Hashes::One(parse_hash(hash)?)),
        (None, Some(Bounded(hashes))) if !hashes.is_empty() => {
            Ok(Hashes::Many(hashes.iter().map(|hash| parse_hash(hash)).collect::<Result<_, _>>()?))
        }
        _ => Err(WireError::Field { field: "hash" }),
    }
}

fn decode_audit(body: &Body<'_>) -> Result<Action, WireError> {
    let nonce = body.nonce.as_deref().and_then(|text| AuditNonce::parse(text).ok());
    let nonce = nonce.ok_or(WireError::Field { field: "nonce" })?;
    let Hashes::Many(hashes) = decode_hashes(body)? else {
        return Err(WireError::Field { field: "hashes" });
    };
    if hashes.len() > AUDIT_COUNT_MAX {
        let (found, max) = (hashes.len() as u64, AUDIT_COUNT_MAX as u64);
        return Err(WireError::TooMuch { what: "number of samples", found, max });
    }
    Ok(Action::Audit { nonce, hashes })
}

fn optional_hash(text: Option<&Cow<'_, str>>) -> Result<Option<BlobHash>, WireError> {
    text.map(|text| parse_hash(text)).transpose()
}

fn retention(body: &Body<'_>) -> Option<Duration> {
    body.retention.map(Duration::from_secs)
}
