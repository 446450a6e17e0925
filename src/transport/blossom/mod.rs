//! The client's half of Blossom: blobs at an HTTP server, by their SHA-256 (BUD-01, BUD-02, BUD-11, BUD-12).
//!
//! It is no [`Carrier`](crate::transport::Carrier) and no provider: there are no receipts, promises or audits in it.
//! What it is for is to be measured beside providers (`blobdvm bench`).
//!
//! | file | what |
//! |---|---|
//! | `client` | store, fetch, look, delete |
//! | `line` | connections: dialled, sealed where the address says so, kept for the next request |
//! | `error` | what can go wrong |

mod client;
mod error;
mod line;

pub use client::BlossomClient;
pub use error::BlossomError;
