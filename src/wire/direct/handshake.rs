//! The handshake's messages, and what is signed in it.
//!
//! `client → Hello → provider`, `provider → Ack → client`, `client → Introduction → provider`: after the first two both
//! share keys that nobody else has (Noise NN), and the two proofs, which travel under these keys, bind them to the Nostr
//! keys of both: each signs the hash of the handshake, in which both have put a key that is used once.
//!
//! Each begins with its type and the handshake's version, which says the cipher.

use nostr::secp256k1::schnorr::Signature;
use nostr::secp256k1::{Message, XOnlyPublicKey};
use nostr::{Keys, SECP256K1};
use sha2::{Digest, Sha256};

use crate::types::ProviderId;
use crate::wire::WireError;
use crate::wire::draft::sign_digest;

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

/// What seals a connection's records. The client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectCipher {
    /// Version 1 of the handshake: what every machine computes well.
    ChaCha20Poly1305,
    /// Version 2: what is faster where both machines have instructions for it (extension `aes`).
    Aes256Gcm,
}

/// The client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// What it wants the records to be sealed by.
    pub cipher: DirectCipher,
    /// The first Noise message.
    pub noise: [u8; NOISE_FIRST_LEN],
}

/// The provider answers, and shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// As the client said.
    pub cipher: DirectCipher,
    /// The second Noise message.
    pub noise: [u8; NOISE_SECOND_LEN],
    /// The provider's proof, under the channel's keys.
    pub sealed_proof: [u8; SEALED_PROOF_LEN],
}

/// The client shows who it is, to the provider alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    /// As in the messages before.
    pub cipher: DirectCipher,
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

impl DirectCipher {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ChaCha20Poly1305, Self::Aes256Gcm];

    fn version(self) -> u8 {
        match self {
            Self::ChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }
}

impl Hello {
    /// Bytes of the message.
    pub const LEN: usize = 2 + NOISE_FIRST_LEN;

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE, self.cipher.version()], &self.noise[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (cipher, noise) = body(bytes, HANDSHAKE)?;
        Ok(Self { cipher, noise })
    }
}

impl Ack {
    const BODY_LEN: usize = NOISE_SECOND_LEN + SEALED_PROOF_LEN;

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE_ACK, self.cipher.version()], &self.noise[..], &self.sealed_proof[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (cipher, body) = body::<{ Self::BODY_LEN }>(bytes, HANDSHAKE_ACK)?;
        let (mut noise, mut sealed_proof) = ([0; NOISE_SECOND_LEN], [0; SEALED_PROOF_LEN]);
        let (first, second) = body.split_at(NOISE_SECOND_LEN);
        noise.copy_from_slice(first);
        sealed_proof.copy_from_slice(second);
        Ok(Self { cipher, noise, sealed_proof })
    }
}

impl Introduction {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        [&[HANDSHAKE_ACK, self.cipher.version()], &self.sealed_proof[..]].concat()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`WireError::Direct`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (cipher, sealed_proof) = body(bytes, HANDSHAKE_ACK)?;
        Ok(Self { cipher, sealed_proof })
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

/// The cipher that the version says, and what follows; the type must be right.
fn body<const N: usize>(bytes: &[u8], kind: u8) -> Result<(DirectCipher, [u8; N]), WireError> {
    let wrong = |what| WireError::Direct { what };
    let [found, version, body @ ..] = bytes else { return Err(wrong("it is cut short")) };
    if *found != kind {
        return Err(wrong("its type is another"));
    }
    let cipher = DirectCipher::ALL.into_iter().find(|cipher| cipher.version() == *version);
    let cipher = cipher.ok_or_else(|| wrong("its version is another"))?;
    Ok((cipher, body.try_into().map_err(|_| wrong("its length is wrong"))?))
}
