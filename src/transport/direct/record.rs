//! Messages as records: each WebSocket message is one Noise message of at most 65,535 bytes, sealed under the next number
//! of its direction. So one that is changed, left out, repeated or moved does not open.
//!
//! After many records the key of their direction is changed (Noise §11.3), so that no amount of data wears it out.
//!
//! The first record of a message begins with the message's length; every record but a message's last is full.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use snow::StatelessTransportState;

use crate::transport::direct::DirectError;
use crate::types::limits::DIRECT_MESSAGE_LEN_MAX;
use crate::wire::direct::Encoded;

/// Bytes of the largest record (Noise §3).
pub(super) const RECORD_LEN_MAX: usize = 65_535;
/// Bytes of a record beyond what it holds.
pub(super) const TAG_LEN: usize = 16;
/// Bytes of a message that a full record holds.
const PLAIN_LEN_MAX: usize = RECORD_LEN_MAX - TAG_LEN;
/// Bytes of a message's length.
const PREFIX_LEN: usize = 4;
/// Records that one key seals: less than 64 GiB. RFC 8446 §5.5 allows AES-GCM 2^24.5 records of 16 KiB, which are 362 GiB.
pub(super) const RECORDS_OF_A_KEY: u64 = 1 << 20;

/// The keys of both directions, which seal and open at the same time: only the change of a key waits, and is waited for.
type Keys = Arc<RwLock<StatelessTransportState>>;

/// Seals what goes out.
pub(in crate::transport) struct Sealer {
    keys: Keys,
    /// The next record's number.
    pub(super) next: u64,
    /// Where records are made, one behind the other; the memory of those that were sent is used again.
    room: BytesMut,
}

/// Opens what comes in.
pub(in crate::transport) struct Opener {
    keys: Keys,
    /// The next record's number.
    pub(super) next: u64,
}

/// A message that is cut into records.
pub(super) struct Cutting {
    /// The length and the head of the message, until the first record is cut.
    first: Option<Vec<u8>>,
    data: Bytes,
}

/// A message that comes together.
#[derive(Debug)]
pub(super) struct Joining {
    bytes: BytesMut,
    len: usize,
}

impl Sealer {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, next: 0, room: BytesMut::new() }
    }

    /// Seals the next record.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<Bytes, DirectError> {
        let room = self.room.grow(plain.len() + TAG_LEN);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.write_message(self.next, plain, room).map_err(|_| DirectError::Broken)?;
        drop(keys);
        self.next = self.next.checked_add(1).ok_or(DirectError::Broken)?;
        if self.next.is_multiple_of(RECORDS_OF_A_KEY) {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).rekey_outgoing();
        }
        Ok(self.room.split().freeze())
    }
}

impl Opener {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, next: 0 }
    }

    /// Opens the next record, and adds what it holds to `plain`.
    pub(super) fn open_onto(&mut self, sealed: &[u8], plain: &mut impl Growing) -> Result<(), DirectError> {
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(DirectError::Broken)?;
        let room = plain.grow(len);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.read_message(self.next, sealed, room).map_err(|_| DirectError::Broken)?;
        drop(keys);
        self.next = self.next.checked_add(1).ok_or(DirectError::Broken)?;
        if self.next.is_multiple_of(RECORDS_OF_A_KEY) {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).rekey_incoming();
        }
        Ok(())
    }
}

/// Bytes that can be added to in place.
pub(super) trait Growing {
    /// Adds `len` zeros, and gives them to be written over.
    fn grow(&mut self, len: usize) -> &mut [u8];
}

impl Growing for Vec<u8> {
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let start = self.len();
        self.resize(start + len, 0);
        &mut self[start..]
    }
}

impl Growing for BytesMut {
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let start = self.len();
        self.resize(start + len, 0);
        &mut self[start..]
    }
}

impl Cutting {
    /// Begins to cut a message.
    ///
    /// # Errors
    /// It is longer than a message may be.
    pub(super) fn begin(message: Encoded) -> Result<Self, DirectError> {
        let len = u32::try_from(message.len()).ok().filter(|_| message.len() <= DIRECT_MESSAGE_LEN_MAX);
        let len = len.ok_or_else(|| DirectError::Message { why: format!("{} bytes", message.len()) })?;
        let first = [&len.to_be_bytes()[..], &message.head].concat();
        Ok(Self { first: Some(first), data: message.data })
    }

    /// The next record, sealed; none after the last.
    pub(super) fn next(&mut self, sealer: &mut Sealer) -> Option<Result<Bytes, DirectError>> {
        if let Some(mut first) = self.first.take() {
            // Heads are short, but a message is right however it is divided.
            let part = self.data.split_to(PLAIN_LEN_MAX.saturating_sub(first.len()).min(self.data.len()));
            first.extend_from_slice(&part);
            return Some(sealer.seal(&first));
        }
        if self.data.is_empty() {
            return None;
        }
        let part = self.data.split_to(PLAIN_LEN_MAX.min(self.data.len()));
        Some(sealer.seal(&part))
    }
}

impl Joining {
    /// Begins a message with what its first record holds. The message's length is known then, and nothing more than this
    /// record takes memory yet.
    ///
    /// # Errors
    /// [`DirectError::Message`] for a record that begins no message.
    pub(super) fn begin(plain: Vec<u8>) -> Result<Self, DirectError> {
        let wrong = |why: &str| DirectError::Message { why: why.to_owned() };
        let prefix = plain.first_chunk::<PREFIX_LEN>().ok_or_else(|| wrong("no length"))?;
        let len = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| wrong("no length"))?;
        let here = plain.len() - PREFIX_LEN;
        let is_possible = (1..=DIRECT_MESSAGE_LEN_MAX).contains(&len) && here <= len;
        if !is_possible || (here < len && plain.len() != PLAIN_LEN_MAX) {
            return Err(wrong("its length is not what it says"));
        }
        let mut bytes = BytesMut::from(Bytes::from(plain));
        let _prefix = bytes.split_to(PREFIX_LEN);
        Ok(Self { bytes, len })
    }

    /// Bytes of the whole message.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is here of it.
    pub(super) fn so_far(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether everything is here.
    pub(super) fn is_complete(&self) -> bool {
        self.bytes.len() == self.len
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// The record does not open, or its length is not that of its place.
    pub(super) fn add(&mut self, sealed: &[u8], opener: &mut Opener) -> Result<(), DirectError> {
        let rest = self.len - self.bytes.len();
        if sealed.len() != rest.min(PLAIN_LEN_MAX) + TAG_LEN {
            return Err(DirectError::Message { why: "a record of another length".to_owned() });
        }
        if self.bytes.capacity() < self.len {
            self.bytes.reserve(rest);
        }
        opener.open_onto(sealed, &mut self.bytes)
    }

    /// The whole message.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}
