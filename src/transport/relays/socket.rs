//! The WebSocket to a relay, as the SDK uses it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_wsocket::{Message, WebSocket};
use futures_util::future::ready;
use futures_util::stream::SplitSink;
use futures_util::{Sink, StreamExt, TryStreamExt};
use nostr::util::BoxedFuture;
use nostr::{RelayUrl, Url};
use nostr_sdk::pool::ConnectionMode;
use nostr_sdk::pool::transport::error::TransportError;
use nostr_sdk::pool::transport::websocket::{WebSocketSink, WebSocketStream, WebSocketTransport};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::link::Links;
use super::room::Room;
use crate::types::limits::{MESSAGE_LEN_MAX, NOTICE_LEN_MAX};

/// How the SDK connects: like its own transport, but with TCP_NODELAY, with limits, and telling the link's room what
/// has been taken.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Weak, because the links hold connections, and these hold this.
    pub(super) links: Weak<Links>,
}

impl WebSocketTransport for Sockets {
    fn support_ping(&self) -> bool {
        true
    }

    fn connect<'a>(
        &'a self,
        url: &'a Url,
        _mode: &'a ConnectionMode,
        timeout: Duration,
    ) -> BoxedFuture<'a, Result<(WebSocketSink, WebSocketStream), TransportError>> {
        Box::pin(async move {
            let room = self.room(url).ok_or_else(|| failure("the carrier is gone".to_owned()))?;
            let (sink, stream) = connect(url, timeout).await?.split();
            let stream = stream.try_filter(|message| ready(is_readable(message)));
            let stream: WebSocketStream = Box::pin(stream.map_err(TransportError::backend));
            let sink: WebSocketSink = Box::new(RelaySink { sink, room });
            Ok((sink, stream))
        })
    }
}

impl Sockets {
    fn room(&self, url: &Url) -> Option<Arc<Room>> {
        Some(self.links.upgrade()?.get(&RelayUrl::parse(url.as_str()).ok()?)?.room())
    }
}

async fn connect(url: &Url, timeout: Duration) -> Result<WebSocket, TransportError> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX));
    // Without TCP_NODELAY every round of few requests waits 44 ms for a delayed acknowledgement.
    let disable_nagle = true;
    let connecting = connect_async_with_config(url.as_str(), Some(config), disable_nagle);
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok((socket, _response))) => Ok(WebSocket::Tokio(socket)),
        Ok(Err(error)) => Err(TransportError::backend(error)),
        Err(_elapsed) => Err(failure(format!("no connection within {} s", timeout.as_secs_f32()))),
    }
}

fn failure(why: String) -> TransportError {
    TransportError::backend(io::Error::other(why))
}

/// Only events may be long: all else is kept for a while in the SDK's notifications, several hundred at once.
fn is_readable(message: &Message) -> bool {
    let Message::Text(text) = message else { return true };
    text.len() <= NOTICE_LEN_MAX || is_event(text)
}

/// Whether a message is `["EVENT", …`.
fn is_event(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('[').map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with(r#""EVENT""#))
}

/// Takes messages from the SDK's queue, and gives the room of events back.
struct RelaySink {
    sink: SplitSink<WebSocket, Message>,
    room: Arc<Room>,
}

impl Sink<Message> for RelaySink {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.sink).poll_ready(cx).map_err(TransportError::backend)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        if matches!(&message, Message::Text(text) if is_event(text)) {
            self.room.release();
        }
        Pin::new(&mut self.sink).start_send(message).map_err(TransportError::backend)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.sink).poll_flush(cx).map_err(TransportError::backend)
    }

    /// Says goodbye if that takes no waiting: the SDK would wait for 10 s on a relay that takes nothing.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let closed = Pin::new(&mut self.sink).poll_close(cx).map_err(TransportError::backend);
        if closed.is_pending() { Poll::Ready(Ok(())) } else { closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_may_be_long() {
        let long = "x".repeat(NOTICE_LEN_MAX);
        for (text, expected) in [
            (format!(r#"["EVENT","s",{{"content":"{long}"}}]"#), true),
            (format!(r#" [ "EVENT" ,"{long}"]"#), true),
            (format!(r#"["NOTICE","{long}"]"#), false),
            (format!(r#"["EVENTS","{long}"]"#), false),
            (long.clone(), true),
            (long + "x", false),
        ] {
            assert_eq!(is_readable(&Message::Text(text.clone())), expected, "{text:.20}");
        }
    }
}
