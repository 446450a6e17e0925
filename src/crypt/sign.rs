//! Signatures: BIP-340 over a tagged hash, so that what is signed for one purpose is worth nothing for another.

use std::fmt;

use nostr::secp256k1::{Keypair, Message, XOnlyPublicKey, schnorr};
use nostr::{Keys, SECP256K1};
use sha2::{Digest, Sha256};

use super::CryptError;
use super::derive::label;

/// What a signature says yes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A manifest record, by its device.
    Record,
    /// That a device belongs to the vault, by the vault.
    Device,
    /// A head, by its device.
    Head,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Record => label::SIGN_RECORD,
            Self::Device => label::SIGN_DEVICE,
            Self::Head => label::SIGN_HEAD,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Record => "a manifest record",
            Self::Device => "a device's certificate",
            Self::Head => "a head",
        }
    }
}

/// A public key (BIP-340, x-only) of the vault or of one of its devices. Not every value lies on the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl From<&Keys> for PublicKey {
    fn from(keys: &Keys) -> Self {
        Self(keys.public_key().to_bytes())
    }
}

/// A BIP-340 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(&self.0[..4]))
    }
}

/// Signs `message` for `purpose`. The same inputs give the same signature (no auxiliary randomness).
pub fn sign(message: &[u8], purpose: Purpose, keys: &Keys) -> Signature {
    let pair = Keypair::from_secret_key(SECP256K1, keys.secret_key());
    Signature(SECP256K1.sign_schnorr_no_aux_rand(&tagged_hash(message, purpose), &pair).serialize())
}

/// Checks that `signer` signed `message` for `purpose`.
pub fn verify(
    message: &[u8],
    purpose: Purpose,
    signature: &Signature,
    signer: &PublicKey,
) -> Result<(), CryptError> {
    let failed = CryptError::BadSignature { what: purpose.name() };
    let Ok(signer) = XOnlyPublicKey::from_slice(&signer.0) else { return Err(failed) };
    let Ok(signature) = schnorr::Signature::from_slice(&signature.0) else { return Err(failed) };
    SECP256K1.verify_schnorr(&signature, &tagged_hash(message, purpose), &signer).map_err(|_| failed)
}

/// `SHA-256(SHA-256(label) || SHA-256(label) || message)` (BIP-340, "tagged hashes").
fn tagged_hash(message: &[u8], purpose: Purpose) -> Message {
    let tag = Sha256::digest(purpose.label());
    let digest = Sha256::new().chain_update(tag).chain_update(tag).chain_update(message).finalize();
    Message::from_digest(digest.into())
}
