//! The WebSocket to a relay.

use std::time::Duration;

use nostr::RelayUrl;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::types::limits::MESSAGE_LEN_MAX;

/// A connected WebSocket, plain or under TLS.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects, or says why not.
pub(super) async fn connect(relay: &RelayUrl, deadline: Duration) -> Result<Socket, String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX));
    // Without TCP_NODELAY every round of few requests waits 44 ms for a delayed acknowledgement.
    let disable_nagle = true;
    let connecting = connect_async_with_config(relay.as_str(), Some(config), disable_nagle);
    match tokio::time::timeout(deadline, connecting).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("no connection within {} s", deadline.as_secs_f32())),
    }
}
