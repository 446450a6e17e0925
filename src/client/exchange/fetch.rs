//! A blob comes from a provider.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use crate::client::exchange::drive::{Drive, now};
use crate::client::exchange::link::Link;
use crate::client::exchange::switch::Chunks;
use crate::client::exchange::{Exchange, ExchangeError};
use crate::session::{FetchOptions, FetchSession, Pace};
use crate::types::limits::{CHUNK_COUNT_MAX, CHUNK_LEN};
use crate::types::{Blob, BlobHash, ChunkLen, ProviderId, Timestamp};
use crate::vault::Deed;
use crate::wire::{Action, Extension, Hashes, Request};

impl Exchange {
    /// Fetches a blob; its bytes have the SHA-256 `hash`. With `len`, if that is known, it takes less room.
    pub async fn fetch(
        &self,
        provider: ProviderId,
        hash: BlobHash,
        len: Option<u64>,
    ) -> Result<Bytes, ExchangeError> {
        self.fetch_begun(provider, hash, len, || {}).await.map(Blob::into_bytes)
    }

    /// As [`fetch`](Self::fetch); says when the blob has its place in the windows and is asked for.
    pub(crate) async fn fetch_begun(
        &self,
        provider: ProviderId,
        hash: BlobHash,
        len: Option<u64>,
        begin: impl FnOnce(),
    ) -> Result<Blob, ExchangeError> {
        let asked = Asked { hash, len, meter: None, wants_promise: false };
        self.fetch_asked(provider, asked, begin).await.map(|(blob, _)| blob)
    }

    /// Fetches a blob, and until when the provider says to keep it. `meter` counts what moves for it. Each chunk is checked:
    /// neither what it promises nor that it counts is proved by the blob's hash.
    pub(super) async fn fetch_promised(
        &self,
        provider: ProviderId,
        hash: BlobHash,
        len: Option<u64>,
        meter: Option<&AtomicU64>,
    ) -> Result<(Blob, Option<Timestamp>), ExchangeError> {
        let asked = Asked { hash, len, meter, wants_promise: true };
        self.fetch_asked(provider, asked, || {}).await
    }

    async fn fetch_asked(
        &self,
        provider: ProviderId,
        asked: Asked<'_>,
        begin: impl FnOnce(),
    ) -> Result<(Blob, Option<Timestamp>), ExchangeError> {
        let Asked { len, .. } = asked;
        let link = self.link(provider)?;
        let window_bytes = u64::from(link.options().chunk_window) * CHUNK_LEN;
        let admission = self.admit(len.unwrap_or(window_bytes), &link).await;
        begin();
        let started = now();
        let outcome = run(&link, asked).await;
        admission.end(&outcome);
        let bytes = outcome.as_ref().map_or(0, |(blob, _)| blob.bytes().len() as u64);
        self.judge(&link, started, &outcome, |took| Deed::Fetched { bytes, took });
        let fetched = outcome?;
        self.count_fetched(bytes);
        Ok(fetched)
    }
}

/// What is asked for, and what is known of it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    hash: BlobHash,
    len: Option<u64>,
    /// Counts what moves.
    meter: Option<&'a AtomicU64>,
    wants_promise: bool,
}

async fn run(link: &Link, asked: Asked<'_>) -> Result<(Blob, Option<Timestamp>), ExchangeError> {
    let Asked { hash, len, meter, .. } = asked;
    if let Some(direct) = link.direct(link.options().stall_timeout).await?
        && let Some(blob) = direct.fetch(hash, len, meter).await?
    {
        return Ok((blob, None));
    }
    let is_directed = link.terms.speaks(Extension::Directed);
    if !is_directed {
        link.hear_plain_chunks().await?;
    }
    let transfer = |chunk_len, pace| run_in(link, asked, (chunk_len, pace));
    link.in_chunks(len.unwrap_or_default(), transfer).await
}

async fn run_in(
    link: &Link,
    asked: Asked<'_>,
    (chunk_len, pace): (ChunkLen, Pace),
) -> Result<(Blob, Option<Timestamp>), ExchangeError> {
    let Asked { hash, len, meter, wants_promise } = asked;
    let is_directed = link.terms.speaks(Extension::Directed);
    let takes_ranges = link.terms.speaks(Extension::Partial);
    let is_its_own = link.terms.chunk_size != CHUNK_LEN && chunk_len == ChunkLen::BASE;
    let chunk_count = len.filter(|_| !is_its_own).and_then(|len| chunk_len.count(len));
    let window = link.options().window_of(chunk_len);
    let options = FetchOptions { chunk_count, chunk_len, window, takes_ranges, wants_promise };
    let mut session = FetchSession::new(hash, options, pace, link.random(), now());

    let under_way = if takes_ranges { options.window } else { CHUNK_COUNT_MAX };
    let chunk_count_max = chunk_count.unwrap_or(under_way).min(under_way) as usize;
    let chunks = if is_directed { Chunks::Named } else { Chunks::Of(hash) };
    let line = link.switch.line(chunks, chunk_count_max);
    let action = Action::Retrieve { hashes: Hashes::One(hash), ranges: None };
    let mut request = Request { chunk_len, ..link.request(action) };
    let outcome = Drive::new(link, line, hash)
        .metered(meter)
        .run(&mut session, |(number, wanted)| {
            request.action = Action::Retrieve { hashes: Hashes::One(hash), ranges: wanted };
            (request.to_draft(), Some(number))
        })
        .await?;
    Ok((outcome.output, session.expires()))
}
