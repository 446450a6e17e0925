//! The BlobDVM events, one file per kind (docs/protocol.md). Pure: no I/O, clock or randomness.
//!
//! Every kind has a type with `to_draft`, which says what to sign, and `parse`, which takes an event whose id and
//! signature were verified where it entered (those of chunks later, if at all: [`Attestation`]) and rejects whatever is off. `parse` never panics and never allocates
//! more than a small multiple of the event it was given.
//!
//! | kind | type | by |
//! |---|---|---|
//! | 31999 | [`Announcement`] | provider |
//! | 24210 | [`Request`] | client |
//! | 24211 | [`Response`] | provider |
//! | 24212 | [`Chunk`] | provider |
//! | 24213 | [`Upload`] | client |
//! | 24214 | [`AuditAnswer`] | provider |
//! | 21999 | [`Status`] | provider |
//!
//! Without relays the same is said in the messages of [`direct`]. What HTTP servers and their clients say is in [`blossom`].

pub mod announcement;
pub mod attestation;
pub mod audit;
pub mod blossom;
mod bounded;
pub mod chunk;
pub mod chunk_set;
pub mod direct;
pub mod draft;
pub mod error;
pub mod fuzz;
pub mod nip01;
mod payload;
pub mod request;
mod request_body;
pub mod response;
mod response_body;
pub mod status;
pub mod tags;
pub mod unverified;
pub mod upload;

#[cfg(test)]
mod tests;

pub use announcement::{Announcement, Extension};
pub use attestation::Attestation;
pub use audit::{AuditAnswer, Proof, audit_position};
pub use chunk::{Chunk, Direction};
pub use chunk_set::ChunkSet;
pub use direct::{DirectId, DirectMessage, DirectStore};
pub use draft::{Draft, author_as_client, author_as_provider};
pub use error::{ErrorCode, WireError};
pub use request::{Action, Hashes, Request, RequestNumber, Store, StoreBody};
pub use response::{Answer, BlobInfo, Claim, ItemsOf, Promise, Response};
pub use status::{Status, StatusKind};
pub use unverified::{Unverified, Verified};
pub use upload::{Upload, UploadPlace};

/// Kind of the announcement, addressable by `d` = [`SERVICE`].
pub const ANNOUNCEMENT_KIND: u16 = 31_999;
/// Kind of a request.
pub const REQUEST_KIND: u16 = 24_210;
/// Kind of a response.
pub const RESPONSE_KIND: u16 = 24_211;
/// Kind of a chunk that a provider sends.
pub const CHUNK_KIND: u16 = 24_212;
/// Kind of a chunk that a client sends (extension `chunked`).
pub const UPLOAD_KIND: u16 = 24_213;
/// Kind of an answer to an audit (extension `audit`).
pub const AUDIT_KIND: u16 = 24_214;
/// Kind of a status or error message.
pub const STATUS_KIND: u16 = 21_999;
/// The `d` tag of the announcement, and the last part of the address that requests carry.
pub const SERVICE: &str = "blob-storage-v1";

/// Whether events of this kind carry chunks. Those are verified where they turn out to be wrong ([`Attestation`]), all
/// others where they come in.
pub fn carries_chunk(kind: nostr::Kind) -> bool {
    matches!(kind.as_u16(), CHUNK_KIND | UPLOAD_KIND)
}
