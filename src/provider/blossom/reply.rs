//! Answers and refusals, as HTTP has them.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderValue,
};
use hyper::http::response::Builder;
use hyper::{Response, StatusCode};

use crate::store::StoreError;
use crate::wire::WireError;
use crate::wire::blossom::REASON_HEADER;

/// An answer.
pub(super) type Reply = Response<Full<Bytes>>;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// The request shows no token, or one that does not allow it.
    pub(super) fn unauthorized(error: &WireError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.to_string())
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed")
    }

    pub(super) fn into_reply(self) -> Reply {
        let reason = HeaderValue::from_str(&self.reason);
        let mut reply = finish(begin(self.status), Bytes::new());
        if let Ok(reason) = reason {
            reply.headers_mut().insert(REASON_HEADER, reason);
        }
        reply
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            StoreError::HashMismatch { .. } | StoreError::Stale { .. } => StatusCode::CONFLICT,
            StoreError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            error if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            error => {
                // The client need not know how this provider's disk is laid out.
                tracing::error!(%error, "the store failed");
                return Self::internal();
            }
        };
        Self::new(status, error.to_string())
    }
}

/// An answer that every page may read (BUD-01, "Cross origin headers").
pub(super) fn begin(status: StatusCode) -> Builder {
    Response::builder().status(status).header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
}

pub(super) fn finish(builder: Builder, body: Bytes) -> Reply {
    builder.body(Full::new(body)).expect("names, numbers and fixed words are fit for an answer's head")
}

/// What a browser asks before it asks (BUD-01).
pub(super) fn preflight() -> Reply {
    let builder = begin(StatusCode::NO_CONTENT)
        .header(ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, *")
        .header(ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, PUT, DELETE")
        .header(ACCESS_CONTROL_MAX_AGE, "86400");
    finish(builder, Bytes::new())
}
