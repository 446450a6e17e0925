//! Provider: the chunks of half-received blobs come together (docs/protocol.md, "chunked").
//!
//! An upload is known by (client, hash). Its whole length counts against the limits from its beginning, so that what was
//! begun can be finished: uploads that push each other out would never end. What rests is dropped for what comes.
//!
//! Nobody has verified the chunks: whether the blob has its hash says more. Where it has not, those that are not from
//! their client are found and wanted again ([`Assembled::forged`], [`Reassembly::reopen`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::attests::Held;
use crate::session::{Attests, chunking};
use crate::types::{BlobHash, ChunkIndex, ChunkLen, ClientId};
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

/// The bytes of an upload whose chunks have all come, and who attests each of them.
#[derive(Debug)]
pub struct Assembled<A> {
    /// What is to be the blob, if it has its hash.
    pub blob: Bytes,
    chunk_len: ChunkLen,
    /// By index; none of a chunk that was checked when it came.
    attestations: Vec<Option<A>>,
}

impl<A: Attests> Assembled<A> {
    /// The chunks that are not from their client. None, if the blob is what its client has sent.
    pub fn forged(&self) -> ChunkSet {
        let attestations = (0..).map(ChunkIndex).zip(&self.attestations);
        let is_forged = |(index, attestation): &(ChunkIndex, &Option<A>)| {
            attestation.as_ref().is_some_and(|attestation| !attestation.holds_for(&self.chunk(*index)))
        };
        attestations.filter(is_forged).map(|(index, _)| index).collect()
    }

    fn chunk(&self, index: ChunkIndex) -> Bytes {
        chunking::chunk(&self.blob, index, self.chunk_len)
    }
}

/// Half-received uploads. `W` is what the provider wants to know again when one is complete: the newest request for it.
/// `A` attests chunks.
#[derive(Debug)]
pub struct Reassembly<W, A> {
    limits: ReassemblyLimits,
    uploads: BTreeMap<UploadKey, State<W, A>>,
    clients: BTreeMap<ClientId, Share>,
    len: u64,
}

#[derive(Debug)]
struct State<W, A> {
    wish: W,
    size: u64,
    chunk_len: ChunkLen,
    chunk_count: u32,
    /// By index, empty where it has not arrived; taken out when the blob is complete. Apart from each other, so that an
    /// upload takes no more memory than was sent of it.
    chunks: Vec<Held<A>>,
    have: ChunkSet,
    /// A chunk was forged: each is checked now when it comes.
    is_strict: bool,
    /// Chunks that were checked in vain since the upload was last asked for.
    refused_count: u32,
    begun_at: Instant,
    moved_at: Instant,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct Share {
    count: usize,
    len: u64,
}

impl<W, A: Attests> Reassembly<W, A> {
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

    /// A store of `size` bytes in chunks of `chunk_len` was asked for, for the first time or again; then `wish` takes the
    /// place of the earlier one. With chunks of another length than before it begins anew.
    ///
    /// # Errors
    /// [`BeginError::Conflict`], [`BeginError::Busy`]: then nothing of it is kept.
    pub fn begin(
        &mut self,
        key: UploadKey,
        (size, chunk_len): (u64, ChunkLen),
        wish: W,
        now: Instant,
    ) -> Result<Begun, BeginError> {
        let chunk_count = chunk_len.count(size).ok_or(BeginError::Busy)?;
        if let Some(upload) = self.uploads.get_mut(&key) {
            if upload.size != size {
                return Err(BeginError::Conflict { known: upload.size, size });
            }
            (upload.wish, upload.refused_count) = (wish, 0);
            if upload.chunk_len != chunk_len && !upload.is_complete {
                upload.cut_anew(chunk_len, chunk_count);
                return Ok(Begun::New);
            }
            return Ok(if upload.is_complete { Begun::Complete } else { Begun::Known(upload.missing()) });
        }
        if !self.has_room(&key.client, size) {
            self.sweep(now);
        }
        if !self.has_room(&key.client, size) {
            return Err(BeginError::Busy);
        }
        self.uploads.insert(key, State::new(wish, size, (chunk_len, chunk_count), now));
        let share = self.clients.entry(key.client).or_default();
        share.count += 1;
        share.len += size;
        self.len += size;
        Ok(Begun::New)
    }

    /// Whether a chunk of this place may be taken in: to be asked before it is decoded.
    pub fn wants(&self, key: UploadKey, index: ChunkIndex, total: u32) -> bool {
        self.uploads.get(&key).is_some_and(|upload| upload.wants(index, total))
    }

    /// Takes in a chunk that is said to be the client's. All of the blob if it was the last one that lacked; `None` also
    /// for a chunk of an unknown upload, one that is there already, and one whose length or number is not that of its place.
    ///
    /// The upload stays known, and counted, until it is [finished](Self::finish).
    pub fn chunk(
        &mut self,
        key: UploadKey,
        chunk: &Upload,
        attestation: A,
        now: Instant,
    ) -> Option<Assembled<A>> {
        let upload = self.uploads.get_mut(&key).filter(|upload| upload.wants(chunk.index, chunk.total))?;
        upload.place(chunk, attestation)?;
        upload.have.insert(chunk.index);
        upload.moved_at = now;
        self.take_complete(key)
    }

    /// All of an upload that lacks nothing, once: that of no chunks lacks nothing from the beginning.
    pub fn take_complete(&mut self, key: UploadKey) -> Option<Assembled<A>> {
        let upload = self.uploads.get_mut(&key)?;
        if upload.is_complete || upload.have.count() < upload.chunk_count {
            return None;
        }
        upload.is_complete = true;
        let (mut chunks, attestations): (Vec<Bytes>, _) =
            std::mem::take(&mut upload.chunks).into_iter().unzip();
        let blob = if chunks.len() == 1 { chunks.remove(0) } else { chunks.concat().into() };
        Some(Assembled { blob, chunk_len: upload.chunk_len, attestations })
    }

    /// Goes on with an upload whose blob did not come out right, because chunks of it were forged: these are missing again.
    /// From now on each chunk of it is checked when it comes, so that this happens to an upload once.
    pub fn reopen(&mut self, key: UploadKey, assembled: &Assembled<A>, forged: &ChunkSet, now: Instant) {
        let Some(upload) = self.uploads.get_mut(&key).filter(|upload| upload.is_complete) else { return };
        (upload.is_complete, upload.is_strict) = (false, true);
        upload.moved_at = now;
        upload.have = forged.complement(upload.chunk_count);
        // Copied: a part would keep all of the wrong blob in memory.
        let copy = |index| Bytes::copy_from_slice(&assembled.chunk(index));
        let chunk = |index| if forged.contains(index) { Bytes::new() } else { copy(index) };
        upload.chunks = (0..upload.chunk_count).map(|index| (chunk(ChunkIndex(index)), None)).collect();
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
        let is_over = |upload: &State<W, A>| {
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

impl<W, A: Attests> State<W, A> {
    fn new(wish: W, size: u64, (chunk_len, chunk_count): (ChunkLen, u32), now: Instant) -> Self {
        Self {
            wish,
            size,
            chunk_len,
            chunk_count,
            chunks: Vec::new(),
            have: ChunkSet::empty(),
            is_strict: false,
            refused_count: 0,
            begun_at: now,
            moved_at: now,
            is_complete: false,
        }
    }

    /// What has come of chunks of another length is of no use. The upload grows no younger by it.
    fn cut_anew(&mut self, chunk_len: ChunkLen, chunk_count: u32) {
        (self.chunks, self.have) = (Vec::new(), ChunkSet::empty());
        (self.chunk_len, self.chunk_count) = (chunk_len, chunk_count);
    }

    /// Checks a chunk; not one after the other in a flood, because it takes time: those of an upload that is flooded are left
    /// aside until its client asks what is missing.
    fn is_genuine(&mut self, chunk: &Upload, attestation: &A) -> bool {
        let may_be = self.refused_count <= 2 * self.chunk_count;
        let is_genuine = may_be && attestation.holds_for(&chunk.data);
        self.refused_count += u32::from(may_be && !is_genuine);
        is_genuine
    }

    fn wants(&self, index: ChunkIndex, total: u32) -> bool {
        !self.is_complete && total == self.chunk_count && !self.have.contains(index)
    }

    fn missing(&self) -> ChunkSet {
        self.have.complement(self.chunk_count)
    }

    /// Keeps a chunk; `None` if it does not fit into its place, or is to be checked and not the client's.
    fn place(&mut self, chunk: &Upload, attestation: A) -> Option<()> {
        let start = u64::from(chunk.index.0).checked_mul(self.chunk_len.bytes())?;
        let len = self.size.checked_sub(start)?.min(self.chunk_len.bytes());
        if u64::try_from(chunk.data.len()) != Ok(len) {
            return None;
        }
        if self.is_strict && !self.is_genuine(chunk, &attestation) {
            return None;
        }
        let (at, count) = (usize::try_from(chunk.index.0).ok()?, usize::try_from(self.chunk_count).ok()?);
        self.chunks.resize_with(count, || (Bytes::new(), None));
        *self.chunks.get_mut(at)? = (chunk.data.clone(), (!self.is_strict).then_some(attestation));
        Some(())
    }
}

#[cfg(test)]
mod tests;
