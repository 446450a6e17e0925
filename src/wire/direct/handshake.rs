//! The handshake's messages, and what is signed in it.
//!
//! `client → Hello → provider`, `provider → Ack → client`, `client → Introduction → provider`: after the first two both
//! share keys that nobody else has (Noise NN), and the two proofs, which travel under these keys, bind them to the Nostr
//! keys of both: each signs the hash of the handshake, in which both have put a key that is used once.

use nostr::secp256k1::schnorr::Signature;
use nostr::secp256k1::{Message, XOnlyPublicKey};
use nostr::{Keys, SECP256K1};
use sha2::{Digest, Sha256};

use crate::types::ProviderId;
use crate::wire::WireError;
use crate::wire::draft::sign_digest;

/// Version of the direct path that this program speaks.
pub const DIRECT_VERSION: u8 = 1;
/// Bytes of the first Noise message: a public key.
pub const NOISE_FIRST_LEN: usize = 32;
/// Bytes of the second Noise message: a public key, and the tag of an empty payload.
pub const NOISE_SECOND_LEN: usize = 48;
/// Bytes of a proof under the channel's keys.
pub const SEALED_PROOF_LEN: usize = PROOF_LEN + 16;

const HANDSHAKE: u8 = 0;
const HANDSHAKE_ACK: u8 = 1;
const KEY_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
const PROOF_LEN: usize = KEY_LEN + SIGNATURE_LEN;

const PROVIDER_LABEL: &[u8] = b"blobdvm direct 1 provider";
const CLIENT_LABEL: &[u8] = b"blobdvm direct 1 client";

/// The client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The first Noise message.
    pub noise: [u8; NOISE_FIRST_LEN],
}

/// The provider answers, and shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The second Noise message.
    pub noise: [u8; NOISE_SECOND_LEN],
    /// The provider's proof, under the channel's keys.
    pub sealed_proof: [u8; SEALED_PROOF_LEN],
}

/// The client shows who it is, to the provider alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    /// The client's proof, under the channel's keys.
    pub sealed_proof: [u8; SEALED_PROOF_LEN],
}

/// A Nostr key, and its signature for one handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The key.
    pub key: [u8; KEY_LEN],
    /// BIP-340.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Hello {
    /// Bytes of the message.
    pub const LEN: usize = 2 + NOISE_FIRST_LEN;

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE, DIRECT_VERSION], &self.noise[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(Self { noise: body(bytes, HANDSHAKE)? })
    }
}

impl Ack {
    const BODY_LEN: usize = NOISE_SECOND_LEN + SEALED_PROOF_LEN;

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE_ACK, DIRECT_VERSION], &self.noise[..], &self.sealed_proof[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let body: [u8; Self::BODY_LEN] = body(bytes, HANDSHAKE_ACK)?;
        let (mut noise, mut sealed_proof) = ([0; NOISE_SECOND_LEN], [0; SEALED_PROOF_LEN]);
        let (first, second) = body.split_at(NOISE_SECOND_LEN);
        noise.copy_from_slice(first);
        sealed_proof.copy_from_slice(second);
        Ok(Self { noise, sealed_proof })
    }
}

impl Introduction {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE_ACK, DIRECT_VERSION], &self.sealed_proof[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(Self { sealed_proof: body(bytes, HANDSHAKE_ACK)? })
    }
}

impl Proof {
    /// The provider's proof for a handshake.
    pub fn of_provider(keys: &Keys, handshake: &[u8; 32]) -> Self {
        Self::sign(keys, provider_digest(handshake))
    }

    /// The client's proof for a handshake with `provider`.
    pub fn of_client(keys: &Keys, handshake: &[u8; 32], provider: &ProviderId) -> Self {
        Self::sign(keys, client_digest(handshake, provider))
    }

    /// Whether it is a provider's for this handshake.
    pub fn is_of_provider(&self, handshake: &[u8; 32]) -> bool {
        self.holds(provider_digest(handshake))
    }

    /// Whether it is a client's for this handshake with `provider`.
    pub fn is_of_client(&self, handshake: &[u8; 32], provider: &ProviderId) -> bool {
        self.holds(client_digest(handshake, provider))
    }

    /// The bytes of the proof.
    pub fn encode(&self) -> Vec<u8> {
        [&self.key[..], &self.signature[..]].concat()
    }

    /// Reads a proof. Whether it holds is another question.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (mut key, mut signature) = ([0; KEY_LEN], [0; SIGNATURE_LEN]);
        if bytes.len() != PROOF_LEN {
            return Err(WireError::Direct { what: "its length is not a proof's" });
        }
        let (first, second) = bytes.split_at(KEY_LEN);
        key.copy_from_slice(first);
        signature.copy_from_slice(second);
        Ok(Self { key, signature })
    }

    fn sign(keys: &Keys, digest: [u8; 32]) -> Self {
        Self { key: keys.public_key().to_bytes(), signature: sign_digest(keys, digest).serialize() }
    }

    fn holds(&self, digest: [u8; 32]) -> bool {
        let Ok(key) = XOnlyPublicKey::from_slice(&self.key) else { return false };
        let Ok(signature) = Signature::from_slice(&self.signature) else { return false };
        SECP256K1.verify_schnorr(&signature, &Message::from_digest(digest), &key).is_ok()
    }
}

/// No event's id is made like this: those are hashes of texts that begin with `[0,`.
fn provider_digest(handshake: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(PROVIDER_LABEL).chain_update(handshake).finalize().into()
}

/// Whom the client means is signed too: so a provider cannot pass it on to another.
fn client_digest(handshake: &[u8; 32], provider: &ProviderId) -> [u8; 32] {
    let hasher = Sha256::new().chain_update(CLIENT_LABEL).chain_update(handshake);
    hasher.chain_update(provider.as_bytes()).finalize().into()
}

/// What follows type and version, which must be right.
fn body<const N: usize>(bytes: &[u8], kind: u8) -> Result<[u8; N], WireError> {
    match bytes {
        [found, ..] if *found != kind => Err(WireError::Direct { what: "its type is another" }),
        [_, version, ..] if *version != DIRECT_VERSION => {
            Err(WireError::Direct { what: "its version is another" })
        }
        [_, _, body @ ..] => body.try_into().map_err(|_| WireError::Direct { what: "its length is wrong" }),
        _ => Err(WireError::Direct { what: "it is cut short" }),
    }
}
