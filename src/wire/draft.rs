//! Events before they are signed, and who signed one.

use nostr::secp256k1::Message;
use nostr::secp256k1::rand::{self, CryptoRng, RngCore};
use nostr::secp256k1::schnorr::Signature;
use nostr::{Event, Keys, Kind, SECP256K1, Tag, Tags};

use crate::types::{ClientId, ProviderId, Timestamp};
use crate::wire::nip01::event_id;

/// An event that waits to be stamped with a time and signed, which happens when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The event's kind.
    pub kind: u16,
    /// The event's content.
    pub content: String,
    /// The event's tags.
    pub tags: Vec<Tag>,
}

impl Draft {
    /// Adds a nonce: relays swallow an event id that they have seen, so every try needs an id of its own.
    #[must_use]
    pub fn with_nonce(mut self, nonce: u64) -> Self {
        self.tags.push(crate::wire::tags::tag(["nonce", &format!("{nonce:016x}")]));
        self
    }

    /// Stamps and signs the event (NIP-01).
    ///
    /// Without auxiliary randomness (BIP-340 allows that): the same draft, time and key give the same event.
    pub fn sign(self, keys: &Keys, created_at: Timestamp) -> Event {
        let author = keys.public_key();
        let created_at = nostr::Timestamp::from_secs(created_at.0);
        let kind = Kind::from_u16(self.kind);
        let tags = Tags::from_list(self.tags);
        let id = event_id(&author, created_at, kind, &tags, &self.content);
        let signature = sign_digest(keys, id.to_bytes());
        Event::new(id, author, created_at, kind, tags, self.content, signature)
    }
}

/// Signs a digest (BIP-340) without auxiliary randomness.
pub(super) fn sign_digest(keys: &Keys, digest: [u8; 32]) -> Signature {
    keys.sign_schnorr_with_ctx(SECP256K1, &Message::from_digest(digest), &mut NoAuxiliary)
}

/// The author of an event that a client signed.
pub fn author_as_client(event: &Event) -> ClientId {
    ClientId::new(event.pubkey.to_bytes())
}

/// The author of an event that a provider signed.
pub fn author_as_provider(event: &Event) -> ProviderId {
    ProviderId::new(event.pubkey.to_bytes())
}

/// The all-zero auxiliary input of BIP-340: the nonce is then derived from the key and the message alone.
struct NoAuxiliary;

impl RngCore for NoAuxiliary {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        bytes.fill(0);
        Ok(())
    }
}

// Asked for by the signing function's bound; BIP-340 is secure with any auxiliary input.
impl CryptoRng for NoAuxiliary {}
