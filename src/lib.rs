//! blobdvm keeps private backups on storage providers that nobody has to trust.
#![forbid(unsafe_code)]

pub mod cli;
pub mod types;
