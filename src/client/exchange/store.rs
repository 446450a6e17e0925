//! A blob goes to a provider.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use nostr::{JsonUtil, RelayUrl};

use crate::client::exchange::drive::{Drive, Outcome, now};
use crate::client::exchange::link::Link;
use crate::client::exchange::switch::Chunks;
use crate::client::exchange::{Exchange, ExchangeError, Receipt, StoreOptions};
use crate::session::{AskSession, Pace, StoreSend, StoreSession, chunking};
use crate::types::limits::{BLOB_LEN_MAX, CHUNK_LEN, EVENT_LEN_MAX};
use crate::types::{BlobHash, ChunkLen, ProviderId};
use crate::vault::Deed;
use crate::wire::{Action, Answer, BlobInfo, Draft, ErrorCode, Extension, Request, Store, StoreBody, Upload};

/// How long relays may take to say why they do not pass a large event, and a provider to show that it is there.
const DIAGNOSIS_DEADLINE: Duration = Duration::from_secs(5);

impl Exchange {
    /// Stores a blob and brings the provider's receipt, which it sends when the blob is durable.
    ///
    /// A blob that fits one event goes inside the request; a larger one in chunks, or to a plain provider as one
    /// event of a third more than its length.
    pub async fn store(
        &self,
        provider: ProviderId,
        blob: Bytes,
        options: StoreOptions,
    ) -> Result<Receipt, ExchangeError> {
        self.store_begun(provider, blob, options, || {}).await
    }

    /// As [`store`](Self::store); says when the blob has its place in the windows and goes out.
    pub(crate) async fn store_begun(
        &self,
        provider: ProviderId,
        blob: Bytes,
        options: StoreOptions,
        begin: impl FnOnce(),
    ) -> Result<Receipt, ExchangeError> {
        let link = self.link(provider)?;
        let len = blob.len() as u64;
        let len_max = link.terms.max_file_size.min(BLOB_LEN_MAX);
        if len > len_max {
            let text = format!("it takes blobs of at most {len_max} bytes, this one has {len}");
            return Err(ExchangeError::Refused { provider, code: ErrorCode::FileTooLarge, text });
        }
        let hash = options.hash.unwrap_or_else(|| BlobHash::of(&blob));
        let admission = self.admit(len, &link).await;
        begin();
        let started = now();
        let outcome = store(&link, hash, blob, &options).await;
        admission.end(&outcome);
        self.judge(&link, started, &outcome, |took| Deed::Stored { bytes: len, took });
        let Outcome { output: info, response: event_id } = outcome?;
        self.count_stored(len);
        Ok(Receipt { provider, hash, size: info.size, expires: info.expires, event_id })
    }
}

/// Directly, where that can be; else over relays.
async fn store(
    link: &Link,
    hash: BlobHash,
    blob: Bytes,
    options: &StoreOptions,
) -> Result<Outcome<BlobInfo>, ExchangeError> {
    if let Some(direct) = link.direct(link.options().stall_timeout).await?
        && let Some(output) = direct.store(hash, &blob, options).await?
    {
        return Ok(Outcome { output, response: None });
    }
    let outcome = if blob.len() as u64 > CHUNK_LEN && link.terms.speaks(Extension::Chunked) {
        store_chunked(link, hash, &blob, options).await?
    } else {
        store_inline(link, hash, blob, options).await?
    };
    // A receipt is an event.
    let provider = link.id;
    outcome.response.ok_or(ExchangeError::Corrupt { provider, hash })?;
    Ok(outcome)
}

async fn store_chunked(
    link: &Link,
    hash: BlobHash,
    blob: &Bytes,
    options: &StoreOptions,
) -> Result<Outcome<BlobInfo>, ExchangeError> {
    let transfer = |chunk_len, pace| store_in(link, hash, blob, options, (chunk_len, pace));
    link.in_chunks(blob.len() as u64, transfer).await
}

async fn store_in(
    link: &Link,
    hash: BlobHash,
    blob: &Bytes,
    options: &StoreOptions,
    (chunk_len, pace): (ChunkLen, Pace),
) -> Result<Outcome<BlobInfo>, ExchangeError> {
    let (provider, size) = (link.id, blob.len() as u64);
    let total = chunk_len.count(size).ok_or(ExchangeError::Corrupt { provider, hash })?;
    let body = StoreBody::Chunked { hash, size, chunks: total };
    let request = Request { chunk_len, ..link.request(store_action(link, body, options)) };
    let window = link.options().window_of(chunk_len);
    let session = StoreSession::new((hash, size, total), window, pace, link.random(), now());
    let drive = Drive::new(link, link.switch.line(Chunks::None, 0), hash);
    drive
        .run(session, |message| match message {
            StoreSend::Request(number) => (request.to_draft(), Some(number)),
            StoreSend::Chunk(index) => {
                let data = chunking::chunk(blob, index, chunk_len);
                (Upload { provider, hash, index, total, data }.to_draft(), None)
            }
        })
        .await
}

async fn store_inline(
    link: &Link,
    hash: BlobHash,
    blob: Bytes,
    options: &StoreOptions,
) -> Result<Outcome<BlobInfo>, ExchangeError> {
    let (provider, size) = (link.id, blob.len() as u64);
    let draft = link.request(store_action(link, StoreBody::Inline(blob), options)).to_draft();
    // Quotes and backslashes are few; what else the event holds is a kilobyte at most.
    let event_len = draft.content.len() + 1_024;
    let session = AskSession::<Answer>::new(link.pace(event_len), link.random(), now());
    let drive = Drive::new(link, link.switch.line(Chunks::None, 0), hash);
    let outcome = drive.run(session, |number| (draft.clone(), Some(number))).await;
    match outcome {
        Ok(Outcome { output: Answer::Stored(info), response }) if info.hash == hash && info.size == size => {
            Ok(Outcome { output: info, response })
        }
        Ok(_) => Err(ExchangeError::Corrupt { provider, hash }),
        Err(ExchangeError::Silent { waited, .. }) if event_len > EVENT_LEN_MAX => {
            Err(diagnose(link, draft, waited).await)
        }
        Err(error) => Err(error),
    }
}

/// Tells a provider that is gone from relays that do not pass a large event to it.
async fn diagnose(link: &Link, draft: Draft, waited: Duration) -> ExchangeError {
    let provider = link.id;
    if link.probe(DIAGNOSIS_DEADLINE).await.is_err() {
        return ExchangeError::Silent { provider, waited };
    }
    let event = link.sign(draft);
    let event_len = event.as_json().len();
    let answers = link.carrier().publish_acknowledged(event, DIAGNOSIS_DEADLINE).await;
    let refusals: BTreeMap<RelayUrl, String> =
        answers.into_iter().filter_map(|(relay, answer)| answer.err().map(|why| (relay, why))).collect();
    ExchangeError::NotCarried { provider, event_len, refusals }
}

fn store_action(link: &Link, body: StoreBody, options: &StoreOptions) -> Action {
    Action::Store(Store {
        body,
        filename: options.filename.clone(),
        encrypt: options.encrypt,
        quiet: link.terms.speaks(Extension::Quiet),
        retention: options.retention.filter(|_| link.terms.speaks(Extension::Retain)),
    })
}
