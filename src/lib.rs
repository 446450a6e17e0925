//! blobdvm keeps private backups on storage providers that nobody has to trust.
#![forbid(unsafe_code)]

pub mod cli;
pub mod env;
pub mod transport;
pub mod types;
