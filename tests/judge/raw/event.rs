//! Nostr events (NIP-01): the id is the SHA-256 of the fields as JSON, the signature is BIP-340.

use std::time::{SystemTime, UNIX_EPOCH};

use secp256k1::rand::rngs::OsRng;
use secp256k1::schnorr::Signature;
use secp256k1::{Keypair, Message, SECP256K1, XOnlyPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Keys {
    pair: Keypair,
    /// The public key in hexadecimal digits.
    pub(crate) public: String,
}

impl Keys {
    /// A new key.
    pub(crate) fn generate() -> Self {
        let pair = Keypair::new(SECP256K1, &mut OsRng);
        Self { pair, public: hex::encode(pair.x_only_public_key().0.serialize()) }
    }

    /// The secret key.
    pub(crate) fn secret(&self) -> [u8; 32] {
        self.pair.secret_bytes()
    }

    /// An event of now.
    pub(crate) fn sign(&self, kind: u64, tags: &[&[&str]], content: &str) -> Event {
        self.sign_at(now(), kind, tags, content)
    }

    /// An event of some time.
    pub(crate) fn sign_at(&self, created_at: u64, kind: u64, tags: &[&[&str]], content: &str) -> Event {
        let tags = tags.iter().map(|tag| tag.iter().map(|&part| part.to_owned()).collect()).collect();
        let mut event = Event {
            id: String::new(),
            pubkey: self.public.clone(),
            created_at,
            kind,
            tags,
            content: content.to_owned(),
            sig: String::new(),
        };
        let digest = event.digest();
        event.id = hex::encode(digest);
        event.sig = SECP256K1.sign_schnorr_no_aux_rand(&Message::from_digest(digest), &self.pair).to_string();
        event
    }
}

/// A signed event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) pubkey: String,
    pub(crate) created_at: u64,
    pub(crate) kind: u64,
    pub(crate) tags: Vec<Vec<String>>,
    pub(crate) content: String,
    pub(crate) sig: String,
}

impl Event {
    /// Reads an event and checks id and signature.
    pub(crate) fn verified(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let event = Self {
            id: text("id")?,
            pubkey: text("pubkey")?,
            created_at: value["created_at"].as_u64()?,
            kind: value["kind"].as_u64()?,
            tags: serde_json::from_value(value["tags"].clone()).ok()?,
            content: text("content")?,
            sig: text("sig")?,
        };
        let digest = event.digest();
        let key = XOnlyPublicKey::from_slice(&hex::decode(&event.pubkey).ok()?).ok()?;
        let signature = Signature::from_slice(&hex::decode(&event.sig).ok()?).ok()?;
        SECP256K1.verify_schnorr(&signature, &Message::from_digest(digest), &key).ok()?;
        (event.id == hex::encode(digest)).then_some(event)
    }

    /// The event as relays carry it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "pubkey": self.pubkey, "created_at": self.created_at, "kind": self.kind,
            "tags": self.tags, "content": self.content, "sig": self.sig,
        })
    }

    /// The value of the first tag of this name.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.first().is_some_and(|first| first == name))?;
        tag.get(1).map(String::as_str)
    }

    fn digest(&self) -> [u8; 32] {
        let fields = json!([0, self.pubkey, self.created_at, self.kind, self.tags, self.content]);
        Sha256::digest(fields.to_string()).into()
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this client shares no code with the product, its clock included"
)]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
