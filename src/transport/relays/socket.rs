//! The WebSocket to a relay, as the SDK uses it. Events are taken from it and given to it beside the SDK, whose own type
//! of message would copy each.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_wsocket::Message;
use futures_util::future::ready;
use futures_util::stream::SplitSink;
use futures_util::{Sink, StreamExt, TryStreamExt};
use nostr::util::BoxedFuture;
use nostr::{ClientMessage, RelayUrl, SubscriptionId, Url};
use nostr_sdk::pool::ConnectionMode;
use nostr_sdk::pool::transport::error::TransportError;
use nostr_sdk::pool::transport::websocket::{WebSocketSink, WebSocketStream, WebSocketTransport};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream as Socket, connect_async_with_config};

use super::intake;
use super::link::{Link, Links};
use super::room::Room;
use crate::types::limits::{MESSAGE_LEN_MAX, NOTICE_LEN_MAX};

type WebSocket = Socket<MaybeTlsStream<TcpStream>>;

/// How the SDK connects: like its own transport, but with TCP_NODELAY, with limits, handing events to the link before the
/// SDK sees them, and telling the link's room what has been taken.
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
            let link = self.link(url).ok_or_else(|| failure("the carrier is gone".to_owned()))?;
            let room = link.room();
            let (sink, stream) = connect(url, timeout).await?.split();
            let link = Arc::downgrade(&link);
            let stream = stream.try_filter_map(move |frame| ready(Ok(for_sdk(frame, &link))));
            let stream: WebSocketStream = Box::pin(stream.map_err(TransportError::backend));
            let sink: WebSocketSink = Box::new(RelaySink { sink, room });
            Ok((sink, stream))
        })
    }
}

impl Sockets {
    fn link(&self, url: &Url) -> Option<Arc<Link>> {
        self.links.upgrade()?.get(&RelayUrl::parse(url.as_str()).ok()?).cloned()
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
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(TransportError::backend(error)),
        Err(_elapsed) => Err(failure(format!("no connection within {} s", timeout.as_secs_f32()))),
    }
}

fn failure(why: String) -> TransportError {
    TransportError::backend(io::Error::other(why))
}

/// Hands events over, and leaves to the SDK all other messages, unless they are long, because it keeps several hundred of
/// them for a while in its notifications. Pings are answered by the socket itself.
fn for_sdk(frame: Frame, link: &Weak<Link>) -> Option<Message> {
    match frame {
        Frame::Text(text) if intake::is_event(&text) => {
            if let (Some(link), Some((name, event))) = (link.upgrade(), intake::read(&text)) {
                link.receive_event(&name, event);
            }
            None
        }
        Frame::Text(text) => (text.len() <= NOTICE_LEN_MAX).then(|| Message::Text(text.as_str().to_owned())),
        Frame::Pong(payload) => Some(Message::Pong(payload.into())),
        Frame::Close(_) => Some(Message::Close(None)),
        Frame::Binary(_) | Frame::Ping(_) | Frame::Frame(_) => None,
    }
}

/// What goes through the SDK's queue for an event that waits in the room: a CLOSE of a name that no subscription has.
pub(super) fn ticket() -> ClientMessage<'static> {
    ClientMessage::Close(Cow::Owned(SubscriptionId::new("ticket")))
}

/// A ticket as the SDK encodes it.
const TICKET: &str = r#"["CLOSE","ticket"]"#;

/// Takes messages from the SDK's queue; for a ticket, an event from the room.
struct RelaySink {
    sink: SplitSink<WebSocket, Frame>,
    room: Arc<Room>,
}

impl Sink<Message> for RelaySink {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.sink).poll_ready(cx).map_err(TransportError::backend)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        let frame = match message {
            Message::Text(text) if text == TICKET => match self.room.take() {
                Some(event) => Frame::Text(event),
                None => return Ok(()),
            },
            Message::Text(text) => Frame::Text(text.into()),
            Message::Binary(bytes) => Frame::Binary(bytes.into()),
            Message::Ping(payload) => Frame::Ping(payload.into()),
            Message::Pong(payload) => Frame::Pong(payload.into()),
            Message::Close(_) => Frame::Close(None),
        };
        Pin::new(&mut self.sink).start_send(frame).map_err(TransportError::backend)
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
    use nostr::JsonUtil;

    use super::*;

    #[test]
    fn ticket_is_encoded_as_expected() {
        assert_eq!(ticket().as_json(), TICKET);
    }

    #[test]
    fn sdk_sees_no_events_and_nothing_long() {
        let link = Weak::new();
        let long = "x".repeat(NOTICE_LEN_MAX);
        for (text, expected) in [
            (r#"["EVENT","s",{}]"#.to_owned(), false),
            (r#" [ "EVENT" ,"#.to_owned(), false),
            (r#"["NOTICE","words"]"#.to_owned(), true),
            (format!(r#"["NOTICE","{long}"]"#), false),
            (r#"["EVENTS",""]"#.to_owned(), true),
            (long.clone(), true),
            (long + "x", false),
        ] {
            let passed_on = for_sdk(Frame::Text(text.clone().into()), &link);
            assert_eq!(passed_on, expected.then(|| Message::Text(text.clone())), "{text:.20}");
        }
    }
}
