//! What the first bytes of a message say, before the rest of it is here.

use crate::types::BlobHash;
use crate::wire::DirectId;
use crate::wire::direct::message::{RESPONSE, STORE};

/// Bytes before the blob of a STORE: type, id, time, retention, flags, hash.
const STORE_HEAD_LEN: usize = 1 + 4 + 8 + 8 + 1 + BlobHash::LEN;
/// Bytes before the blob of a RESPONSE: type, id, hash.
const RESPONSE_HEAD_LEN: usize = 1 + 4 + BlobHash::LEN;

/// What the first bytes of a message that carries a blob say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// A client sends a blob to be kept.
    Store {
        /// The question.
        id: DirectId,
        /// Bytes of the blob.
        len: u64,
    },
    /// A provider sends a blob that was asked for.
    Response {
        /// The question that it answers.
        id: DirectId,
        /// The blob.
        hash: BlobHash,
        /// Bytes of the blob.
        len: u64,
    },
}

impl Beginning {
    /// Reads the first bytes of a message of `message_len` bytes; `None` if they begin none that carries a blob.
    pub fn read(first: &[u8], message_len: usize) -> Option<Self> {
        let (kind, rest) = first.split_first()?;
        let id = DirectId(u32::from_be_bytes(*rest.first_chunk()?));
        let len = |head_len| message_len.checked_sub(head_len).map(|len| len as u64);
        match *kind {
            STORE => Some(Self::Store { id, len: len(STORE_HEAD_LEN)? }),
            RESPONSE => {
                let hash = BlobHash::new(*rest.get(4..)?.first_chunk()?);
                Some(Self::Response { id, hash, len: len(RESPONSE_HEAD_LEN)? })
            }
            _ => None,
        }
    }

    /// The question, or the one that it answers.
    pub fn id(&self) -> DirectId {
        match self {
            Self::Store { id, .. } | Self::Response { id, .. } => *id,
        }
    }

    /// Bytes of the blob.
    pub fn blob_len(&self) -> u64 {
        match self {
            Self::Store { len, .. } | Self::Response { len, .. } => *len,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::types::Timestamp;
    use crate::wire::{DirectMessage, DirectStore};

    #[test]
    fn beginnings_say_what_the_whole_messages_say() {
        let (id, hash, data) = (DirectId(7), BlobHash::new([9; 32]), Bytes::from(vec![1; 1_000]));
        let (at, retention, encrypt) = (Timestamp(1), None, false);
        let store = DirectStore { id, at, retention, encrypt, hash, data: data.clone() };
        for (message, beginning) in [
            (DirectMessage::Store(store), Some(Beginning::Store { id, len: 1_000 })),
            (DirectMessage::Response { id, hash, data }, Some(Beginning::Response { id, hash, len: 1_000 })),
            (DirectMessage::Request { id, hash }, None),
            (DirectMessage::Answer { id, content: "{}".repeat(100) }, None),
        ] {
            let encoded = message.encode();
            assert_eq!(Beginning::read(&encoded.head, encoded.len()), beginning);
        }
        assert_eq!(Beginning::read(&[STORE, 0, 0, 0, 7], 53), None, "there is no room for a head");
        assert_eq!(Beginning::read(&[RESPONSE, 0, 0, 0, 7, 9, 9], 1_000), None);
        assert_eq!(Beginning::read(&[], 1_000), None);
    }
}
