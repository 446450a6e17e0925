//! The handshake: Noise NN, and then the proofs of both Nostr keys under the keys that it has agreed on.
//!
//! The hash that is signed covers both sides' fresh keys. So a recorded proof is good for no other handshake, and one
//! who sits in the middle shares a different hash with each side, and can sign neither.

use std::sync::{Arc, RwLock};

use nostr::Keys;
use rand::RngCore;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use crate::env::{Env, EnvRng};
use crate::transport::direct::DirectError;
use crate::transport::direct::aes::AesGcm;
use crate::transport::direct::record::{Opener, Sealer, TAG_LEN};
use crate::types::{ClientId, ProviderId};
use crate::wire::direct::{
    Ack, DirectCipher, Hello, Introduction, NOISE_FIRST_LEN, NOISE_SECOND_LEN, Proof, SEALED_PROOF_LEN,
};

/// What both sides mix in, so that no other protocol's handshake is taken for this one.
const PROLOGUE: &[u8] = b"blobdvm direct 1";

/// The keys of one connection, on one side of it.
pub(in crate::transport) type Channel = (Sealer, Opener);

/// The client's side, until the provider's answer is there.
pub(in crate::transport) struct Opening {
    state: HandshakeState,
    cipher: DirectCipher,
}

/// The provider's side, until the client has shown who it is.
pub(in crate::transport) struct Welcome {
    channel: Channel,
    hash: [u8; 32],
    provider: ProviderId,
    cipher: DirectCipher,
}

impl Opening {
    /// Begins a handshake for a connection under `cipher`.
    pub(in crate::transport) fn begin(cipher: DirectCipher, env: &Env) -> Result<(Self, Hello), DirectError> {
        let mut state = builder(cipher, env)?.build_initiator()?;
        let noise = write::<NOISE_FIRST_LEN>(&mut state)?;
        Ok((Self { state, cipher }, Hello { cipher, noise }))
    }

    /// Takes the answer of `provider`, and shows it who asks.
    ///
    /// # Errors
    /// [`DirectError::WrongKey`] if somebody else answers, who then learns nothing; [`DirectError::Handshake`].
    pub(in crate::transport) fn finish(
        mut self,
        ack: &Ack,
        provider: &ProviderId,
        keys: &Keys,
    ) -> Result<(Channel, Introduction), DirectError> {
        if ack.cipher != self.cipher {
            return Err(DirectError::Handshake);
        }
        self.state.read_message(&ack.noise, &mut [])?;
        let ((mut sealer, mut opener), hash) = channel(self.state)?;
        let proof = open_proof(&mut opener, &ack.sealed_proof)?;
        if !proof.is_of_provider(&hash) {
            return Err(DirectError::Handshake);
        }
        if proof.key != *provider.as_bytes() {
            return Err(DirectError::WrongKey { found: ProviderId::new(proof.key) });
        }
        let sealed_proof = seal_proof(&mut sealer, &Proof::of_client(keys, &hash, provider))?;
        Ok(((sealer, opener), Introduction { cipher: self.cipher, sealed_proof }))
    }
}

impl Welcome {
    /// Answers a client's beginning.
    pub(in crate::transport) fn begin(
        hello: &Hello,
        keys: &Keys,
        env: &Env,
    ) -> Result<(Self, Ack), DirectError> {
        let cipher = hello.cipher;
        let mut state = builder(cipher, env)?.build_responder()?;
        state.read_message(&hello.noise, &mut [])?;
        let noise = write::<NOISE_SECOND_LEN>(&mut state)?;
        let ((mut sealer, opener), hash) = channel(state)?;
        let sealed_proof = seal_proof(&mut sealer, &Proof::of_provider(keys, &hash))?;
        let provider = ProviderId::new(keys.public_key().to_bytes());
        let ack = Ack { cipher, noise, sealed_proof };
        Ok((Self { channel: (sealer, opener), hash, provider, cipher }, ack))
    }

    /// Takes the client's introduction; who it is.
    ///
    /// # Errors
    /// [`DirectError::Handshake`].
    pub(in crate::transport) fn finish(
        mut self,
        introduction: &Introduction,
    ) -> Result<(Channel, ClientId), DirectError> {
        let proof = open_proof(&mut self.channel.1, &introduction.sealed_proof)?;
        if introduction.cipher != self.cipher || !proof.is_of_client(&self.hash, &self.provider) {
            return Err(DirectError::Handshake);
        }
        Ok((self.channel, ClientId::new(proof.key)))
    }
}

fn builder(cipher: DirectCipher, env: &Env) -> Result<Builder<'static>, DirectError> {
    let protocol: NoiseParams = protocol(cipher).parse()?;
    Ok(Builder::with_resolver(protocol, Box::new(Resolver(env.clone()))).prologue(PROLOGUE)?)
}

/// The name of what both sides speak (Noise Protocol Framework, revision 34, §8).
fn protocol(cipher: DirectCipher) -> &'static str {
    match cipher {
        DirectCipher::ChaCha20Poly1305 => "Noise_NN_25519_ChaChaPoly_SHA256",
        DirectCipher::Aes256Gcm => "Noise_NN_25519_AESGCM_SHA256",
    }
}

/// The next message of the handshake, without a payload.
fn write<const N: usize>(state: &mut HandshakeState) -> Result<[u8; N], DirectError> {
    // snow asks for room for a tag, whether there will be one or not.
    let mut message = [0; NOISE_SECOND_LEN + TAG_LEN];
    let len = state.write_message(&[], &mut message)?;
    message[..len].try_into().map_err(|_| DirectError::Handshake)
}

/// The keys that a finished handshake has agreed on, and its hash.
fn channel(state: HandshakeState) -> Result<(Channel, [u8; 32]), DirectError> {
    let hash = state.get_handshake_hash().try_into().map_err(|_| DirectError::Handshake)?;
    let keys = Arc::new(RwLock::new(state.into_stateless_transport_mode()?));
    Ok(((Sealer::new(keys.clone()), Opener::new(keys)), hash))
}

fn seal_proof(sealer: &mut Sealer, proof: &Proof) -> Result<[u8; SEALED_PROOF_LEN], DirectError> {
    let sealed = sealer.seal(&proof.encode())?;
    sealed.as_ref().try_into().map_err(|_| DirectError::Handshake)
}

fn open_proof(opener: &mut Opener, sealed: &[u8]) -> Result<Proof, DirectError> {
    let mut plain = Vec::new();
    opener.open_onto(sealed, &mut plain).map_err(|_| DirectError::Handshake)?;
    Proof::decode(&plain).map_err(|_| DirectError::Handshake)
}

/// snow's own primitives, with our randomness and a faster AES.
pub(super) struct Resolver(pub(super) Env);

struct Randomness(EnvRng);

impl Random for Randomness {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Randomness(self.0.rng())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(AesGcm::default())),
            CipherChoice::ChaChaPoly => DefaultResolver.resolve_cipher(choice),
        }
    }
}
