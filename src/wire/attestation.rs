//! Who a chunk is from, found out only where that matters.
//!
//! The signature of a chunk's event says whose bytes these are. Where a whole blob has the hash that was asked for, its
//! bytes are right whoever sent them, and checking each chunk's id and signature costs more than decoding and hashing it.
//! Where it has not, the signatures tell a relay that forged from a sender that was wrong.

use nostr::Event;

use crate::wire::nip01::Envelope;
use crate::wire::payload::encode_base64;

/// The signature of a chunk's event, apart from the bytes that the event carried.
#[derive(Debug, Clone)]
pub struct Attestation(Box<Envelope>);

impl Attestation {
    /// That of an event of kind 24212 or 24213. It takes a quarter of a kilobyte, however long the event is.
    pub fn of(event: &Event) -> Self {
        Self(Box::new(Envelope::of(event)))
    }

    /// Whether the author that the event named has signed it with these bytes.
    pub fn holds_for(&self, data: &[u8]) -> bool {
        // There is one base64 text of these bytes that a chunk may have, and it stands in JSON as it is.
        self.0.verifies_with(&encode_base64(data), true)
    }
}

#[cfg(test)]
mod tests {
    use nostr::Keys;

    use super::*;
    use crate::types::{BlobHash, ChunkIndex, ProviderId, Timestamp};
    use crate::wire::Upload;

    #[test]
    fn attestation_holds_for_the_bytes_that_were_signed_and_for_no_others() {
        let upload = Upload {
            provider: ProviderId::new([1; 32]),
            hash: BlobHash::new([2; 32]),
            index: ChunkIndex(0),
            total: 1,
            data: (0..=u8::MAX).collect(),
        };
        let event = upload.to_draft().sign(&Keys::parse(&"01".repeat(32)).unwrap(), Timestamp(1));
        let attestation = Attestation::of(&event);
        assert!(attestation.holds_for(&upload.data));
        let mut others = [upload.data[1..].to_vec(), Vec::new(), upload.data.to_vec()];
        others[2][200] ^= 1;
        assert!(others.iter().all(|data| !attestation.holds_for(data)));

        let other = Keys::parse(&"02".repeat(32)).unwrap();
        let mut forged = [event.clone(), event.clone(), event.clone(), event];
        forged[0].pubkey = other.public_key();
        forged[1].tags = nostr::Tags::new();
        forged[2].id = nostr::EventId::all_zeros();
        forged[3].sig = upload.to_draft().sign(&other, Timestamp(1)).sig;
        assert!(forged.iter().all(|event| !Attestation::of(event).holds_for(&upload.data)));
    }

    #[test]
    fn attestation_takes_little_room_however_long_the_event_is() {
        assert!(size_of::<Envelope>() <= 256, "{} bytes", size_of::<Envelope>());
    }
}
