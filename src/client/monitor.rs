//! How an operation tells whoever watches it how far it is. The library prints nothing itself.

use crate::client::error::Failure;

/// Watches an operation. Calls come from several threads and must return at once.
pub trait Monitor: Send + Sync {
    /// Bytes that are expected to go over the wire in all; may be said again when more is known.
    fn expect(&self, bytes: u64);
    /// `bytes` more were acknowledged by a provider, or came from one and were verified.
    fn advance(&self, bytes: u64);
    /// A provider failed; the operation goes on.
    fn failed(&self, failure: &Failure);
    /// Something that a person would want to know, in one line.
    fn note(&self, text: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {
    fn expect(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn failed(&self, _failure: &Failure) {}
    fn note(&self, _text: &str) {}
}
