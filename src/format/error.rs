//! What can be wrong with bytes of the format.

use crate::crypt::CryptError;
use crate::erasure::{CodecError, SchemeError};
use crate::types::{BlobHash, ShardIndex};

/// An error of the `format` layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Bytes end before what they announce.
    #[error("{what} is cut off: {wanted} bytes wanted, {left} left")]
    Truncated {
        /// What was read.
        what: &'static str,
        /// Bytes that should follow.
        wanted: u64,
        /// Bytes that do follow.
        left: u64,
    },
    /// Bytes go on behind the end of what they encode.
    #[error("{len} bytes too many after {what}")]
    TrailingBytes {
        /// What was read.
        what: &'static str,
        /// Bytes left over.
        len: u64,
    },
    /// Written by a newer program.
    #[error("{what} has version {found}, this program knows version {known}: a newer blobdvm is needed")]
    UnknownVersion {
        /// What was read.
        what: &'static str,
        /// The version it has.
        found: u8,
        /// The version that is known.
        known: u8,
    },
    /// A type number that this version of the format does not have.
    #[error("{what} of unknown type {found}: a newer blobdvm may be needed")]
    UnknownType {
        /// What was read.
        what: &'static str,
        /// The number it has.
        found: u8,
    },
    /// A count or length beyond its limit.
    #[error("{count} {what}, at most {max} are allowed")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many.
        count: u64,
        /// How many may be.
        max: u64,
    },
    /// A value that breaks a rule of the format.
    #[error("{what}: {rule}")]
    Invalid {
        /// What was read or is to be written.
        what: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A shard whose bytes are not those that its hash names.
    #[error("shard {index} is not the blob {}", wanted.short())]
    WrongShard {
        /// Which shard of its pack.
        index: ShardIndex,
        /// The hash it should have.
        wanted: BlobHash,
    },
    /// A key does not fit.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// Shards do not suffice.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Numbers that are no coding.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
}
