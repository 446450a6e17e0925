//! What sessions know of who signed a chunk: how to find out.

use bytes::Bytes;

use crate::wire::Attestation;

/// A chunk that has come, and who stands for it; nobody, where that was checked.
pub(super) type Held<A> = (Bytes, Option<A>);

/// Stands for a chunk's author, should anybody doubt it.
pub trait Attests {
    /// Whether a chunk of these bytes is from whom it names.
    fn holds_for(&self, data: &[u8]) -> bool;
}

impl Attests for Attestation {
    fn holds_for(&self, data: &[u8]) -> bool {
        Attestation::holds_for(self, data)
    }
}
