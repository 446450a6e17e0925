//! What is wrong with an event, and the codes that say so on the wire.

use std::fmt;

use crate::types::limits::ERROR_CODE_LEN_MAX;

/// An event that is not what its kind promises.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The event is of another kind.
    #[error("event of kind {found}, not {wanted}")]
    Kind {
        /// The event's kind.
        found: u16,
        /// The kind that was to be parsed.
        wanted: u16,
    },
    /// A tag that the kind needs is not there.
    #[error("tag {tag:?} is missing")]
    TagMissing {
        /// Name of the tag.
        tag: &'static str,
    },
    /// A tag's value is not what it must be.
    #[error("tag {tag:?} is malformed: {value:?}")]
    TagMalformed {
        /// Name of the tag.
        tag: &'static str,
        /// Its value, cut to 80 characters.
        value: String,
    },
    /// A number, list or text is beyond its limit.
    #[error("{what} is {found}, at most {max} is allowed")]
    TooMuch {
        /// What is counted.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        max: u64,
    },
    /// A blob, or an inline store, is larger than any provider takes.
    #[error("blob of {found} bytes, at most {max} are allowed")]
    BlobTooLarge {
        /// Length of the blob in bytes, as far as it can be told.
        found: u64,
        /// Largest length.
        max: u64,
    },
    /// A hash is not 64 lowercase hexadecimal digits.
    #[error("{text:?} is no blob hash")]
    Hash {
        /// The text, cut to 80 characters.
        text: String,
    },
    /// The content is not JSON of the shape that the kind has.
    #[error("content is not the JSON of this kind")]
    Json(#[from] serde_json::Error),
    /// The content, or a part of it, is not base64.
    #[error("content is not base64")]
    Base64(#[from] base64_simd::Error),
    /// A field of the content is missing, or contradicts another.
    #[error("field {field:?} is missing or contradicts the rest")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
    /// A request for an action that this program does not know.
    #[error("unknown action {action:?}")]
    UnknownAction {
        /// The action, cut to 80 characters.
        action: String,
    },
    /// A message of the direct path that is none.
    #[error("message of the direct path is wrong: {what}")]
    Direct {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A Blossom token that allows nothing, or not this.
    #[error("authorization is wrong: {what}")]
    Token {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A chunk set that is not in canonical form.
    #[error("{text:?} is no canonical list of chunk ranges")]
    ChunkSet {
        /// The text, cut to 80 characters.
        text: String,
    },
}

impl WireError {
    /// The code with which a provider answers a request that fails to parse with this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BlobTooLarge { .. } => ErrorCode::FileTooLarge,
            Self::Hash { .. } => ErrorCode::InvalidHash,
            _ => ErrorCode::InvalidRequest,
        }
    }
}

/// Why a provider refuses (docs/protocol.md, "Errors").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `FILE_TOO_LARGE`: beyond the provider's announced maximum.
    FileTooLarge,
    /// `INVALID_HASH`: not a hash, or not the hash of the bytes that were sent.
    InvalidHash,
    /// `FILE_NOT_FOUND`: no such blob, or it expired, or (delete, renew) no claim of the sender's.
    FileNotFound,
    /// `CHUNK_MISSING`: the provider has lost a part of the blob.
    ChunkMissing,
    /// `INTEGRITY_FAILED`: the provider's copy does not have its hash any more.
    IntegrityFailed,
    /// `STORAGE_FULL`: no room, or the sender's quota is used up.
    StorageFull,
    /// `INTERNAL_ERROR`: an unexpected failure.
    InternalError,
    /// `INVALID_REQUEST` (extension): the request cannot be understood.
    InvalidRequest,
    /// `STALE_REQUEST` (extension): the request's time is too far from the provider's, or older than what it changes.
    StaleRequest,
    /// `BUSY` (extension): too much is under way; later it may go through.
    Busy,
    /// A code that this program does not know.
    Other(String),
}

impl ErrorCode {
    const KNOWN: [Self; 10] = [
        Self::FileTooLarge,
        Self::InvalidHash,
        Self::FileNotFound,
        Self::ChunkMissing,
        Self::IntegrityFailed,
        Self::StorageFull,
        Self::InternalError,
        Self::InvalidRequest,
        Self::StaleRequest,
        Self::Busy,
    ];

    /// The code as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::FileTooLarge => "FILE_TOO_LARGE",
            Self::InvalidHash => "INVALID_HASH",
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::ChunkMissing => "CHUNK_MISSING",
            Self::IntegrityFailed => "INTEGRITY_FAILED",
            Self::StorageFull => "STORAGE_FULL",
            Self::InternalError => "INTERNAL_ERROR",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::StaleRequest => "STALE_REQUEST",
            Self::Busy => "BUSY",
            Self::Other(code) => code,
        }
    }

    /// Reads a code: capital letters, digits and underscores, at most [`ERROR_CODE_LEN_MAX`] of them.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if text.is_empty() || text.len() > ERROR_CODE_LEN_MAX || !text.bytes().all(shaped) {
            return None;
        }
        let known = Self::KNOWN.into_iter().find(|code| code.as_str() == text);
        Some(known.unwrap_or_else(|| Self::Other(text.to_owned())))
    }

    /// Whether the same request may succeed later at the same provider without anything else being done.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::InternalError | Self::StaleRequest | Self::Busy)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first 80 characters, for error texts.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
