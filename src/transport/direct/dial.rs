//! The client's way to a provider.

use nostr::{Keys, RelayUrl};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::{WebSocketStream, client_async_tls_with_config};

use crate::env::Env;
use crate::transport::direct::connection::socket_config;
use crate::transport::direct::listen::{receive, send};
use crate::transport::direct::nearness::bare_host;
use crate::transport::direct::noise::Opening;
use crate::transport::direct::{DirectConnection, DirectError, Nearness};
use crate::types::ProviderId;
use crate::types::limits::DIRECT_HANDSHAKE_MAX;
use crate::wire::direct::{Ack, DirectCipher};

/// Who is connected to, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The provider.
    pub provider: ProviderId,
    /// What it announces.
    pub endpoint: RelayUrl,
    /// Where it may lead at the nearest.
    pub nearest: Nearness,
    /// What seals what goes over the connection.
    pub cipher: DirectCipher,
}

/// Connects to a provider as the owner of `keys`. Blobs are taken in once the inbox is told which
/// ([`Inbox::set_intake`](crate::transport::direct::Inbox::set_intake)).
///
/// # Errors
/// [`DirectError`]. A provider of another key learns nothing but the client's address.
pub async fn dial(target: &Target, keys: &Keys, env: &Env) -> Result<DirectConnection, DirectError> {
    let unreachable = |why: String| DirectError::Unreachable { endpoint: target.endpoint.to_string(), why };
    let dialing = async {
        let stream = connect(target).await.map_err(unreachable)?;
        let opening =
            client_async_tls_with_config(target.endpoint.as_str(), stream, Some(socket_config()), None);
        let (socket, _response) = opening.await.map_err(|error| unreachable(error.to_string()))?;
        open(socket, (target.provider, target.cipher), keys, env).await
    };
    let slow = DirectError::Slow { seconds: DIRECT_HANDSHAKE_MAX.as_secs() };
    timeout(DIRECT_HANDSHAKE_MAX, dialing).await.unwrap_or(Err(slow))
}

/// Connects to an address of the endpoint's host that is not too near. The same address is looked at and connected to, so
/// that a name cannot mean another one a moment later.
async fn connect(target: &Target) -> Result<TcpStream, String> {
    let uri: Uri = target.endpoint.as_str().parse().map_err(|_| "it is no URL".to_owned())?;
    let host = uri.host().map(bare_host).ok_or("it names no host")?;
    let usual = if uri.scheme_str() == Some("wss") { 443 } else { 80 };
    let found = lookup_host((host, uri.port_u16().unwrap_or(usual))).await;
    let mut addresses: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    addresses.retain(|address| Nearness::of(address.ip()) <= target.nearest);
    if addresses.is_empty() {
        return Err("it leads into this machine or its network, and is a stranger's".to_owned());
    }
    let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| error.to_string())?;
    // Without it every round of few messages waits 44 ms for a delayed acknowledgement.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// The client's side of the handshake.
pub(super) async fn open<S>(
    mut socket: WebSocketStream<S>,
    (provider, cipher): (ProviderId, DirectCipher),
    keys: &Keys,
    env: &Env,
) -> Result<DirectConnection, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (opening, hello) = Opening::begin(cipher, env)?;
    send(&mut socket, hello.encode()).await?;
    let ack = Ack::decode(&receive(&mut socket).await?).map_err(|_| DirectError::Handshake)?;
    let (channel, introduction) = opening.finish(&ack, &provider, keys)?;
    send(&mut socket, introduction.encode()).await?;
    Ok(DirectConnection::new(socket, channel, None))
}
