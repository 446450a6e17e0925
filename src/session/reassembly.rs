//! Provider: the chunks of half-received blobs come together (docs/protocol.md, "chunked").
//!
//! An upload is known by (client, hash). Its whole length counts against the limits from its beginning, so that what was
//! begun can be finished: uploads that push each other out would never end. What rests is dropped for what comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::chunking;
use crate::types::limits::CHUNK_LEN;
use crate::types::{BlobHash, ClientId};
use crate::wire::{ChunkSet, Upload};

/// How much may be half received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Uploads at once.
    pub count_max: usize,
    /// Bytes of all blobs that are being uploaded.
    pub len_max: u64,
    /// Uploads of one client at once.
    pub client_count_max: usize,
    /// Bytes of the blobs that one client is uploading.
    pub client_len_max: u64,
    /// An upload that rests for so long is dropped.
    pub rest_max: Duration,
    /// An upload that is not complete after so long is dropped.
    pub age_max: Duration,
}

/// Which upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadKey {
    /// Who sends it.
    pub client: ClientId,
    /// The blob that it is said to be.
    pub hash: BlobHash,
}

/// What became of a store request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The upload was not known.
    New,
    /// It was known; these chunks have not arrived.
    Known(ChunkSet),
    /// All chunks have arrived, and the blob is being stored.
    Complete,
}

/// Why an upload cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// There is one of the same name and another length.
    #[error("an upload of {known} bytes under this hash is under way, not of {size}")]
    Conflict {
        /// The length of the upload that is under way.
        known: u64,
        /// The length that was asked for now.
        size: u64,
    },
    /// As many uploads are under way as can be.
    #[error("too many uploads are under way")]
    Busy,
}

/// Half-received uploads. `W` is what the provider wants to know again when one is complete: the newest request for it.
#[derive(Debug)]
pub struct Reassembly<W> {
    limits: ReassemblyLimits,
    uploads: BTreeMap<UploadKey, State<W>>,
    clients: BTreeMap<ClientId, Share>,
    len: u64,
}

#[derive(Debug)]
struct State<W> {
    wish: W,
    size: u64,
    chunk_count: u32,
    /// By index, empty where it has not arrived; taken out when the blob is complete. Apart from each other, so that an
    /// upload takes no more memory than was sent of it.
    chunks: Vec<Bytes>,
    have: ChunkSet,
    begun_at: Instant,
    moved_at: Instant,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct Share {
    count: usize,
    len: u64,
}

impl<W> Reassembly<W> {
    /// Nothing is under way.
    pub fn new(limits: ReassemblyLimits) -> Self {
        Self { limits, uploads: BTreeMap::new(), clients: BTreeMap::new(), len: 0 }
    }

    /// How many uploads are under way.
    pub fn count(&self) -> usize {
        self.uploads.len()
    }

    /// Bytes of the blobs that are being uploaded; no more than these are held.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.uploads.is_empty()
    }

    /// A store of `size` bytes was asked for, for the first time or again; then `wish` takes the place of the earlier one.
    ///
    /// # Errors
    /// [`BeginError::Conflict`], [`BeginError::Busy`]: then nothing of it is kept.
    pub fn begin(&mut self, key: UploadKey, size: u64, wish: W, now: Instant) -> Result<Begun, BeginError> {
        if let Some(upload) = self.uploads.get_mut(&key) {
            if upload.size != size {
                return Err(BeginError::Conflict { known: upload.size, size });
            }
            upload.wish = wish;
            return Ok(if upload.is_complete { Begun::Complete } else { Begun::Known(upload.missing()) });
        }
        if !self.has_room(&key.client, size) {
            self.sweep(now);
        }
        if !self.has_room(&key.client, size) {
            return Err(BeginError::Busy);
        }
        let chunk_count = chunking::count(size).ok_or(BeginError::Busy)?;
        self.uploads.insert(key, State::new(wish, size, chunk_count, now));
        let share = self.clients.entry(key.client).or_default();
        share.count += 1;
        share.len += size;
        self.len += size;
        Ok(Begun::New)
    }

    /// Takes in a chunk. The whole blob if it was the last one that lacked; `None` also for a chunk of an unknown
    /// upload, one that is there already, and one whose length or number is not that of its place.
    ///
    /// The upload stays known, and counted, until it is [finished](Self::finish).
    pub fn chunk(&mut self, key: UploadKey, chunk: &Upload, now: Instant) -> Option<Vec<u8>> {
        let upload = self.uploads.get_mut(&key)?;
        if upload.is_complete || chunk.total != upload.chunk_count || upload.have.contains(chunk.index) {
            return None;
        }
        upload.place(chunk)?;
        upload.have.insert(chunk.index);
        upload.moved_at = now;
        self.take_complete(key)
    }

    /// The blob of an upload that lacks nothing, once: that of no chunks lacks nothing from the beginning.
    pub fn take_complete(&mut self, key: UploadKey) -> Option<Vec<u8>> {
        let upload = self.uploads.get_mut(&key)?;
        if upload.is_complete || upload.have.count() < upload.chunk_count {
            return None;
        }
        upload.is_complete = true;
        Some(std::mem::take(&mut upload.chunks).concat())
    }

    /// What the newest request for an upload wants.
    pub fn wish(&self, key: UploadKey) -> Option<&W> {
        self.uploads.get(&key).map(|upload| &upload.wish)
    }

    /// Forgets an upload, because its blob was stored or will not be; and what the newest request for it wants.
    pub fn finish(&mut self, key: UploadKey) -> Option<W> {
        let upload = self.uploads.remove(&key)?;
        self.len -= upload.size;
        if let Some(share) = self.clients.get_mut(&key.client) {
            share.count -= 1;
            share.len -= upload.size;
            if share.count == 0 {
                self.clients.remove(&key.client);
            }
        }
        Some(upload.wish)
    }

    /// Drops the uploads that rest, or take too long.
    pub fn sweep(&mut self, now: Instant) {
        let ReassemblyLimits { rest_max, age_max, .. } = self.limits;
        let is_over = |upload: &State<W>| {
            let rested = now.saturating_duration_since(upload.moved_at) >= rest_max;
            !upload.is_complete && (rested || now.saturating_duration_since(upload.begun_at) >= age_max)
        };
        let over: Vec<_> =
            self.uploads.iter().filter(|(_, upload)| is_over(upload)).map(|(key, _)| *key).collect();
        for key in over {
            self.finish(key);
        }
    }

    fn has_room(&self, client: &ClientId, size: u64) -> bool {
        let ReassemblyLimits { count_max, len_max, client_count_max, client_len_max, .. } = self.limits;
        let (count, len) = self.clients.get(client).map_or((0, 0), |share| (share.count, share.len));
        let fits = |len: u64, len_max| len.checked_add(size).is_some_and(|sum| sum <= len_max);
        self.uploads.len() < count_max
            && count < client_count_max
            && fits(self.len, len_max)
            && fits(len, client_len_max)
    }
}

impl<W> State<W> {
    fn new(wish: W, size: u64, chunk_count: u32, now: Instant) -> Self {
        let (chunks, have) = (Vec::new(), ChunkSet::empty());
        Self { wish, size, chunk_count, chunks, have, begun_at: now, moved_at: now, is_complete: false }
    }

    fn missing(&self) -> ChunkSet {
        self.have.complement(self.chunk_count)
    }

    /// Keeps a chunk; `None` if it does not fit into its place.
    fn place(&mut self, chunk: &Upload) -> Option<()> {
        let start = u64::from(chunk.index.0).checked_mul(CHUNK_LEN)?;
        let len = self.size.checked_sub(start)?.min(CHUNK_LEN);
        if u64::try_from(chunk.data.len()) != Ok(len) {
            return None;
        }
        self.chunks.resize(usize::try_from(self.chunk_count).ok()?, Bytes::new());
        *self.chunks.get_mut(usize::try_from(chunk.index.0).ok()?)? = chunk.data.clone();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ChunkIndex, ProviderId};

    const LIMITS: ReassemblyLimits = ReassemblyLimits {
        count_max: 6,
        len_max: 500_000,
        client_count_max: 3,
        client_len_max: 250_000,
        rest_max: Duration::from_secs(10),
        age_max: Duration::from_secs(60),
    };

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin: only differences matter")]
    fn start() -> Instant {
        Instant::now()
    }

    fn key(client: u8, blob: &[u8]) -> UploadKey {
        UploadKey { client: ClientId::new([client; 32]), hash: BlobHash::of(blob) }
    }

    fn chunk(blob: &[u8], index: u32) -> Upload {
        let total = chunking::count(blob.len() as u64).unwrap();
        let data = chunking::chunk(&Bytes::copy_from_slice(blob), ChunkIndex(index));
        let (provider, hash) = (ProviderId::new([0; 32]), BlobHash::of(blob));
        Upload { provider, hash, index: ChunkIndex(index), total, data }
    }

    fn blob(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn chunks_in_any_order_and_twice_are_the_blob_once() {
        let (mut reassembly, now, blob) = (Reassembly::new(LIMITS), start(), blob(100_000));
        let key = key(1, &blob);
        assert_eq!(reassembly.begin(key, 100_000, (), now), Ok(Begun::New));
        for index in [3, 1, 3, 0] {
            assert_eq!(reassembly.chunk(key, &chunk(&blob, index), now), None);
        }
        let missing = ChunkSet::parse("2").unwrap();
        assert_eq!(reassembly.begin(key, 100_000, (), now), Ok(Begun::Known(missing)));
        assert_eq!(reassembly.chunk(key, &chunk(&blob, 2), now), Some(blob.clone()));
        assert_eq!(reassembly.chunk(key, &chunk(&blob, 2), now), None);
        assert_eq!(reassembly.begin(key, 100_000, (), now), Ok(Begun::Complete));
        reassembly.finish(key);
        assert_eq!((reassembly.count(), reassembly.len, reassembly.clients.len()), (0, 0, 0));
    }

    #[test]
    fn empty_blob_is_complete_from_the_beginning() {
        let (mut reassembly, key) = (Reassembly::new(LIMITS), key(1, b""));
        assert_eq!(reassembly.begin(key, 0, (), start()), Ok(Begun::New));
        assert_eq!(reassembly.take_complete(key), Some(Vec::new()));
        assert_eq!(reassembly.take_complete(key), None);
    }

    #[test]
    fn chunk_that_does_not_belong_is_ignored() {
        let (mut reassembly, now, blob) = (Reassembly::new(LIMITS), start(), blob(40_000));
        let own = key(1, &blob);
        assert_eq!(reassembly.chunk(own, &chunk(&blob, 0), now), None, "of an unknown upload");
        reassembly.begin(own, 40_000, (), now).unwrap();
        assert_eq!(reassembly.chunk(key(2, &blob), &chunk(&blob, 0), now), None, "of another client");
        let good = chunk(&blob, 1);
        let bad = [
            Upload { total: 3, ..good.clone() },
            Upload { index: ChunkIndex(2), ..good.clone() },
            Upload { index: ChunkIndex(u32::MAX), ..good.clone() },
            Upload { index: ChunkIndex(0), ..good.clone() },
            Upload { data: good.data.slice(1..), ..good },
        ];
        for bad in bad {
            assert_eq!(reassembly.chunk(own, &bad, now), None);
        }
        assert_eq!(reassembly.begin(own, 40_000, (), now), Ok(Begun::Known(ChunkSet::all(2))));
        let conflict = BeginError::Conflict { known: 40_000, size: 40_001 };
        assert_eq!(reassembly.begin(own, 40_001, (), now), Err(conflict));
    }

    #[test]
    fn uploads_are_bounded_in_number_and_bytes_for_each_client_and_for_all() {
        let (mut reassembly, now) = (Reassembly::new(LIMITS), start());
        let mut begin = |client, name: u8, size| reassembly.begin(key(client, &[name]), size, (), now);
        for name in 0..3 {
            begin(1, name, 10).unwrap();
        }
        assert_eq!(begin(1, 3, 10), Err(BeginError::Busy), "uploads of one client");
        assert_eq!(begin(2, 0, 250_001), Err(BeginError::Busy), "bytes of one client");
        begin(2, 0, 250_000).unwrap();
        assert_eq!(begin(3, 0, 249_971), Err(BeginError::Busy), "bytes of all");
        begin(3, 0, 10).unwrap();
        begin(4, 0, 10).unwrap();
        assert_eq!(begin(5, 0, 10), Err(BeginError::Busy), "uploads of all");
        assert_eq!(begin(5, 0, u64::MAX), Err(BeginError::Busy));
        assert_eq!((reassembly.count(), reassembly.len()), (6, 250_050));
    }

    #[test]
    fn what_rests_or_takes_too_long_makes_room() {
        let (mut reassembly, now, blob) = (Reassembly::new(LIMITS), start(), blob(250_000));
        let (slow, resting, new) = (key(1, &blob), key(2, &blob), key(3, &blob));
        reassembly.begin(slow, 250_000, (), now).unwrap();
        reassembly.begin(resting, 250_000, (), now).unwrap();
        let later = now + Duration::from_secs(9);
        reassembly.chunk(slow, &chunk(&blob, 0), later);
        assert_eq!(reassembly.begin(new, 250_000, (), later), Err(BeginError::Busy));
        assert_eq!(reassembly.begin(new, 250_000, (), now + Duration::from_secs(10)), Ok(Begun::New));
        assert_eq!(reassembly.begin(resting, 250_000, (), later), Err(BeginError::Busy), "it is gone");
        for (seconds, index) in [(18, 1), (27, 2), (36, 3), (45, 4), (54, 5)] {
            reassembly.chunk(slow, &chunk(&blob, index), now + Duration::from_secs(seconds));
        }
        reassembly.sweep(now + Duration::from_secs(60));
        assert_eq!(reassembly.count(), 0, "however slowly it goes on");
    }
}
