//! The provider's endpoints: who connects is counted, shakes hands in time, and is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use nostr::{Keys, RelayUrl};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use crate::env::Env;
use crate::transport::direct::connection::socket_config;
use crate::transport::direct::guests::{Guests, Place, Places};
use crate::transport::direct::noise::Welcome;
use crate::transport::direct::{DirectConnection, DirectError, Intake, Judge, Rest, Unfit, Verdict};
use crate::types::ClientId;
use crate::types::limits::{DIRECT_HANDSHAKE_MAX, DIRECT_INTAKE_LEN_MAX, DIRECT_ROOM_WAIT_MAX};
use crate::wire::direct::{Beginning, Hello, Introduction};

/// Endpoints that listen. They serve while [`run`](Self::run) runs.
pub struct DirectListener {
    sockets: Vec<TcpListener>,
    guests: Arc<Guests>,
    room: Arc<Semaphore>,
    blob_len_max: u64,
}

/// What a provider takes of one client: stores of blobs up to a length, and nothing else that is large.
pub struct StoresUpTo {
    /// Bytes of the longest blob.
    pub len_max: u64,
    /// The client does not rest while they come.
    pub rest: Arc<Rest>,
}

impl Judge for StoresUpTo {
    fn judge(&self, beginning: &Beginning) -> Verdict {
        match *beginning {
            Beginning::Store { len, .. } if len <= self.len_max => Verdict::TakeIn,
            Beginning::Store { len, .. } => Verdict::PassOver(Unfit::TooLarge { len }),
            Beginning::Response { .. } => Verdict::End,
        }
    }

    fn moved(&self, _beginning: Option<&Beginning>) {
        self.rest.moved();
    }
}

/// A client that has shown who it is, and its connection.
pub struct Guest {
    /// The client.
    pub client: ClientId,
    /// The connection.
    pub connection: DirectConnection,
    /// Whether it rests. Whoever serves it says what is worked on, and ends when it is asked to leave.
    pub rest: Arc<Rest>,
}

impl DirectListener {
    /// Listens on these addresses, for as many clients together as there are places, and for blobs of at most
    /// `blob_len_max` bytes.
    ///
    /// # Errors
    /// [`DirectError::Listen`] if one of them is taken or not ours.
    pub async fn bind(
        addresses: &[SocketAddr],
        places: Places,
        blob_len_max: u64,
    ) -> Result<Self, DirectError> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for listen in addresses {
            let failed =
                |error: std::io::Error| DirectError::Listen { listen: *listen, why: error.to_string() };
            sockets.push(TcpListener::bind(listen).await.map_err(failed)?);
        }
        let room = Arc::new(Semaphore::new(DIRECT_INTAKE_LEN_MAX / 1024));
        Ok(Self { sockets, guests: Guests::new(places), room, blob_len_max })
    }

    /// Where clients reach it, as far as the addresses say: those that stand for all of a machine's say nothing.
    pub fn urls(&self) -> Vec<RelayUrl> {
        let addresses = self.sockets.iter().filter_map(|socket| socket.local_addr().ok());
        let told = addresses.filter(|address| !address.ip().is_unspecified());
        told.filter_map(|address| RelayUrl::parse(&format!("ws://{address}")).ok()).collect()
    }

    /// Serves whoever connects, as the owner of `keys`, until `closing`, and then to their end those who are served.
    /// Everything ends when the future is dropped.
    pub async fn run<F>(
        self,
        keys: Keys,
        env: Env,
        closing: impl Future<Output = ()>,
        serve: impl Fn(Guest) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut handshakes = JoinSet::new();
        let mut served = JoinSet::new();
        tokio::pin!(closing);
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                Some(_ended) = served.join_next() => {}
                Some(done) = handshakes.join_next() => {
                    if let Ok(Some((guest, place))) = done {
                        let serving = serve(guest);
                        served.spawn(async move {
                            let _place: Place = place;
                            serving.await;
                        });
                    }
                }
                (stream, from) = accept(&self.sockets) => {
                    let Some(place) = self.guests.enter(from.ip()) else {
                        // Whoever is too many sees the connection closed, and takes the relays.
                        tracing::debug!("too many direct connections");
                        continue;
                    };
                    // First from the smaller: whoever waits there holds nothing that others wait for.
                    let rooms = vec![place.room.clone(), self.room.clone()];
                    let rest = place.rest.clone();
                    let judge = Arc::new(StoresUpTo { len_max: self.blob_len_max, rest });
                    let intake = Intake { judge, rooms, wait: DIRECT_ROOM_WAIT_MAX };
                    let (keys, env) = (keys.clone(), env.clone());
                    handshakes.spawn(async move { welcome(stream, place, &keys, &env, intake).await });
                }
            }
        }
        drop((self.sockets, handshakes));
        while served.join_next().await.is_some() {}
    }
}

/// The next connection of any of the sockets.
async fn accept(sockets: &[TcpListener]) -> (TcpStream, SocketAddr) {
    /// Out of descriptors, or a client that left already: others may do better in a moment.
    const PAUSE: Duration = Duration::from_millis(50);
    if sockets.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let accepting = sockets.iter().map(|socket| Box::pin(socket.accept()));
        match futures_util::future::select_all(accepting).await.0 {
            Ok(accepted) => return accepted,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn welcome(
    stream: TcpStream,
    place: Place,
    keys: &Keys,
    env: &Env,
    intake: Intake,
) -> Option<(Guest, Place)> {
    let shaking = async {
        // Without it every round of few messages waits 44 ms for a delayed acknowledgement.
        stream.set_nodelay(true).ok()?;
        let socket = accept_async_with_config(stream, Some(socket_config())).await.ok()?;
        meet(socket, keys, env, intake).await.ok()
    };
    let guest = timeout(DIRECT_HANDSHAKE_MAX, shaking).await.ok()??;
    let guest = Guest { rest: place.rest.clone(), ..guest };
    place.is_of(guest.client).then_some((guest, place))
}

/// The provider's side of the handshake.
pub(super) async fn meet<S>(
    mut socket: WebSocketStream<S>,
    keys: &Keys,
    env: &Env,
    intake: Intake,
) -> Result<Guest, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hello = Hello::decode(&receive(&mut socket).await?)?;
    let (welcome, ack) = Welcome::begin(&hello, keys, env)?;
    send(&mut socket, ack.encode()).await?;
    let introduction = Introduction::decode(&receive(&mut socket).await?)?;
    let (channel, client) = welcome.finish(&introduction)?;
    let connection = DirectConnection::new(socket, channel, Some(intake));
    Ok(Guest { client, connection, rest: Rest::begin() })
}

/// Sends one message of the handshake.
pub(super) async fn send<S>(socket: &mut WebSocketStream<S>, message: Vec<u8>) -> Result<(), DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.send(Message::Binary(message.into())).await.map_err(|_| DirectError::Broken)
}

/// Receives one message of the handshake.
pub(super) async fn receive<S>(socket: &mut WebSocketStream<S>) -> Result<Bytes, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(DirectError::Broken),
        }
    }
}
