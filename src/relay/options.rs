//! What a relay is told, and how it fails.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::types::limits::MESSAGE_LEN_MAX;

/// How a relay runs.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Folder of the events that are kept; `None` keeps them in memory only.
    pub store: Option<PathBuf>,
    /// Largest message taken from a client, in bytes.
    pub message_len_max: usize,
}

impl RelayOptions {
    /// Port when none is named.
    pub const PORT: u16 = 7777;
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT)),
            store: None,
            message_len_max: MESSAGE_LEN_MAX,
        }
    }
}

/// Why a relay cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The folder of kept events cannot be used.
    #[error("cannot use the relay's folder {path:?}")]
    Store {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
