//! Keys and what is done with them: derivation, sealing, masking, signing, keyed names. Pure.
//!
//! Every label of every derivation stands in [`mod@derive`]; nonces are made in [`seal`] and [`mask`] and nowhere else.

pub mod access;
pub mod derive;
pub mod mask;
pub mod seal;
pub mod secret;
pub mod sign;
pub mod tag;

mod error;

pub use access::{Access, ActorKeys};
pub use derive::{DeviceClass, VaultKeys};
pub use error::CryptError;
pub use seal::{Aad, Layer, SealedKind, SealedSegment, open_salted, open_segment, seal_salted, seal_segment};
pub use secret::{CapabilitySecret, LayerKey, MaskKey, SegmentKey, TagKey, VaultSecret};
pub use sign::{PublicKey, Purpose, Signature};
