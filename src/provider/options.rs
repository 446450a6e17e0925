//! What a provider offers, and why it cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nostr::RelayUrl;

use crate::store::StoreError;
use crate::transport::TransportError;
use crate::transport::direct::DirectError;
use crate::types::ChunkLen;
use crate::types::limits::{BLOB_LEN_MAX, DIRECT_CONNECTION_COUNT_MAX};

/// What a provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderOptions {
    /// What it calls itself.
    pub name: String,
    /// What it says about itself.
    pub about: String,
    /// Bytes that it keeps in all.
    pub quota: u64,
    /// Largest blob that it takes, at most [`BLOB_LEN_MAX`].
    pub max_file_size: u64,
    /// The longest chunks that a client may ask for; the base protocol's, if it is to be no others.
    pub chunk_len_max: ChunkLen,
    /// How long it promises to keep a blob.
    pub retention: Duration,
    /// How often it announces itself again.
    pub announce_every: Duration,
    /// Where it can be reached without relays; nowhere unless told.
    pub direct: DirectOptions,
}

/// Where a provider can be reached without relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectOptions {
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// What is announced; where nothing is said, the addresses that are listened on.
    pub announce: Vec<RelayUrl>,
    /// Clients that are connected at once.
    pub connection_count_max: usize,
    /// Of these, clients from one address (of version 6, from one network of 64 bits); half of all where nothing is said.
    /// Whoever stands behind a proxy or a tunnel has the same address as everybody there, and shares with them what may come
    /// in from one ([`DIRECT_ADDRESS_INTAKE_LEN_MAX`](crate::types::limits::DIRECT_ADDRESS_INTAKE_LEN_MAX)).
    pub address_connection_count_max: Option<usize>,
}

impl Default for DirectOptions {
    fn default() -> Self {
        let connection_count_max = DIRECT_CONNECTION_COUNT_MAX;
        let address_connection_count_max = None;
        Self { listen: Vec::new(), announce: Vec::new(), connection_count_max, address_connection_count_max }
    }
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            name: "blobdvm provider".to_owned(),
            about: "keeps blobs of up to 10 MiB under their SHA-256".to_owned(),
            quota: 10 << 30,
            max_file_size: BLOB_LEN_MAX,
            chunk_len_max: ChunkLen::MAX,
            retention: Duration::from_secs(90 * 24 * 3600),
            announce_every: Duration::from_secs(3600),
            direct: DirectOptions::default(),
        }
    }
}

/// Why a provider cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The store's folder cannot be used.
    #[error("store at {} cannot be opened", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not; [`io::ErrorKind::WouldBlock`] if another process serves it.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("store cannot be opened")]
    Store(#[from] StoreError),
    /// The provider's key file holds no key.
    #[error("the provider's key is no key")]
    Key,
    /// The relays cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The addresses of the direct path cannot be used.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// It would listen where nobody is told to look.
    #[error("no address of the direct path can be announced")]
    NothingToAnnounce,
}
