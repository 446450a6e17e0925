//! The client's way to a provider.

use nostr::{Keys, RelayUrl};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, connect_async_with_config};

use crate::env::Env;
use crate::transport::direct::connection::socket_config;
use crate::transport::direct::listen::{receive, send};
use crate::transport::direct::noise::Opening;
use crate::transport::direct::{DirectConnection, DirectError};
use crate::types::ProviderId;
use crate::types::limits::DIRECT_HANDSHAKE_MAX;
use crate::wire::direct::Ack;

/// Connects to `provider`, which announces `endpoint`, as the owner of `keys`. Blobs are taken in once the inbox is told
/// which ([`Inbox::set_intake`](crate::transport::direct::Inbox::set_intake)).
///
/// # Errors
/// [`DirectError`]. A provider of another key learns nothing but the client's address.
pub async fn dial(
    endpoint: &RelayUrl,
    provider: ProviderId,
    keys: &Keys,
    env: &Env,
) -> Result<DirectConnection, DirectError> {
    let dialing = async {
        // Without TCP_NODELAY every round of few messages waits 44 ms for a delayed acknowledgement.
        let disable_nagle = true;
        let connecting = connect_async_with_config(endpoint.as_str(), Some(socket_config()), disable_nagle);
        let (socket, _response) = connecting.await.map_err(|error| DirectError::Unreachable {
            endpoint: endpoint.to_string(),
            why: error.to_string(),
        })?;
        open(socket, provider, keys, env).await
    };
    let slow = DirectError::Slow { seconds: DIRECT_HANDSHAKE_MAX.as_secs() };
    timeout(DIRECT_HANDSHAKE_MAX, dialing).await.unwrap_or(Err(slow))
}

/// The client's side of the handshake.
pub(super) async fn open<S>(
    mut socket: WebSocketStream<S>,
    provider: ProviderId,
    keys: &Keys,
    env: &Env,
) -> Result<DirectConnection, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (opening, hello) = Opening::begin(env)?;
    send(&mut socket, hello.encode()).await?;
    let ack = Ack::decode(&receive(&mut socket).await?).map_err(|_| DirectError::Handshake)?;
    let (channel, introduction) = opening.finish(&ack, &provider, keys)?;
    send(&mut socket, introduction.encode()).await?;
    Ok(DirectConnection::new(socket, channel, None))
}
