//! Erasure coding: any k of n shards bring a pack back. Pure; knows nothing of what it codes.

pub mod codec;
mod field;
pub mod scheme;

pub use codec::{Codec, CodecError};
pub use scheme::{Scheme, SchemeError};
