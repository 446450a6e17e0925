//! A BlobDVM provider: the plain protocol and its extensions over a [`BlobStore`](crate::store::BlobStore).
//!
//! `relay → take → admission → action → store → answer`, the answer over the relay that brought the request.
//!
//! | file | what |
//! |---|---|
//! | `handle` | [`Provider`]: start, loop, stop |
//! | `server` | the way of one request |
//! | `gate`, `memory` | how much is taken on at once, and remembered (invariant I9) |
//! | `keep` | store, delete, renew, stat, list |
//! | `send` | retrieve: chunks, fair among clients |
//! | `audit` | proofs that blobs are here |
//! | `direct` | the same without relays: connections, their messages and answers |
//! | `blossom` | HTTP for those who know no BlobDVM, over the same store |
//! | `announce` | the announcement |
//! | `caller` | who asked; answers and refusals |
//!
//! The loop itself never waits for disk or relay. It reads small requests and chunks, and hands the rest to jobs, which
//! are counted before they begin; whoever is too many is told `BUSY`.

mod announce;
mod audit;
mod blossom;
mod caller;
mod direct;
mod gate;
mod handle;
mod keep;
mod memory;
mod options;
mod send;
mod server;
#[cfg(test)]
mod tests;

pub use blossom::{BlossomOptions, BlossomServer};
pub use handle::{Gauges, Provider};
pub use options::{DirectOptions, ProviderError, ProviderOptions};
