//! Ids: byte strings of fixed length with a name for what they identify.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::types::sha256::sha256_each;

/// A text that is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct ParseIdError {
    /// What was expected, for example `64 lowercase hexadecimal digits`.
    pub wanted: &'static str,
    /// The text that was given, cut to 80 characters.
    pub text: String,
}

impl ParseIdError {
    fn new(wanted: &'static str, text: &str) -> Self {
        Self { wanted, text: text.chars().take(80).collect() }
    }
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length of the id in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes of an id.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hexadecimal digits, for logs and people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }

            /// Parses the canonical text: lowercase hexadecimal, exactly twice the length in bytes.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $len];
                let canonical = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                if canonical && hex::decode_to_slice(text, &mut bytes).is_ok() {
                    Ok(Self(bytes))
                } else {
                    Err(ParseIdError::new($wanted, text))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

byte_id!(
    /// SHA-256 of a blob's bytes: its name at every provider.
    BlobHash, 32, "64 lowercase hexadecimal digits"
);
byte_id!(
    /// Public key (BIP-340, x-only) of a provider.
    ProviderId, 32, "a provider's public key (npub or 64 lowercase hexadecimal digits)"
);
byte_id!(
    /// Public key (BIP-340, x-only) of whoever sends requests to a provider: to it, a pseudonym.
    ClientId, 32, "64 lowercase hexadecimal digits"
);
byte_id!(
    /// Root of the Merkle tree over a shard's 1 KiB leaves (docs/format.md, "Shards").
    MerkleRoot, 32, "64 lowercase hexadecimal digits"
);
byte_id!(
    /// Random bytes that nobody knows before an audit's request: what is asked for follows from them.
    AuditNonce, 32, "64 lowercase hexadecimal digits"
);
byte_id!(
    /// Keyed name of a segment, tree page or reference list: HMAC-SHA256 under a vault key (docs/format.md, "Tags").
    Tag, 32, "64 lowercase hexadecimal digits"
);
byte_id!(
    /// Random name of a pack.
    PackId, 16, "32 lowercase hexadecimal digits"
);
byte_id!(
    /// Random name of a snapshot.
    SnapshotId, 16, "32 lowercase hexadecimal digits"
);
byte_id!(
    /// Random name of a device: one chain of manifest records.
    DeviceId, 16, "32 lowercase hexadecimal digits"
);
byte_id!(
    /// Name of a vault, derived from its key; stands in associated data, never on the wire.
    VaultId, 16, "32 lowercase hexadecimal digits"
);

impl BlobHash {
    /// The hash that names `bytes` (FIPS 180-4).
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hashes that name blobs of one length; faster than one after the other.
    ///
    /// # Panics
    /// If they are not of one length.
    pub fn of_each(blobs: &[&[u8]]) -> Vec<Self> {
        sha256_each(&[], blobs).into_iter().map(Self).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_round_trips() {
        let id = PackId::new([0xa7; 16]);
        assert_eq!(PackId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn id_rejects_uppercase_and_wrong_length() {
        for text in ["", "A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7", "a7", &"a7".repeat(17), &"g7".repeat(16)] {
            assert!(PackId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn blob_hash_is_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(BlobHash::of(b"").to_string(), empty);
    }
}
