//! Why a direct connection cannot be had, or ended.

use std::net::SocketAddr;

use crate::types::ProviderId;
use crate::wire::WireError;

/// Why a direct connection cannot be had, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Nobody speaks WebSocket there.
    #[error("endpoint {endpoint} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What the system or the WebSocket says.
        why: String,
    },
    /// The other side did not finish the handshake in time.
    #[error("no handshake within {seconds} s")]
    Slow {
        /// How long it had.
        seconds: u64,
    },
    /// The other side does not speak this handshake, or somebody has changed it on its way.
    #[error("the handshake does not authenticate")]
    Handshake,
    /// Somebody else answers there.
    #[error("another key answers there: {}", found.short())]
    WrongKey {
        /// Whoever answers.
        found: ProviderId,
    },
    /// The connection ended, or a record does not authenticate.
    #[error("the connection broke off")]
    Broken,
    /// The other side is silent.
    #[error("nothing came over the connection for too long")]
    Silent,
    /// The other side sent what is no message.
    #[error("a message is wrong: {why}")]
    Message {
        /// What is wrong with it.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {why}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        why: String,
    },
}

impl From<WireError> for DirectError {
    fn from(error: WireError) -> Self {
        Self::Message { why: error.to_string() }
    }
}

impl From<snow::Error> for DirectError {
    fn from(_: snow::Error) -> Self {
        Self::Handshake
    }
}
