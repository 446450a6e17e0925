//! Secret keys: wiped when dropped, never printed, never copied without a visible [`expose`](SegmentKey::expose).

use std::fmt;

use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of every symmetric key here.
pub const KEY_LEN: usize = 32;

macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_LEN]);

        impl $name {
            /// Wraps the bytes of a key.
            pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
                Self(bytes)
            }

            /// Makes a fresh key.
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                let mut key = Self([0; KEY_LEN]);
                rng.fill_bytes(&mut key.0);
                key
            }

            /// The bytes of the key. A search for this name finds every use.
            pub const fn expose(&self) -> &[u8; KEY_LEN] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret_key!(
    /// The vault's one secret: its Nostr secret key. Everything else is derived from it.
    VaultSecret
);
secret_key!(
    /// The one secret of a verify device: its signing keys, pseudonyms and head author follow from it, and nothing else.
    CapabilitySecret
);
secret_key!(
    /// A key that seals many texts, each under a key derived from it and a fresh salt (invariant I4).
    LayerKey
);
secret_key!(
    /// The key of one segment. It seals once: only [`seal_segment`](super::seal_segment) can use it, and makes it.
    SegmentKey
);
secret_key!(
    /// The key that masks the shards of one pack where `need` is 1.
    MaskKey
);
secret_key!(
    /// A key of HMAC-SHA256 that gives plaintexts and trees their names.
    TagKey
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte_of_a_key() {
        assert_eq!(format!("{:?}", SegmentKey::new([0xab; KEY_LEN])), "SegmentKey(..)");
        assert_eq!(format!("{:?}", VaultSecret::new([0xab; KEY_LEN])), "VaultSecret(..)");
    }
}
