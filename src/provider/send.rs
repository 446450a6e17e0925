//! Retrieve: chunks go out, one client's beside another's.
//!
//! Who may send stands in two queues. Within one client only a few answers are sent at a time; the turns to sign are
//! given out to all group by group in the order of asking. So a client that asks for much waits for itself, not the
//! others for it. How fast a group goes is up to the relay: its send queue makes the sender wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nostr::Event;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::provider::caller::{Caller, Outcome, Refusal, Way};
use crate::provider::gate::Pass;
use crate::provider::server::Server;
use crate::session::chunking;
use crate::store::{Claim, Entry, StoreError};
use crate::types::limits::{BLOB_LEN_MAX, CHUNK_LEN, HOLD_WAIT_MAX, SEND_LEN_MAX};
use crate::types::{BlobHash, ChunkIndex, ChunkLen, Timestamp};
use crate::wire::{Answer, BlobInfo, Chunk, ChunkSet, Direction, ErrorCode, Hashes, ItemsOf, Promise};

/// Bytes of the chunks that are read, signed and sent in one turn, unless one is longer.
const GROUP_LEN: u64 = 8 * CHUNK_LEN;
/// Bytes of one answer that go out as fast as the relay takes them.
const BURST_LEN: u64 = 4 * 1024 * 1024;
/// How fast the rest of it goes, in bytes a second: relays drop what their slower readers leave lying.
const PACE: u64 = 200 * 1024 * 1024;
/// How long relays may forget the chunks of a lapsed blob after: a time in the past would keep them from passing on.
const LAPSED_EXPIRATION: Duration = Duration::from_secs(3600);

impl Server {
    /// Sends blobs, or chunks of one.
    pub(super) async fn retrieve(
        self: &Arc<Self>,
        hashes: &Hashes,
        ranges: Option<&ChunkSet>,
        caller: &Caller,
        pass: &Pass,
    ) -> Outcome {
        let _turn_of_client = pass.sends.acquire().await.map_err(|_| Refusal::internal())?;
        match hashes {
            Hashes::One(hash) => self.retrieve_one(*hash, ranges, caller).await.map(Answer::Available),
            Hashes::Many(hashes) => {
                let (mut items, mut sent) = (Vec::with_capacity(hashes.len()), 0_u64);
                for hash in hashes {
                    let len = self.visible(hash, caller).map_or(0, |entry| entry.len);
                    sent = sent.saturating_add(len);
                    if sent > SEND_LEN_MAX {
                        return Err(Refusal::new(
                            ErrorCode::InvalidRequest,
                            "more bytes than one request may ask for",
                        ));
                    }
                }
                for hash in hashes {
                    let sent = match self.retrieve_one(*hash, None, caller).await {
                        // Not to be taken for a blob that is missing.
                        Err(refusal) if refusal.code == ErrorCode::Busy => return Err(refusal),
                        sent => sent,
                    };
                    items.push(sent.ok().map(|info| Promise { size: info.size, expires: info.expires }));
                }
                Ok(Answer::Items { of: ItemsOf::Retrieve, items })
            }
        }
    }

    async fn retrieve_one(
        self: &Arc<Self>,
        hash: BlobHash,
        ranges: Option<&ChunkSet>,
        caller: &Caller,
    ) -> Result<BlobInfo, Refusal> {
        let entry = self.readable(&hash, caller)?;
        let chunks = caller.chunk_len.count(entry.len).ok_or_else(Refusal::internal)?;
        let claim = self.store.claim(&caller.client, &hash);
        let expires = claim.map_or(entry.expires, |claim| claim.expires);
        let wanted = ranges.map(|ranges| ranges.complement(chunks).complement(chunks));
        match wanted {
            Some(wanted) if wanted.count() < chunks => {
                self.send_parts(hash, expires, entry.len, &wanted, caller).await?;
            }
            _ => {
                let _held = self.hold(entry.len).await?;
                let blob = self.off_thread(move |server| Ok(server.store.get(&hash)?)).await?;
                self.send_chunks(hash, expires, blob, None, caller).await?;
            }
        }
        Ok(BlobInfo { hash, size: entry.len, chunks, expires })
    }

    /// The base protocol's answer to a store: the chunks go back out.
    pub(super) async fn echo(
        self: &Arc<Self>,
        claim: &Claim,
        blob: Bytes,
        caller: &Caller,
        pass: &Pass,
    ) -> Result<(), Refusal> {
        let _turn_of_client = pass.sends.acquire().await.map_err(|_| Refusal::internal())?;
        self.send_chunks(claim.hash, claim.expires, blob, None, caller).await
    }

    /// A blob that this caller may have, or why not.
    pub(super) fn readable(&self, hash: &BlobHash, caller: &Caller) -> Result<Entry, Refusal> {
        match self.visible(hash, caller) {
            Some(entry) => Ok(entry),
            // A blob that is known to be damaged is no secret to its owner.
            None if self.store.is_damaged(hash) => Err(StoreError::Integrity { hash: *hash }.into()),
            None => Err(StoreError::NotFound { hash: *hash }.into()),
        }
    }

    /// What this caller may know to be here. In the base protocol a blob that expired is gone; whoever speaks the
    /// extensions knows that it may still be read and renewed.
    pub(super) fn visible(&self, hash: &BlobHash, caller: &Caller) -> Option<Entry> {
        self.store.entry(hash).filter(|entry| !entry.is_lapsed || caller.knows_extensions())
    }

    /// Sends some chunks of a blob, and reads no others.
    async fn send_parts(
        self: &Arc<Self>,
        hash: BlobHash,
        expires: Timestamp,
        len: u64,
        wanted: &ChunkSet,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let chunk_len = caller.chunk_len;
        for run in runs(wanted, group_count(chunk_len)) {
            let first = run.start;
            let offset = u64::from(first) * chunk_len.bytes();
            let part_len = (u64::from(run.end - first) * chunk_len.bytes()).min(len - offset);
            let _held = self.hold(part_len).await?;
            let size = usize::try_from(part_len).map_err(|_| Refusal::internal())?;
            let read = move |server: &Self| match server.store.get_range(&hash, offset, size) {
                Err(StoreError::Integrity { .. }) => {
                    Err(Refusal::new(ErrorCode::ChunkMissing, format!("a part of blob {hash} is lost")))
                }
                part => Ok(part?),
            };
            let part = self.off_thread(read).await?;
            let total = chunk_len.count(len).ok_or_else(Refusal::internal)?;
            self.send_chunks(hash, expires, part.into(), Some((first, total)), caller).await?;
        }
        Ok(())
    }

    /// Sends all chunks of some bytes: a whole blob, or a part of one that begins at a chunk (its index, and how many
    /// the blob has).
    async fn send_chunks(
        self: &Arc<Self>,
        hash: BlobHash,
        expires: Timestamp,
        bytes: Bytes,
        part: Option<(u32, u32)>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        // Whoever is connected gets a blob in one piece.
        let Way::Relay { request, relay } = &caller.way else { return Err(Refusal::internal()) };
        let direction = Direction { request: *request, requester: caller.client };
        let chunk_len = caller.chunk_len;
        let count = chunk_len.count(bytes.len() as u64).ok_or_else(Refusal::internal)?;
        let (first, total) = part.unwrap_or((0, count));
        let expiration = Some(expires.max(self.env.now().saturating_add(LAPSED_EXPIRATION)));
        let (begun_at, mut sent) = (Instant::now(), 0_u64);
        let indexes: Vec<u32> = (0..count).collect();
        for group in indexes.chunks(group_count(chunk_len)) {
            let make = |index: &u32| Chunk {
                hash,
                index: ChunkIndex(first + index),
                total,
                chunk_hash: [0; 32],
                expiration,
                direction: Some(direction),
                data: chunking::chunk(&bytes, ChunkIndex(*index), chunk_len),
            };
            let chunks: Vec<Chunk> = group.iter().map(make).collect();
            sent += chunks.iter().map(|chunk| chunk.data.len() as u64).sum::<u64>();
            let turn = self.turns.acquire().await.map_err(|_| Refusal::internal())?;
            let events = self.off_thread(move |server| Ok(server.sign_all(chunks))).await?;
            drop(turn);
            for event in events {
                self.publish(event, relay).await?;
            }
            let due = Duration::from_micros(sent.saturating_sub(BURST_LEN) * 1_000_000 / PACE);
            tokio::time::sleep_until(begun_at + due).await;
        }
        Ok(())
    }

    fn sign_all(&self, chunks: Vec<Chunk>) -> Vec<Event> {
        let sign = |chunk: Chunk| {
            // A blob of one chunk was compared with its checksum, or with this hash, when it was read.
            let chunk_hash =
                if chunk.total == 1 { *chunk.hash.as_bytes() } else { Chunk::hash_of(&chunk.data) };
            Chunk { chunk_hash, ..chunk }.to_draft().sign(&self.keys, self.env.now())
        };
        chunks.into_iter().map(sign).collect()
    }

    /// Waits for room in memory for `len` bytes of a blob; whoever waits too long is told to come later.
    pub(super) async fn hold(&self, len: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        hold(&self.held, len).await
    }
}

/// Waits for a part of `room`, which is counted in KiB, but not for long.
pub(super) async fn hold(room: &Arc<Semaphore>, len: u64) -> Result<OwnedSemaphorePermit, Refusal> {
    let waiting = timeout(HOLD_WAIT_MAX, room.clone().acquire_many_owned(kib(len))).await;
    waiting.map_err(|_elapsed| Refusal::busy())?.map_err(|_| Refusal::internal())
}

pub(super) fn kib(len: u64) -> u32 {
    u32::try_from(len.min(BLOB_LEN_MAX).div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Chunks of one turn.
fn group_count(chunk_len: ChunkLen) -> usize {
    usize::try_from(GROUP_LEN / chunk_len.bytes()).unwrap_or(usize::MAX).max(1)
}

/// The stretches of neighbouring chunks, at most a group long.
fn runs(wanted: &ChunkSet, group_count: usize) -> Vec<std::ops::Range<u32>> {
    let mut runs: Vec<std::ops::Range<u32>> = Vec::new();
    for ChunkIndex(index) in wanted.iter() {
        match runs.last_mut() {
            Some(run) if run.end == index && run.len() < group_count => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}
