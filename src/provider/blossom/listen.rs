//! Who connects is counted, and served until nothing moves any more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use crate::env::Env;
use crate::provider::blossom::desk::Desk;
use crate::provider::blossom::moving::{Moving, Progress};
use crate::store::BlobStore;
use crate::types::limits::{
    BLOB_LEN_MAX, BLOSSOM_CONNECTION_COUNT_MAX, BLOSSOM_HEAD_LEN_MAX, BLOSSOM_STALL_MAX,
};

/// Bytes that one connection reads ahead.
const BUFFER_LEN: usize = 128 * 1024;
/// Out of descriptors, or a client that left already: others may do better in a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlossomOptions {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Largest blob that it takes, at most [`BLOB_LEN_MAX`].
    pub max_file_size: u64,
    /// How long it promises to keep a blob.
    pub retention: Duration,
    /// Clients that are connected at once; from one address, half of them.
    pub connection_count_max: usize,
}

/// A Blossom server that listens. It serves while [`run`](Self::run) runs.
pub struct BlossomServer {
    socket: TcpListener,
    address: SocketAddr,
    count_max: usize,
    desk: Arc<Desk>,
}

impl BlossomOptions {
    /// What is usual, at this address.
    pub fn new(listen: SocketAddr) -> Self {
        let (max_file_size, retention) = (BLOB_LEN_MAX, Duration::from_secs(90 * 24 * 3600));
        Self { listen, max_file_size, retention, connection_count_max: BLOSSOM_CONNECTION_COUNT_MAX }
    }
}

impl BlossomServer {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken, or not this machine's.
    pub async fn bind(options: BlossomOptions, store: Arc<BlobStore>, env: Env) -> io::Result<Self> {
        let socket = TcpListener::bind(options.listen).await?;
        let address = socket.local_addr()?;
        let options = BlossomOptions { max_file_size: options.max_file_size.min(BLOB_LEN_MAX), ..options };
        let count_max = options.connection_count_max.max(1);
        Ok(Self { socket, address, count_max, desk: Arc::new(Desk::new(options, address, store, env)) })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves whoever connects. Everything ends when the future is dropped.
    pub async fn run(self) {
        let mut served = JoinSet::new();
        let mut addresses: BTreeMap<Id, IpAddr> = BTreeMap::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = served.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    addresses.remove(&id);
                }
                accepted = self.socket.accept(), if addresses.len() < self.count_max => match accepted {
                    Ok((stream, from)) => {
                        let from_there = addresses.values().filter(|address| **address == from.ip()).count();
                        // Whoever has too many sees the connection closed.
                        if from_there < self.count_max.div_ceil(2) {
                            let task = served.spawn(serve(stream, self.desk.clone()));
                            addresses.insert(task.id(), from.ip());
                        }
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    // Without it every round of few requests waits 44 ms for a delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let progress = Arc::new(Progress::default());
    let io = TokioIo::new(Moving { stream, progress: progress.clone() });
    let service = service_fn(|request| {
        let (desk, progress) = (desk.clone(), progress.clone());
        async move {
            let response = desk.answer(request).await;
            progress.answer();
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = Builder::new();
    builder.max_header_size(BLOSSOM_HEAD_LEN_MAX).max_buf_size(BUFFER_LEN);
    builder.timer(TokioTimer::new()).header_read_timeout(BLOSSOM_STALL_MAX);
    let serving = builder.serve_connection(io, service);
    tokio::select! {
        biased;
        ended = serving => if let Err(error) = ended {
            tracing::debug!(%error, "a Blossom connection ends");
        },
        () = progress.stalled() => tracing::debug!("a Blossom connection stands still"),
    }
}
