//! Why a Blossom server could not be used.

use crate::types::BlobHash;

/// Why a Blossom server could not be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BlossomError {
    /// The text is no address of such a server.
    #[error("{text:?} is no address of a Blossom server: {why}")]
    Address {
        /// The text, cut to 80 characters.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody listens there, or what answers is not the server of that name.
    #[error("Blossom server {server} cannot be reached: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// What the system says.
        why: String,
    },
    /// The server did not answer in time.
    #[error("Blossom server {server} did not answer within {seconds} s")]
    Silent {
        /// The server.
        server: String,
        /// How long it had.
        seconds: u64,
    },
    /// The connection ended, or what came over it is no HTTP.
    #[error("the connection to Blossom server {server} broke off: {why}")]
    Broken {
        /// The server.
        server: String,
        /// What was wrong.
        why: String,
    },
    /// The server will not.
    #[error("Blossom server refuses with status {status}: {reason}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it says to people.
        reason: String,
    },
    /// The answer is longer than it can be.
    #[error("the answer has more than {len_max} bytes")]
    TooLong {
        /// Bytes that were waited for.
        len_max: u64,
    },
    /// What came back is not what was asked for.
    #[error("the answer is not about blob {hash}")]
    Corrupt {
        /// The blob.
        hash: BlobHash,
    },
}
