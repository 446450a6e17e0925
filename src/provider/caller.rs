//! Who asked, and the way back.

use nostr::{Event, EventId, RelayUrl};

use crate::store::{Change, EventMark, StoreError};
use crate::transport::Incoming;
use crate::transport::direct::Outbox;
use crate::types::{ChunkLen, ClientId, Timestamp};
use crate::wire::{
    Answer, DirectId, Draft, ErrorCode, RequestNumber, Response, Status, StatusKind, WireError,
    author_as_client,
};

/// One request, as far as its answer needs it.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: ClientId,
    pub(super) number: Option<RequestNumber>,
    /// How long the chunks are that it sends, or wants.
    pub(super) chunk_len: ChunkLen,
    pub(super) created_at: Timestamp,
    /// Tells the request from others of the same second.
    mark: EventMark,
    pub(super) way: Way,
}

/// The way that a request came, which its answer goes back.
#[derive(Clone)]
pub(super) enum Way {
    /// An event.
    Relay {
        /// Its id.
        request: EventId,
        /// The relay that brought it.
        relay: RelayUrl,
    },
    /// A message over a connection of its own.
    Direct {
        /// The question.
        id: DirectId,
        /// What goes out over the connection.
        outbox: Outbox,
    },
}

/// What a client is told instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

/// How a request ends.
pub(super) type Outcome = Result<Answer, Refusal>;

impl Caller {
    pub(super) fn of(incoming: &Incoming) -> Self {
        let event: &Event = &incoming.event;
        Self {
            client: author_as_client(event),
            number: None,
            chunk_len: ChunkLen::BASE,
            created_at: Timestamp(event.created_at.as_secs()),
            mark: EventMark(event.id.as_bytes().first_chunk().copied().unwrap_or_default()),
            way: Way::Relay { request: event.id, relay: incoming.relay.clone() },
        }
    }

    /// Whoever asks over a connection. What comes over it cannot be repeated by others: `mark` is any that is fresh.
    pub(super) fn direct(client: ClientId, created_at: Timestamp, mark: [u8; 8], way: Way) -> Self {
        let (number, chunk_len) = (None, ChunkLen::BASE);
        Self { client, number, chunk_len, created_at, mark: EventMark(mark), way }
    }

    /// Whether the caller knows more than the base protocol.
    pub(super) fn knows_extensions(&self) -> bool {
        self.number.is_some() || matches!(self.way, Way::Direct { .. })
    }

    /// The change that the request makes, as the store tells changes apart.
    pub(super) fn change(&self) -> Change {
        Change { at: self.created_at, mark: self.mark }
    }

    /// The answer's event, to be signed.
    pub(super) fn draft(&self, request: EventId, outcome: Outcome) -> Draft {
        match outcome {
            Ok(answer) => {
                let (requester, number) = (self.client, self.number);
                Response { request, requester, number, answer }.to_draft()
            }
            Err(refusal) => self.status(request, StatusKind::Error(refusal.code), refusal.text),
        }
    }

    /// The event that says that the provider is at it.
    pub(super) fn processing(&self, request: EventId) -> Draft {
        self.status(request, StatusKind::Processing, "working on it".to_owned())
    }

    fn status(&self, request: EventId, kind: StatusKind, text: String) -> Draft {
        let (requester, number) = (self.client, self.number);
        Status { request, requester, number, kind, text }.to_draft()
    }
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(super) fn busy() -> Self {
        Self::new(ErrorCode::Busy, "too much is under way, ask again later")
    }

    pub(super) fn internal() -> Self {
        Self::new(ErrorCode::InternalError, "the provider failed")
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound { .. } => ErrorCode::FileNotFound,
            StoreError::HashMismatch { .. } => ErrorCode::InvalidHash,
            StoreError::Integrity { .. } => ErrorCode::IntegrityFailed,
            StoreError::Stale { .. } => ErrorCode::StaleRequest,
            StoreError::Busy => ErrorCode::Busy,
            error if error.is_full() => ErrorCode::StorageFull,
            error => {
                // The client need not know how this provider's disk is laid out.
                tracing::error!(%error, "the store failed");
                return Self::internal();
            }
        };
        Self::new(code, error.to_string())
    }
}
