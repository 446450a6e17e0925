//! The JSON content of a response.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::types::limits::CHUNK_COUNT_MAX;
use crate::types::{BlobHash, Timestamp};
use crate::wire::bounded::Bounded;
use crate::wire::error::cut;
use crate::wire::tags::parse_hash;
use crate::wire::{Answer, BlobInfo, ChunkSet, Claim, ItemsOf, Promise, RequestNumber, WireError};

/// Every field that a response may have. Unknown ones are ignored, so that later versions can add some.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    hash: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    status: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    missing: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Bounded<Option<(u64, u64)>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    claims: Option<Bounded<(Cow<'a, str>, u64, u64)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    req: Option<Cow<'a, str>>,
}

/// What the tags say, for a provider that leaves it out of the content.
pub(super) struct Fallback<'a> {
    pub(super) hash: Option<&'a str>,
    pub(super) expires: Option<u64>,
}

/// Writes the content of a response.
pub(super) fn encode(answer: &Answer, number: Option<RequestNumber>) -> String {
    let mut body = match answer {
        Answer::Stored(info) => info_body("stored", info),
        Answer::Available(info) => info_body("available", info),
        Answer::Deleted(hash) => hash_body("deleted", *hash),
        Answer::Missing { hash, chunks } => {
            Body { missing: Some(chunks.to_string().into()), ..hash_body("missing", *hash) }
        }
        Answer::Items { of, items } => {
            let items = items.iter().map(|item| item.map(|promise| (promise.size, promise.expires.0)));
            Body { status: of.as_str().into(), items: Some(items.collect()), ..Body::default() }
        }
        Answer::Listed { claims, more } => {
            let claims =
                claims.iter().map(|claim| (claim.hash.to_string().into(), claim.size, claim.expires.0));
            Body {
                status: "listed".into(),
                claims: Some(claims.collect()),
                more: Some(*more),
                ..Body::default()
            }
        }
    };
    body.req = number.map(|number| number.to_string().into());
    serde_json::to_string(&body).expect("strings, numbers and lists are always JSON")
}

fn info_body(status: &'static str, info: &BlobInfo) -> Body<'static> {
    let BlobInfo { hash, size, chunks, expires } = *info;
    Body { size: Some(size), chunks: Some(chunks), expires: Some(expires.0), ..hash_body(status, hash) }
}

fn hash_body(status: &'static str, hash: BlobHash) -> Body<'static> {
    Body { status: status.into(), hash: Some(hash.to_string().into()), ..Body::default() }
}

/// Reads the content of a response.
pub(super) fn decode(
    content: &str,
    fallback: &Fallback<'_>,
) -> Result<(Answer, Option<RequestNumber>), WireError> {
    let body: Body<'_> = serde_json::from_str(content)?;
    let number = match &body.req {
        Some(text) => Some(text.parse().map_err(|_| WireError::Field { field: "req" })?),
        None => None,
    };
    let status = body.status.as_ref();
    let answer = match ItemsOf::parse(status).filter(|_| body.items.is_some()) {
        Some(of) => decode_items(of, body.items.as_ref().map_or(&[][..], |items| &items.0)),
        None => match status {
            "stored" => Answer::Stored(decode_info(&body, fallback)?),
            "available" => Answer::Available(decode_info(&body, fallback)?),
            "deleted" => Answer::Deleted(decode_hash(&body, fallback)?),
            "missing" => decode_missing(&body, fallback)?,
            "listed" => decode_listed(&body)?,
            other => return Err(WireError::UnknownAction { action: cut(other) }),
        },
    };
    Ok((answer, number))
}

fn decode_hash(body: &Body<'_>, fallback: &Fallback<'_>) -> Result<BlobHash, WireError> {
    let text = body.hash.as_deref().or(fallback.hash).ok_or(WireError::Field { field: "hash" })?;
    parse_hash(text)
}

fn decode_info(body: &Body<'_>, fallback: &Fallback<'_>) -> Result<BlobInfo, WireError> {
    let chunks = body.chunks.ok_or(WireError::Field { field: "chunks" })?;
    if chunks > CHUNK_COUNT_MAX {
        let (found, max) = (u64::from(chunks), u64::from(CHUNK_COUNT_MAX));
        return Err(WireError::TooMuch { what: "chunks", found, max });
    }
    Ok(BlobInfo {
        hash: decode_hash(body, fallback)?,
        size: body.size.ok_or(WireError::Field { field: "size" })?,
        chunks,
        expires: Timestamp(body.expires.or(fallback.expires).ok_or(WireError::Field { field: "expires" })?),
    })
}

fn decode_missing(body: &Body<'_>, fallback: &Fallback<'_>) -> Result<Answer, WireError> {
    let text = body.missing.as_ref().ok_or(WireError::Field { field: "missing" })?;
    Ok(Answer::Missing { hash: decode_hash(body, fallback)?, chunks: ChunkSet::parse(text)? })
}

fn decode_items(of: ItemsOf, items: &[Option<(u64, u64)>]) -> Answer {
    let promise = |(size, expires)| Promise { size, expires: Timestamp(expires) };
    Answer::Items { of, items: items.iter().map(|item| item.map(promise)).collect() }
}

fn decode_listed(body: &Body<'_>) -> Result<Answer, WireError> {
    let Bounded(claims) = body.claims.as_ref().ok_or(WireError::Field { field: "claims" })?;
    let claim = |(hash, size, expires): &(Cow<'_, str>, u64, u64)| {
        parse_hash(hash).map(|hash| Claim { hash, size: *size, expires: Timestamp(*expires) })
    };
    let claims: Vec<Claim> = claims.iter().map(claim).collect::<Result<_, _>>()?;
    if !claims.is_sorted_by(|one, next| one.hash < next.hash) {
        return Err(WireError::Field { field: "claims" });
    }
    Ok(Answer::Listed { claims, more: body.more.unwrap_or(false) })
}

impl ItemsOf {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Renew => "renewed",
            Self::Delete => "deleted",
            Self::Retrieve => "available",
        }
    }

    fn parse(status: &str) -> Option<Self> {
        [Self::Stat, Self::Renew, Self::Delete, Self::Retrieve].into_iter().find(|of| of.as_str() == status)
    }
}
