//! Who asked, and the way back.

use nostr::{Event, EventId, RelayUrl};

use crate::store::{Change, EventMark, StoreError};
use crate::transport::Incoming;
use crate::types::{ClientId, Timestamp};
use crate::wire::author_as_client;
use crate::wire::{
    Answer, Direction, Draft, ErrorCode, RequestNumber, Response, Status, StatusKind, WireError,
};

/// One request's event, as far as its answer needs it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) request: EventId,
    pub(super) client: ClientId,
    pub(super) number: Option<RequestNumber>,
    pub(super) created_at: Timestamp,
    /// The relay that brought the request takes the answer back.
    pub(super) relay: RelayUrl,
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
            request: event.id,
            client: author_as_client(event),
            number: None,
            created_at: Timestamp(event.created_at.as_secs()),
            relay: incoming.relay.clone(),
        }
    }

    /// The change that the request makes, as the store tells changes apart.
    pub(super) fn change(&self) -> Change {
        let mark = self.request.as_bytes().first_chunk().copied().unwrap_or_default();
        Change { at: self.created_at, mark: EventMark(mark) }
    }

    pub(super) fn direction(&self) -> Direction {
        Direction { request: self.request, requester: self.client }
    }

    /// The answer's event, to be signed.
    pub(super) fn draft(&self, outcome: Outcome) -> Draft {
        match outcome {
            Ok(answer) => {
                let (request, requester, number) = (self.request, self.client, self.number);
                Response { request, requester, number, answer }.to_draft()
            }
            Err(refusal) => self.status(StatusKind::Error(refusal.code), refusal.text),
        }
    }

    /// The event that says that the provider is at it.
    pub(super) fn processing(&self) -> Draft {
        self.status(StatusKind::Processing, "working on it".to_owned())
    }

    fn status(&self, kind: StatusKind, text: String) -> Draft {
        let (request, requester, number) = (self.request, self.client, self.number);
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
