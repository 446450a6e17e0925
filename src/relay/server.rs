//! Listens, accepts, ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nostr::RelayUrl;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::fanout::Fanout;
use super::options::{RelayError, RelayOptions};
use super::storage::Storage;
use super::{connection, handshake};
use crate::types::limits::RELAY_CONNECTION_COUNT_MAX;

/// How long clients may take to be told that the relay closes.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// A relay that listens. It serves while [`Relay::run_until`] runs.
pub struct Relay {
    listener: TcpListener,
    address: SocketAddr,
    options: Arc<RelayOptions>,
    shared: Arc<Shared>,
}

/// What all connections of a relay share.
pub(super) struct Shared {
    pub(super) storage: Storage,
    pub(super) fanout: Arc<Fanout>,
    pub(super) published_count: AtomicU64,
}

/// What a relay has done so far, and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayCounts {
    /// Clients that are connected.
    pub connected: usize,
    /// Events that were published and verified.
    pub published: u64,
    /// Events that were handed to readers; one event may be handed to several.
    pub forwarded: u64,
    /// Readers that did not catch up and were disconnected.
    pub slow: u64,
    /// Events that are kept.
    pub kept: usize,
}

/// A look at a relay while it runs.
#[derive(Clone)]
pub struct RelayMonitor(Arc<Shared>);

impl RelayMonitor {
    /// What the relay has done so far, and holds.
    pub fn counts(&self) -> RelayCounts {
        RelayCounts {
            connected: self.0.fanout.reader_count(),
            published: self.0.published_count.load(Ordering::Relaxed),
            forwarded: self.0.fanout.forwarded_count.load(Ordering::Relaxed),
            slow: self.0.fanout.slow_count.load(Ordering::Relaxed),
            kept: self.0.storage.count(),
        }
    }
}

impl Relay {
    /// Finds the events that were kept, and listens.
    ///
    /// # Errors
    /// The address is taken or not ours, or the folder cannot be used.
    pub async fn bind(options: RelayOptions) -> Result<Self, RelayError> {
        let store = options.store.clone();
        let storage = tokio::task::spawn_blocking(move || Storage::open(store)).await;
        let storage = storage.expect("opening the storage does not panic")?;
        let listen_error = |source| RelayError::Listen { listen: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let shared = Shared { storage, fanout: Arc::new(Fanout::new()), published_count: AtomicU64::new(0) };
        Ok(Self { listener, address, options: Arc::new(options), shared: Arc::new(shared) })
    }

    /// Where clients on this machine reach it.
    pub fn url(&self) -> RelayUrl {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        RelayUrl::parse(&format!("ws://{address}")).expect("an address and port form a URL")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A look at it while it runs.
    pub fn monitor(&self) -> RelayMonitor {
        RelayMonitor(self.shared.clone())
    }

    /// Serves until `shutdown` returns, then says goodbye to the clients. Dropping the future ends it at once.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let closing = watch::Sender::new(false);
        let places = Arc::new(Semaphore::new(RELAY_CONNECTION_COUNT_MAX));
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepting = async {
                // A client beyond the last place waits in the backlog of the system.
                let place = places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_ended) = connections.join_next() => {}
                (place, accepted) = accepting => match (place, accepted) {
                    (Ok(place), Ok((stream, _from))) => {
                        let (shared, options) = (self.shared.clone(), self.options.clone());
                        connections.spawn(welcome(shared, options, stream, place, closing.subscribe()));
                    }
                    // Out of descriptors, or a client that left already: others may do better in a moment.
                    _ => sleep(Duration::from_millis(50)).await,
                },
            }
        }
        closing.send_replace(true);
        let _ = timeout(CLOSE_WAIT_MAX, async { while connections.join_next().await.is_some() {} }).await;
    }
}

async fn welcome(
    shared: Arc<Shared>,
    options: Arc<RelayOptions>,
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    closing: watch::Receiver<bool>,
) {
    // Without it every round of few events waits 44 ms for a delayed acknowledgement.
    if stream.set_nodelay(true).is_ok()
        && let Some(socket) = handshake::accept(stream, &options).await
    {
        connection::serve(shared, socket, closing).await;
    }
}
