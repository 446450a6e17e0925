//! What can go wrong with a key.

/// An error of the `crypt` layer. It never carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptError {
    /// A ciphertext was made with another key, for another place, or was changed.
    #[error("{what} does not authenticate")]
    DoesNotAuthenticate {
        /// What was being opened.
        what: &'static str,
    },
    /// A signature is not by the key that it should be by, or not over these bytes.
    #[error("the signature of {what} is not valid")]
    BadSignature {
        /// What was signed.
        what: &'static str,
    },
    /// Bytes that are no key of the wanted kind.
    #[error("{what} is not a valid key")]
    InvalidKey {
        /// Which key was wanted.
        what: &'static str,
    },
}
