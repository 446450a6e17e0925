//! What can go wrong between the client and one provider.

use std::collections::BTreeMap;
use std::time::Duration;

use nostr::RelayUrl;

use crate::transport::TransportError;
use crate::transport::direct::DirectError;
use crate::types::{BlobHash, ProviderId};
use crate::wire::ErrorCode;

/// Why an exchange with a provider failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The provider was not added.
    #[error("provider {} is not known here", provider.short())]
    Unknown {
        /// The provider.
        provider: ProviderId,
    },
    /// The provider refuses.
    #[error("provider {} refuses: {code} {text}", provider.short())]
    Refused {
        /// The provider.
        provider: ProviderId,
        /// Its code.
        code: ErrorCode,
        /// Its words.
        text: String,
    },
    /// The provider does not answer.
    #[error("provider {} has not answered for {} s", provider.short(), waited.as_secs())]
    Silent {
        /// The provider.
        provider: ProviderId,
        /// How long nothing came that helped.
        waited: Duration,
    },
    /// The provider sent something else than what was asked for.
    #[error("provider {} sent wrong bytes or a wrong answer for blob {}", provider.short(), hash.short())]
    Corrupt {
        /// The provider.
        provider: ProviderId,
        /// The blob, or all zeros where the question was about several.
        hash: BlobHash,
    },
    /// The provider answers small events, but no relay brings it one as large as a plain store of this blob.
    #[error(
        "no relay passes an event of {event_len} bytes to provider {}, which takes blobs only whole{}",
        provider.short(), reasons(refusals)
    )]
    NotCarried {
        /// The provider.
        provider: ProviderId,
        /// Bytes of the event's JSON.
        event_len: usize,
        /// What relays said, where they said anything.
        refusals: BTreeMap<RelayUrl, String>,
    },
    /// The provider does not speak the extension that this needs.
    #[error("provider {} does not offer {extension}", provider.short())]
    Unsupported {
        /// The provider.
        provider: ProviderId,
        /// The extension.
        extension: &'static str,
    },
    /// No relay may be used, and the provider has no endpoint.
    #[error("provider {} announces no direct endpoint", provider.short())]
    NoEndpoint {
        /// The provider.
        provider: ProviderId,
    },
    /// No relay may be used, and the direct path failed.
    #[error("provider {} cannot be reached directly", provider.short())]
    Direct {
        /// The provider.
        provider: ProviderId,
        /// Why not.
        source: DirectError,
    },
    /// The relays cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl ExchangeError {
    /// Whether the same may succeed later at the same provider without anything else being done.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retryable(),
            Self::Silent { .. } | Self::Direct { .. } => true,
            Self::Transport(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether chunks that are too long may be the reason: they do not come through, the relay closes the connection over them,
    /// or the provider takes none any more.
    pub(super) fn may_be_for_length(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code == ErrorCode::InvalidRequest,
            Self::Silent { .. } => true,
            Self::Transport(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The code with which the provider refused, if it did.
    pub fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

fn reasons(refusals: &BTreeMap<RelayUrl, String>) -> String {
    if refusals.is_empty() {
        return String::new();
    }
    let said: Vec<String> = refusals.iter().map(|(relay, why)| format!("{relay}: {why}")).collect();
    format!(" ({})", said.join(", "))
}
