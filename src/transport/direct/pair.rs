//! The records of a connection without the connection, for whoever measures what they cost.

use bytes::Bytes;
use nostr::{Keys, SecretKey};

use crate::env::Env;
use crate::transport::direct::DirectError;
use crate::transport::direct::noise::{Opening, Welcome};
use crate::transport::direct::record::{Cutting, Joining, Opener, Sealer};
use crate::types::ProviderId;
use crate::wire::DirectMessage;
use crate::wire::direct::DirectCipher;

/// One direction of a connection: what one side seals, the other opens.
pub struct RecordPair {
    sealer: Sealer,
    opener: Opener,
}

impl RecordPair {
    /// Shakes hands with itself, under keys that nobody has, for records under `cipher`.
    ///
    /// # Errors
    /// [`DirectError::Handshake`].
    pub fn agree(cipher: DirectCipher, env: &Env) -> Result<Self, DirectError> {
        let fresh = || {
            let secret = SecretKey::from_slice(&env.random_bytes::<32>());
            Keys::new(secret.expect("of 2^128 random texts of 32 bytes, one is no key"))
        };
        let keys = fresh();
        let provider = ProviderId::new(keys.public_key().to_bytes());
        let (opening, hello) = Opening::begin(cipher, env)?;
        let (welcome, ack) = Welcome::begin(&hello, &keys, env)?;
        let ((sealer, _), introduction) = opening.finish(&ack, &provider, &fresh())?;
        let ((_, opener), _) = welcome.finish(&introduction)?;
        Ok(Self { sealer, opener })
    }

    /// The records of a message, in their order.
    ///
    /// # Errors
    /// [`DirectError::Message`] for one that is too long.
    pub fn seal(&mut self, message: DirectMessage) -> Result<Vec<Bytes>, DirectError> {
        let mut cutting = Cutting::begin(message.encode())?;
        std::iter::from_fn(|| cutting.next(&mut self.sealer)).collect()
    }

    /// The bytes of the message that these records hold.
    ///
    /// # Errors
    /// The records are not those that were sealed next.
    pub fn open(&mut self, records: &[Bytes]) -> Result<Bytes, DirectError> {
        let (first, rest) = records.split_first().ok_or(DirectError::Broken)?;
        let mut plain = Vec::with_capacity(first.len());
        self.opener.open_onto(first, &mut plain)?;
        let mut joining = Joining::begin(plain)?;
        for record in rest {
            joining.add(record, &mut self.opener)?;
        }
        if joining.is_complete() { Ok(joining.into_bytes()) } else { Err(DirectError::Broken) }
    }
}
