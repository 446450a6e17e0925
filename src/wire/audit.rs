//! Kind 24214: a provider proves that it has the blobs that an audit asked for (docs/protocol.md, "audit").

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use nostr::{Event, EventId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::types::limits::{AUDIT_COUNT_MAX, AUDIT_PATH_COUNT_MAX};
use crate::types::merkle::{self, LEAF_LEN};
use crate::types::{AuditNonce, BlobHash, ClientId, MerkleRoot};
use crate::wire::bounded::Bounded;
use crate::wire::payload::{decode_base64, encode_base64};
use crate::wire::tags::{expect_kind, request_id, requester, tag};
use crate::wire::{AUDIT_KIND, Draft, RequestNumber, WireError};

const HASH_LEN: usize = size_of::<merkle::Hash>();
/// Base64 of the longest proof.
const PROOF_TEXT_LEN_MAX: usize = (1 + AUDIT_PATH_COUNT_MAX * HASH_LEN + LEAF_LEN).div_ceil(3) * 4;

/// A provider's answer to an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditAnswer {
    /// The request's event: any of its tries.
    pub request: EventId,
    /// Who sent it.
    pub requester: ClientId,
    /// The request's number, where it had one.
    pub number: Option<RequestNumber>,
    /// The request's nonce.
    pub nonce: AuditNonce,
    /// One item for each hash of the request, in its order; `None` where the blob is not there, or no longer whole.
    pub samples: Vec<Option<Proof>>,
}

/// One leaf of a blob, and the way from it up to the root of the blob's Merkle tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The siblings on the way, from the leaf up (RFC 6962 §2.1.1).
    pub path: Vec<merkle::Hash>,
    /// The bytes of the leaf.
    pub leaf: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    samples: Bounded<Option<Cow<'a, str>>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    req: Option<Cow<'a, str>>,
}

/// Which leaf sample `sample_index` of an audit asks of a blob of `leaf_count` leaves; none where it has none.
pub fn audit_position(
    nonce: &AuditNonce,
    sample_index: u32,
    hash: &BlobHash,
    leaf_count: u64,
) -> Option<u64> {
    let digest = Sha256::new()
        .chain_update(nonce.as_bytes())
        .chain_update(sample_index.to_be_bytes())
        .chain_update(hash.as_bytes())
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first).checked_rem(leaf_count)
}

impl Proof {
    /// The proof of leaf `position` of a blob; none if there is no such leaf.
    pub fn of(blob: &[u8], position: u64) -> Option<Self> {
        let index = usize::try_from(position).ok()?;
        let path = merkle::prove(blob, index)?;
        let leaf = blob.chunks(LEAF_LEN).nth(index)?;
        Some(Self { path, leaf: Bytes::copy_from_slice(leaf) })
    }

    /// Whether this is leaf `position` of the blob of `leaf_count` leaves under `root`.
    pub fn holds(&self, position: u64, leaf_count: u64, root: &MerkleRoot) -> bool {
        merkle::verify(&self.leaf, position, leaf_count, &self.path, root)
    }

    /// How many hashes there are, the hashes, the leaf.
    fn encode(&self) -> String {
        let mut bytes = BytesMut::with_capacity(1 + self.path.len() * HASH_LEN + self.leaf.len());
        bytes.extend_from_slice(&[u8::try_from(self.path.len()).expect("a path is short")]);
        self.path.iter().for_each(|hash| bytes.extend_from_slice(hash));
        bytes.extend_from_slice(&self.leaf);
        encode_base64(&bytes)
    }

    fn decode(text: &str) -> Result<Self, WireError> {
        const WRONG: WireError = WireError::Field { field: "samples" };
        if text.len() > PROOF_TEXT_LEN_MAX {
            let (found, max) = (text.len() as u64, PROOF_TEXT_LEN_MAX as u64);
            return Err(WireError::TooMuch { what: "length of a proof", found, max });
        }
        let bytes = Bytes::from(decode_base64(text)?);
        let hash_count = usize::from(*bytes.first().ok_or(WRONG)?);
        if hash_count > AUDIT_PATH_COUNT_MAX {
            let (found, max) = (hash_count as u64, AUDIT_PATH_COUNT_MAX as u64);
            return Err(WireError::TooMuch { what: "length of a path", found, max });
        }
        let (path, leaf) = bytes[1..].split_at_checked(hash_count * HASH_LEN).ok_or(WRONG)?;
        if leaf.is_empty() || leaf.len() > LEAF_LEN {
            return Err(WRONG);
        }
        let path = path.as_chunks::<HASH_LEN>().0.to_vec();
        Ok(Self { path, leaf: bytes.slice_ref(leaf) })
    }
}

impl AuditAnswer {
    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let tags = vec![tag(["e", &self.request.to_hex()]), tag(["p", &self.requester.to_string()])];
        Draft { kind: AUDIT_KIND, content: self.content(), tags }
    }

    /// The content of the event, which says everything but to whom.
    pub(super) fn content(&self) -> String {
        let samples = self.samples.iter().map(|sample| sample.as_ref().map(|proof| proof.encode().into()));
        let body = Body {
            nonce: self.nonce.to_string().into(),
            samples: samples.collect(),
            req: self.number.map(|number| number.to_string().into()),
        };
        serde_json::to_string(&body).expect("strings and lists are always JSON")
    }

    /// Reads a verified event. Whether the proofs hold is for the reader to see, who knows the roots.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, AUDIT_KIND)?;
        Self::read(&event.content, request_id(event)?, requester(event)?)
    }

    /// Reads the content of the event that answers `request` of `requester`.
    pub(super) fn read(content: &str, request: EventId, requester: ClientId) -> Result<Self, WireError> {
        let body: Body<'_> = serde_json::from_str(content)?;
        let samples = &body.samples.0;
        if samples.is_empty() || samples.len() > AUDIT_COUNT_MAX {
            let (found, max) = (samples.len() as u64, AUDIT_COUNT_MAX as u64);
            return Err(WireError::TooMuch { what: "number of samples", found, max });
        }
        let decode = |sample: &Option<Cow<'_, str>>| sample.as_deref().map(Proof::decode).transpose();
        let number = body.req.as_ref().map(|text| text.parse()).transpose();
        Ok(Self {
            request,
            requester,
            number: number.map_err(|_| WireError::Field { field: "req" })?,
            nonce: AuditNonce::parse(&body.nonce).map_err(|_| WireError::Field { field: "nonce" })?,
            samples: samples.iter().map(decode).collect::<Result<_, _>>()?,
        })
    }
}
