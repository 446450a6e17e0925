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
    sign_digest(&tagged_hash(message, purpose), keys)
}

/// Checks that `signer` signed `message` for `purpose`.
pub fn verify(
    message: &[u8],
    purpose: Purpose,
    signature: &Signature,
    signer: &PublicKey,
) -> Result<(), CryptError> {
    if holds(&tagged_hash(message, purpose), signature, signer) {
        Ok(())
    } else {
        Err(CryptError::BadSignature { what: purpose.name() })
    }
}

fn sign_digest(digest: &Message, keys: &Keys) -> Signature {
    let pair = Keypair::from_secret_key(SECP256K1, keys.secret_key());
    Signature(SECP256K1.sign_schnorr_no_aux_rand(digest, &pair).serialize())
}

fn holds(digest: &Message, signature: &Signature, signer: &PublicKey) -> bool {
    let Ok(signer) = XOnlyPublicKey::from_slice(&signer.0) else { return false };
    let Ok(signature) = schnorr::Signature::from_slice(&signature.0) else { return false };
    SECP256K1.verify_schnorr(&signature, digest, &signer).is_ok()
}

/// `SHA-256(SHA-256(label) || SHA-256(label) || message)` (BIP-340, "tagged hashes").
fn tagged_hash(message: &[u8], purpose: Purpose) -> Message {
    let tag = Sha256::digest(purpose.label());
    let digest = Sha256::new().chain_update(tag).chain_update(tag).chain_update(message).finalize();
    Message::from_digest(digest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(last_byte: u8) -> Keys {
        let mut secret = [0; 32];
        secret[31] = last_byte;
        Keys::new(nostr::SecretKey::from_slice(&secret).unwrap())
    }

    fn bytes<const LEN: usize>(text: &str) -> [u8; LEN] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn signatures_are_those_of_bip_340() {
        // Vector 0: secret key 3, auxiliary randomness of zeros, message of zeros.
        let signature = "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215\
                         25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0";
        let public = "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9";
        let (digest, keys) = (Message::from_digest([0; 32]), keys(3));
        assert_eq!(PublicKey::from(&keys), PublicKey(bytes(public)));
        assert_eq!(sign_digest(&digest, &keys), Signature(bytes(signature)));
        assert!(holds(&digest, &Signature(bytes(signature)), &PublicKey(bytes(public))));
    }

    #[test]
    fn key_that_is_not_on_the_curve_verifies_nothing() {
        // BIP-340, vector 5.
        let public = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34";
        let digest = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89";
        let signature = "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769\
                         69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b";
        let digest = Message::from_digest(bytes(digest));
        assert!(!holds(&digest, &Signature(bytes(signature)), &PublicKey(bytes(public))));
    }

    #[test]
    fn signature_for_one_purpose_is_none_for_another() {
        let (message, keys) = (b"message", keys(7));
        for made_for in [Purpose::Record, Purpose::Device, Purpose::Head] {
            let signature = sign(message, made_for, &keys);
            for read_as in [Purpose::Record, Purpose::Device, Purpose::Head] {
                let holds = verify(message, read_as, &signature, &PublicKey::from(&keys)).is_ok();
                assert_eq!(holds, made_for == read_as);
            }
        }
    }

    #[test]
    fn signature_holds_for_no_other_message_key_or_signature() {
        let (keys, other) = (keys(7), keys(8));
        let signature = sign(b"message", Purpose::Record, &keys);
        let mut changed = signature;
        changed.0[63] ^= 1;
        let public = PublicKey::from(&keys);
        assert!(verify(b"message", Purpose::Record, &signature, &public).is_ok());
        assert!(verify(b"massage", Purpose::Record, &signature, &public).is_err());
        assert!(verify(b"message", Purpose::Record, &signature, &PublicKey::from(&other)).is_err());
        assert!(verify(b"message", Purpose::Record, &changed, &public).is_err());
    }
}
