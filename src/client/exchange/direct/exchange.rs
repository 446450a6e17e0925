//! Which way an exchange takes, and what it says on the direct one.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::exchange::direct::Channel;
use crate::client::exchange::direct::channel::Trouble;
use crate::client::exchange::drive::{Conversation, Have, now};
use crate::client::exchange::link::Link;
use crate::client::exchange::{ExchangeError, StoreOptions};
use crate::session::{AskSession, Failure, FetchOptions, FetchSession, Pace};
use crate::types::limits::{BLOB_LEN_MAX, EVENT_LEN_MAX};
use crate::types::{Blob, BlobHash};
use crate::wire::{
    Action, Answer, Attestation, AuditAnswer, BlobInfo, DirectId, DirectMessage, DirectStore, RequestNumber,
};

/// A conversation over a connection.
pub(in crate::client::exchange) struct Direct<'a> {
    link: &'a Link,
    channel: Arc<Channel>,
    begun_at: Instant,
    patience: Duration,
}

/// What an exchange over a connection came to, if it came to anything that relays could not better.
pub(in crate::client::exchange) type Settled<T> = Result<Option<T>, ExchangeError>;

impl Link {
    /// The connection to the provider, where there is one; `None` sends the exchange over relays. `patience` counts
    /// where none may be used.
    ///
    /// # Errors
    /// No relay may be used, and there is no connection.
    pub(in crate::client::exchange) async fn direct(
        &self,
        patience: Duration,
    ) -> Result<Option<Direct<'_>>, ExchangeError> {
        let way = self.direct_way();
        if !way.is_wanted() {
            return if way.is_only() {
                Err(ExchangeError::NoEndpoint { provider: self.id })
            } else {
                Ok(None)
            };
        }
        match way.channel(patience).await {
            Ok(channel) => Ok(Some(Direct { link: self, channel, begun_at: now(), patience })),
            Err(source) if way.is_only() => Err(ExchangeError::Direct { provider: self.id, source }),
            Err(_) => Ok(None),
        }
    }
}

impl Direct<'_> {
    /// Stores a blob, whole.
    pub(in crate::client::exchange) async fn store(
        &self,
        hash: BlobHash,
        blob: &Bytes,
        options: &StoreOptions,
    ) -> Settled<BlobInfo> {
        let size = blob.len() as u64;
        let message = |id| {
            DirectMessage::Store(DirectStore {
                id,
                at: self.link.wall_time(),
                retention: options.retention,
                encrypt: options.encrypt,
                hash,
                data: blob.clone(),
            })
        };
        let session = AskSession::<Answer>::new(self.pace(size), self.link.random(), now());
        match self.run(session, message, hash, None).await? {
            Some(Answer::Stored(info)) if info.hash == hash && info.size == size => Ok(Some(info)),
            Some(_) => Err(ExchangeError::Corrupt { provider: self.link.id, hash }),
            None => Ok(None),
        }
    }

    /// Fetches a blob, whole.
    pub(in crate::client::exchange) async fn fetch(
        &self,
        hash: BlobHash,
        len: Option<u64>,
        meter: Option<&AtomicU64>,
    ) -> Settled<Blob> {
        let likely_len = len.unwrap_or(self.link.terms.max_file_size).min(BLOB_LEN_MAX);
        let mut session = FetchSession::<Attestation>::new(
            hash,
            FetchOptions::WHOLE,
            self.pace(likely_len),
            self.link.random(),
            now(),
        );
        // A provider that takes less than before may keep what is longer.
        let len_max = len.unwrap_or(BLOB_LEN_MAX);
        let compose = |id| DirectMessage::Request { id, hash };
        self.run_for_blob(&mut session, compose, hash, meter, len_max).await
    }

    /// Asks what is no blob.
    pub(in crate::client::exchange) async fn ask(
        &self,
        action: &Action,
        number: Option<RequestNumber>,
        about: BlobHash,
        pace: Pace,
    ) -> Settled<Answer> {
        let session = AskSession::<Answer>::new(self.shortened(pace), self.link.random(), now());
        self.run(session, |id| self.question(id, action, number), about, None).await
    }

    /// Asks for proofs.
    pub(in crate::client::exchange) async fn audit(
        &self,
        action: &Action,
        number: Option<RequestNumber>,
        about: BlobHash,
        meter: &AtomicU64,
    ) -> Settled<AuditAnswer> {
        let session = AskSession::<AuditAnswer>::new(self.pace(0), self.link.random(), now());
        self.run(session, |id| self.question(id, action, number), about, Some(meter)).await
    }

    /// Asks whether anybody is there, by a blob that nobody has.
    pub(in crate::client::exchange) async fn probe(&self, nothing: BlobHash, pace: Pace) -> Settled<Have> {
        let session = AskSession::<Have>::new(self.shortened(pace), self.link.random(), now());
        self.run(session, |id| DirectMessage::Want { id, hashes: vec![nothing] }, nothing, None).await
    }

    fn question(&self, id: DirectId, action: &Action, number: Option<RequestNumber>) -> DirectMessage {
        DirectMessage::ask(id, self.link.wall_time(), action, number)
    }

    async fn run<C: Conversation>(
        &self,
        session: C,
        compose: impl Fn(DirectId) -> DirectMessage,
        about: BlobHash,
        meter: Option<&AtomicU64>,
    ) -> Settled<C::Output> {
        self.run_for_blob(session, compose, about, meter, 0).await
    }

    /// As [`run`](Self::run), for a blob of at most `len_max` bytes.
    async fn run_for_blob<C: Conversation>(
        &self,
        mut session: C,
        compose: impl Fn(DirectId) -> DirectMessage,
        about: BlobHash,
        meter: Option<&AtomicU64>,
        len_max: u64,
    ) -> Settled<C::Output> {
        let (provider, way) = (self.link.id, self.link.direct_way());
        let mut channel = self.channel.clone();
        let outcome = loop {
            match channel.run(&mut session, &compose, meter, len_max).await {
                // The same request goes on over the next connection, where no relay may take over.
                Err(Trouble::Ended(_)) if way.is_only() => {
                    session.lost(now());
                    let connecting = way.channel(self.patience).await;
                    channel = connecting.map_err(|source| ExchangeError::Direct { provider, source })?;
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(output) => {
                self.link.learn_direct_latency(now() - self.begun_at);
                Ok(Some(output))
            }
            Err(Trouble::Failed(Failure::Refused { code, text })) => {
                Err(ExchangeError::Refused { provider, code, text })
            }
            Err(Trouble::Failed(Failure::Corrupt)) => Err(ExchangeError::Corrupt { provider, hash: about }),
            Err(Trouble::Failed(Failure::Silent)) => {
                if !channel.is_heard_since(self.begun_at) {
                    way.give_up(&channel);
                }
                let waited = now() - self.begun_at;
                self.by_relays(ExchangeError::Silent { provider, waited })
            }
            Err(Trouble::Ended(source)) => self.by_relays(ExchangeError::Direct { provider, source }),
        }
    }

    /// Relays may do it, unless none may be used.
    fn by_relays<T>(&self, error: ExchangeError) -> Settled<T> {
        if self.link.direct_way().is_only() { Err(error) } else { Ok(None) }
    }

    /// The waits of a conversation that moves so many bytes in one message.
    fn pace(&self, len: u64) -> Pace {
        let pace = self.shortened(self.link.pace(EVENT_LEN_MAX));
        // A whole blob takes its time on a slow line.
        let slow = Duration::from_millis(len / 256);
        Pace { stall_timeout: pace.stall_timeout + slow, ..pace }
    }

    /// Half of the patience is left for relays, where they may take over.
    fn shortened(&self, pace: Pace) -> Pace {
        let halves = if self.link.direct_way().is_only() { 1 } else { 2 };
        Pace { stall_timeout: pace.stall_timeout / halves, ..pace }
    }
}
