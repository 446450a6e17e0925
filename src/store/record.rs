//! Records of the claims log. PURE.
//!
//! The log is a sequence of slots of `SLOT_LEN` bytes. A slot is a kind byte, the record's fields in order (hashes and
//! keys as they are, numbers as `u64` little endian), zeros up to byte 120, and a check: the first 8 bytes of SHA-256
//! over `"blobdvm claims"`, the slot's position in the log and its first 120 bytes. Slot 0 holds the version. Because
//! the position is under the check, a slot is never taken for another one, and damage costs only the slots it hits.

use sha2::{Digest, Sha256};

use crate::store::checksum::Checksum;
use crate::types::limits::BLOB_LEN_MAX;
use crate::types::{BlobHash, ClientId, Timestamp};

/// Bytes of a slot.
pub const SLOT_LEN: usize = 128;
/// The version of the log that this program writes.
pub const VERSION: u8 = 3;
/// The oldest that it reads, and writes anew as soon as it can: there were no checksums. A store of version 1 had its
/// blobs in 256 folders.
pub(super) const VERSION_MIN: u8 = 2;

const BODY_LEN: usize = 120;
const CONTEXT: &[u8] = b"blobdvm claims";

/// The beginning of the id of the event that asked for a change: tells two changes of one second apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventMark(pub [u8; 8]);

/// When a change was signed, and by which event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// `created_at` of the event.
    pub at: Timestamp,
    /// The event.
    pub mark: EventMark,
}

/// One step of the claims' history. Applying a record twice is the same as applying it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The first slot.
    Version(u8),
    /// A key's claim on a blob, made or renewed.
    Claim {
        /// The blob.
        hash: BlobHash,
        /// The key.
        client: ClientId,
        /// Length of the blob.
        len: u64,
        /// Until when the blob is promised.
        expires: Timestamp,
        /// The store or renew.
        change: Change,
        /// Of the blob's bytes, where they were at hand.
        checksum: Option<Checksum>,
    },
    /// A key's claim on a blob, dropped at its wish.
    Drop {
        /// The blob.
        hash: BlobHash,
        /// The key.
        client: ClientId,
        /// The delete.
        change: Change,
    },
    /// A blob whose promises had lapsed, given up with all claims on it.
    Evict {
        /// The blob.
        hash: BlobHash,
    },
    /// The clock was seen at work.
    Tick {
        /// What it showed.
        now: Timestamp,
    },
    /// The clock jumped since it was last seen: every promise moves with it.
    Jump {
        /// The last tick.
        from: Timestamp,
        /// What the clock shows since.
        to: Timestamp,
    },
}

impl Record {
    /// The record as the slot at `position`.
    pub fn encode(&self, position: u64) -> [u8; SLOT_LEN] {
        let mut fields = Fields { slot: [0; SLOT_LEN], len: 0 };
        match self {
            Self::Version(version) => fields.put(&[0, *version]),
            Self::Claim { hash, client, len, expires, change, checksum } => {
                fields.put(&[1]).put(hash.as_bytes()).put(client.as_bytes());
                fields.number(*len).number(expires.0).number(change.at.0).put(&change.mark.0);
                fields.number(Checksum::number(*checksum))
            }
            Self::Drop { hash, client, change } => {
                fields.put(&[2]).put(hash.as_bytes()).put(client.as_bytes());
                fields.number(change.at.0).put(&change.mark.0)
            }
            Self::Evict { hash } => fields.put(&[3]).put(hash.as_bytes()),
            Self::Tick { now } => fields.put(&[4]).number(now.0),
            Self::Jump { from, to } => fields.put(&[5]).number(from.0).number(to.0),
        };
        let mut slot = fields.slot;
        let check = check(&slot[..BODY_LEN], position);
        slot[BODY_LEN..].copy_from_slice(&check);
        slot
    }

    /// The record of the slot at `position`; `None` if it is damaged or not of this place.
    pub fn decode(slot: &[u8; SLOT_LEN], position: u64) -> Option<Self> {
        let (body, stored) = slot.split_at(BODY_LEN);
        if stored == check(body, position) { Self::of_body(slot) } else { None }
    }

    /// The record of a slot whose check is not looked at.
    pub(super) fn of_body(slot: &[u8; SLOT_LEN]) -> Option<Self> {
        let body = &slot[..BODY_LEN];
        let mut rest = Rest(&body[1..]);
        let record = match body[0] {
            0 => Self::Version(rest.take::<1>()?[0]),
            1 => Self::Claim {
                hash: BlobHash::new(rest.take()?),
                client: ClientId::new(rest.take()?),
                // No blob is longer: sums of lengths cannot overflow, whatever the log says.
                len: rest.number().filter(|len| *len <= BLOB_LEN_MAX)?,
                expires: Timestamp(rest.number()?),
                change: rest.change()?,
                checksum: Checksum::of_number(rest.number()?),
            },
            2 => Self::Drop {
                hash: BlobHash::new(rest.take()?),
                client: ClientId::new(rest.take()?),
                change: rest.change()?,
            },
            3 => Self::Evict { hash: BlobHash::new(rest.take()?) },
            4 => Self::Tick { now: Timestamp(rest.number()?) },
            5 => Self::Jump { from: Timestamp(rest.number()?), to: Timestamp(rest.number()?) },
            _ => return None,
        };
        rest.0.iter().all(|byte| *byte == 0).then_some(record)
    }
}

fn check(body: &[u8], position: u64) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(CONTEXT)
        .chain_update(position.to_le_bytes())
        .chain_update(body)
        .finalize();
    std::array::from_fn(|index| digest[index])
}

struct Fields {
    slot: [u8; SLOT_LEN],
    len: usize,
}

impl Fields {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.slot[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_le_bytes())
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn change(&mut self) -> Option<Change> {
        Some(Change { at: Timestamp(self.number()?), mark: EventMark(self.take()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let (hash, client) = (BlobHash::new([0xaa; 32]), ClientId::new([0xbb; 32]));
        let change = Change { at: Timestamp(77), mark: EventMark([1, 2, 3, 4, 5, 6, 7, 8]) };
        vec![
            Record::Version(VERSION),
            Record::Claim {
                hash,
                client,
                len: BLOB_LEN_MAX,
                expires: Timestamp(1 << 40),
                change,
                checksum: None,
            },
            Record::Claim {
                hash,
                client,
                len: 3,
                expires: Timestamp(7),
                change,
                checksum: Some(Checksum::of(b"abc")),
            },
            Record::Drop { hash, client, change },
            Record::Evict { hash },
            Record::Tick { now: Timestamp(5) },
            Record::Jump { from: Timestamp(5), to: Timestamp(3) },
        ]
    }

    #[test]
    fn record_round_trips_in_its_own_place_only() {
        for (position, record) in (0..).zip(samples()) {
            let slot = record.encode(position);
            assert_eq!(Record::decode(&slot, position), Some(record));
            assert_eq!(Record::decode(&slot, position + 1), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for record in samples() {
            let slot = record.encode(9);
            for bit in 0..SLOT_LEN * 8 {
                let mut damaged = slot;
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Record::decode(&damaged, 9), None, "bit {bit} of {record:?}");
            }
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes() {
        let mut slot = Record::Tick { now: Timestamp(1) }.encode(4);
        slot[119] = 1;
        let check = check(&slot[..BODY_LEN], 4);
        slot[BODY_LEN..].copy_from_slice(&check);
        assert_eq!(Record::decode(&slot, 4), None, "bytes after the last field are zero");
    }
}
