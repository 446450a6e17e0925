//! Messages that follow the handshake.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};

use crate::types::limits::{
    BATCH_COUNT_MAX, BLOB_LEN_MAX, DIRECT_TEXT_LEN_MAX, ERROR_CODE_LEN_MAX, STATUS_TEXT_LEN_MAX,
};
use crate::types::{BlobHash, ChunkLen, ClientId, Timestamp};
use crate::wire::audit::AuditAnswer;
use crate::wire::tags::printable;
use crate::wire::{Action, Answer, ErrorCode, RequestNumber, WireError, request_body, response_body};

const REQUEST: u8 = 2;
pub(super) const RESPONSE: u8 = 3;
const HAVE: u8 = 4;
const WANT: u8 = 5;
const NOT_FOUND: u8 = 6;
const ERROR: u8 = 7;
pub(super) const STORE: u8 = 8;
const ASK: u8 = 9;
const ANSWER: u8 = 10;
const PROOFS: u8 = 11;

/// Bytes of a hash.
const HASH_LEN: usize = BlobHash::LEN;
/// Stands for a store that asks for what the provider announces.
const NO_RETENTION: u64 = u64::MAX;
/// The flag of a store that is to be encrypted at rest.
const FLAG_ENCRYPT: u8 = 1;

/// The number of a question on one connection: its asker chooses it, its answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectId(pub u32);

/// One message of the direct path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectMessage {
    /// Client: send this blob.
    Request {
        /// The question.
        id: DirectId,
        /// The blob.
        hash: BlobHash,
    },
    /// Provider: the blob that was asked for.
    Response {
        /// The question that it answers.
        id: DirectId,
        /// The blob.
        hash: BlobHash,
        /// All of its bytes.
        data: Bytes,
    },
    /// Provider: which of the wanted blobs are here.
    Have {
        /// The question that it answers.
        id: DirectId,
        /// The blobs, in the order of the question.
        hashes: Vec<BlobHash>,
    },
    /// Client: which of these blobs are there?
    Want {
        /// The question.
        id: DirectId,
        /// The blobs, at most [`BATCH_COUNT_MAX`].
        hashes: Vec<BlobHash>,
    },
    /// Provider: the blob that was asked for is not here.
    NotFound {
        /// The question that it answers.
        id: DirectId,
        /// The blob.
        hash: BlobHash,
    },
    /// Provider: it refuses.
    Error {
        /// The question that it answers.
        id: DirectId,
        /// Why, for a program.
        code: ErrorCode,
        /// Why, for people.
        text: String,
    },
    /// Client: keep this blob.
    Store(DirectStore),
    /// Client: what else can be asked, as the content of a request event.
    Ask {
        /// The question.
        id: DirectId,
        /// When it was asked, by the client's clock (invariant I11).
        at: Timestamp,
        /// JSON of kind 24210.
        content: String,
    },
    /// Provider: the answer, as the content of a response event.
    Answer {
        /// The question that it answers.
        id: DirectId,
        /// JSON of kind 24211.
        content: String,
    },
    /// Provider: proofs, as the content of an answer to an audit.
    Proofs {
        /// The question that it answers.
        id: DirectId,
        /// JSON of kind 24214.
        content: String,
    },
}

/// A blob to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectStore {
    /// The question.
    pub id: DirectId,
    /// When it was asked, by the client's clock (invariant I11).
    pub at: Timestamp,
    /// For how long; what the provider announces where `None`.
    pub retention: Option<Duration>,
    /// Whether it is to be encrypted at rest.
    pub encrypt: bool,
    /// The blob's name.
    pub hash: BlobHash,
    /// The blob's bytes.
    pub data: Bytes,
}

/// A message as it goes out: a few bytes of head, and what follows it without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The rest.
    pub data: Bytes,
}

impl Encoded {
    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.head.len() + self.data.len()
    }

    /// Whether there is no byte at all; no message is like that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl DirectMessage {
    /// A question other than for a blob's bytes.
    pub fn ask(id: DirectId, at: Timestamp, action: &Action, number: Option<RequestNumber>) -> Self {
        Self::Ask { id, at, content: request_body::encode(action, number, ChunkLen::BASE) }
    }

    /// Its answer.
    pub fn answer(id: DirectId, answer: &Answer, number: Option<RequestNumber>) -> Self {
        Self::Answer { id, content: response_body::encode(answer, number) }
    }

    /// The answer to an audit.
    pub fn proofs(id: DirectId, answer: &AuditAnswer) -> Self {
        Self::Proofs { id, content: answer.content() }
    }

    /// What the content of an [`Ask`](Self::Ask) asks for.
    ///
    /// # Errors
    /// As for a request event; and for what has a message of its own here, a store or a retrieve.
    pub fn read_ask(content: &str) -> Result<(Action, Option<RequestNumber>), WireError> {
        match request_body::decode(content)? {
            (Action::Store(_) | Action::Retrieve { .. }, ..) => Err(WireError::Field { field: "action" }),
            (action, number, _) => Ok((action, number)),
        }
    }

    /// What the content of an [`Answer`](Self::Answer) says.
    ///
    /// # Errors
    /// As for a response event.
    pub fn read_answer(content: &str) -> Result<Answer, WireError> {
        let nothing = response_body::Fallback { hash: None, expires: None };
        response_body::decode(content, &nothing).map(|(answer, _)| answer)
    }

    /// What the content of [`Proofs`](Self::Proofs) says to `client`.
    ///
    /// # Errors
    /// As for an answer to an audit.
    pub fn read_proofs(content: &str, client: ClientId) -> Result<AuditAnswer, WireError> {
        AuditAnswer::read(content, nostr::EventId::from_byte_array([0; 32]), client)
    }

    /// The question, or the one that it answers.
    pub fn id(&self) -> DirectId {
        match self {
            Self::Request { id, .. }
            | Self::Response { id, .. }
            | Self::Have { id, .. }
            | Self::Want { id, .. }
            | Self::NotFound { id, .. }
            | Self::Error { id, .. }
            | Self::Ask { id, .. }
            | Self::Answer { id, .. }
            | Self::Proofs { id, .. }
            | Self::Store(DirectStore { id, .. }) => *id,
        }
    }

    /// Bytes of what it carries: a blob, hashes or a text.
    pub fn data_len(&self) -> u64 {
        let len = match self {
            Self::Request { .. } | Self::NotFound { .. } => HASH_LEN,
            Self::Response { data, .. } | Self::Store(DirectStore { data, .. }) => data.len(),
            Self::Have { hashes, .. } | Self::Want { hashes, .. } => hashes.len() * HASH_LEN,
            Self::Error { text, .. } => text.len(),
            Self::Ask { content, .. } | Self::Answer { content, .. } | Self::Proofs { content, .. } => {
                content.len()
            }
        };
        len as u64
    }

    /// The bytes of the message.
    pub fn encode(self) -> Encoded {
        let mut head = Vec::with_capacity(64);
        let data = match self {
            Self::Request { id, hash } => named(&mut head, REQUEST, id, &hash, Bytes::new()),
            Self::Response { id, hash, data } => named(&mut head, RESPONSE, id, &hash, data),
            Self::NotFound { id, hash } => named(&mut head, NOT_FOUND, id, &hash, Bytes::new()),
            Self::Have { id, hashes } => list(&mut head, HAVE, id, &hashes),
            Self::Want { id, hashes } => list(&mut head, WANT, id, &hashes),
            Self::Error { id, code, text } => {
                begin(&mut head, ERROR, id);
                let code = code.as_str().as_bytes();
                head.put_u8(u8::try_from(code.len()).expect("a code is short"));
                head.extend_from_slice(code);
                printable(&text, STATUS_TEXT_LEN_MAX).into()
            }
            Self::Store(store) => {
                begin(&mut head, STORE, store.id);
                head.put_u64(store.at.0);
                head.put_u64(store.retention.map_or(NO_RETENTION, |time| time.as_secs()));
                head.put_u8(if store.encrypt { FLAG_ENCRYPT } else { 0 });
                head.extend_from_slice(store.hash.as_bytes());
                store.data
            }
            Self::Ask { id, at, content } => {
                begin(&mut head, ASK, id);
                head.put_u64(at.0);
                content.into()
            }
            Self::Answer { id, content } => {
                begin(&mut head, ANSWER, id);
                content.into()
            }
            Self::Proofs { id, content } => {
                begin(&mut head, PROOFS, id);
                content.into()
            }
        };
        Encoded { head, data }
    }

    /// Reads a message; the bytes of a blob are not copied.
    ///
    /// # Errors
    /// [`WireError::Direct`] for what is no message, or one of the handshake's.
    pub fn decode(mut bytes: Bytes) -> Result<Self, WireError> {
        let kind = bytes.try_get_u8().map_err(|_| wrong("it is empty"))?;
        let id = DirectId(bytes.try_get_u32().map_err(|_| wrong("it is cut short"))?);
        match kind {
            REQUEST => Ok(Self::Request { id, hash: only_hash(bytes)? }),
            NOT_FOUND => Ok(Self::NotFound { id, hash: only_hash(bytes)? }),
            RESPONSE => Ok(Self::Response { id, hash: take_hash(&mut bytes)?, data: blob(bytes)? }),
            HAVE => Ok(Self::Have { id, hashes: hashes(&bytes)? }),
            WANT => Ok(Self::Want { id, hashes: hashes(&bytes)? }),
            ERROR => decode_error(id, &mut bytes),
            STORE => decode_store(id, bytes).map(Self::Store),
            ASK => {
                let at = take_u64(&mut bytes).map(Timestamp)?;
                Ok(Self::Ask { id, at, content: text(&bytes)? })
            }
            ANSWER => Ok(Self::Answer { id, content: text(&bytes)? }),
            PROOFS => Ok(Self::Proofs { id, content: text(&bytes)? }),
            _ => Err(wrong("its type is unknown")),
        }
    }
}

fn begin(head: &mut Vec<u8>, kind: u8, id: DirectId) {
    head.put_u8(kind);
    head.put_u32(id.0);
}

fn named(head: &mut Vec<u8>, kind: u8, id: DirectId, hash: &BlobHash, data: Bytes) -> Bytes {
    begin(head, kind, id);
    head.extend_from_slice(hash.as_bytes());
    data
}

fn list(head: &mut Vec<u8>, kind: u8, id: DirectId, hashes: &[BlobHash]) -> Bytes {
    begin(head, kind, id);
    hashes.iter().flat_map(BlobHash::as_bytes).copied().collect()
}

fn wrong(what: &'static str) -> WireError {
    WireError::Direct { what }
}

fn take_hash(bytes: &mut Bytes) -> Result<BlobHash, WireError> {
    let mut hash = [0; HASH_LEN];
    bytes.try_copy_to_slice(&mut hash).map_err(|_| wrong("a hash is cut short"))?;
    Ok(BlobHash::new(hash))
}

fn only_hash(mut bytes: Bytes) -> Result<BlobHash, WireError> {
    let hash = take_hash(&mut bytes)?;
    if bytes.is_empty() { Ok(hash) } else { Err(wrong("something follows its hash")) }
}

fn take_u64(bytes: &mut Bytes) -> Result<u64, WireError> {
    bytes.try_get_u64().map_err(|_| wrong("a number is cut short"))
}

fn blob(bytes: Bytes) -> Result<Bytes, WireError> {
    let found = bytes.len() as u64;
    if found > BLOB_LEN_MAX {
        return Err(WireError::BlobTooLarge { found, max: BLOB_LEN_MAX });
    }
    Ok(bytes)
}

fn hashes(bytes: &[u8]) -> Result<Vec<BlobHash>, WireError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_LEN>();
    if !rest.is_empty() {
        return Err(wrong("a hash is cut short"));
    }
    if hashes.len() > BATCH_COUNT_MAX {
        let (found, max) = (hashes.len() as u64, BATCH_COUNT_MAX as u64);
        return Err(WireError::TooMuch { what: "number of hashes", found, max });
    }
    Ok(hashes.iter().copied().map(BlobHash::new).collect())
}

fn text(bytes: &[u8]) -> Result<String, WireError> {
    if bytes.len() > DIRECT_TEXT_LEN_MAX {
        let (found, max) = (bytes.len() as u64, DIRECT_TEXT_LEN_MAX as u64);
        return Err(WireError::TooMuch { what: "length of a text", found, max });
    }
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| wrong("its text is not UTF-8"))
}

fn decode_error(id: DirectId, bytes: &mut Bytes) -> Result<DirectMessage, WireError> {
    let len = usize::from(bytes.try_get_u8().map_err(|_| wrong("its code is cut short"))?);
    if len > ERROR_CODE_LEN_MAX || len > bytes.len() {
        return Err(wrong("its code is cut short"));
    }
    let code = bytes.split_to(len);
    let code =
        str::from_utf8(&code).ok().and_then(ErrorCode::parse).ok_or_else(|| wrong("its code is none"))?;
    Ok(DirectMessage::Error { id, code, text: printable(&text(bytes)?, STATUS_TEXT_LEN_MAX) })
}

fn decode_store(id: DirectId, mut bytes: Bytes) -> Result<DirectStore, WireError> {
    let at = take_u64(&mut bytes).map(Timestamp)?;
    let retention = Some(take_u64(&mut bytes)?).filter(|seconds| *seconds != NO_RETENTION);
    let flags = bytes.try_get_u8().map_err(|_| wrong("its flags are missing"))?;
    if flags & !FLAG_ENCRYPT != 0 {
        return Err(wrong("it has flags that nobody knows"));
    }
    let hash = take_hash(&mut bytes)?;
    Ok(DirectStore {
        id,
        at,
        retention: retention.map(Duration::from_secs),
        encrypt: flags == FLAG_ENCRYPT,
        hash,
        data: blob(bytes)?,
    })
}
