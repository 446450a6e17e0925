//! One client: reading and answering its messages, and writing to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitStream;
use futures_util::{Sink, SinkExt, StreamExt};
use nostr::Filter;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as SocketFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};

use super::fanout::Reader;
use super::message::{self, ClientMessage, Refusal};
use super::queue::{Frame, Outgoing, ReaderQueue};
use super::server::Shared;
use super::storage::Kept;
use crate::wire::Unverified;

type Socket = WebSocketStream<TcpStream>;

/// How long a client may refuse to take one message off the socket.
const SEND_WAIT_MAX: Duration = Duration::from_secs(20);
/// How often a client is pinged, and how long nothing may come from it before it counts as gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// What a message is read into, if it is not longer; several may share one.
pub(super) const READ_BUFFER_LEN: usize = 128 * 1024;
/// How long closing may take.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Serves a client until it leaves, does not catch up, or the relay closes.
pub(super) async fn serve(shared: Arc<Shared>, socket: Socket, mut closing: watch::Receiver<bool>) {
    let (sink, stream) = socket.split();
    let (queue, outgoing) = ReaderQueue::channel(&shared.fanout.room);
    let membership = shared.fanout.join(queue);
    let reader = membership.reader.clone();
    // Reading verifies signatures; writing goes on meanwhile on another core.
    let mut reading = JoinSet::new();
    reading.spawn(read(shared, reader.clone(), stream));
    let ended = async {
        tokio::select! {
            biased;
            // An error means that the relay is gone.
            _ = closing.wait_for(|is_closing| *is_closing) => (CloseCode::Away, "the relay closes"),
            () = reader.ended() => (CloseCode::Policy, "too slow: events were missed"),
            close = reading.join_next() => close.and_then(Result::ok).unwrap_or((CloseCode::Error, "")),
        }
    };
    write(sink, outgoing, ended).await;
}

/// Why a connection ends, as the client is told.
type Ending = (CloseCode, &'static str);

/// Writes what is queued until the connection is to end, and ends it.
async fn write<S: Sink<Message> + Unpin>(
    mut sink: S,
    mut outgoing: UnboundedReceiver<Outgoing>,
    ended: impl Future<Output = Ending>,
) {
    // However much is sent: whoever only listens is known to be there by its pongs alone.
    let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let writing = async {
        loop {
            let (message, _held) = tokio::select! {
                biased;
                _ = pings.tick() => (Message::Ping(Bytes::new()), None),
                Some(Outgoing { frame, held }) = outgoing.recv() => (message_of(frame), Some(held)),
            };
            let sending = async {
                sink.feed(message).await?;
                // Flushed once for all that wait, so that small messages share a packet.
                if outgoing.is_empty() { sink.flush().await } else { Ok(()) }
            };
            if !matches!(timeout(SEND_WAIT_MAX, sending).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        (code, reason) = ended => {
            let frame = CloseFrame { code, reason: reason.into() };
            // Said if it can be: the client may be gone, or not reading.
            let _ = timeout(CLOSE_WAIT_MAX, sink.send(Message::Close(Some(frame)))).await;
        }
        () = writing => {}
    }
}

fn message_of(frame: Frame) -> Message {
    let text = frame.into_text();
    debug_assert!(std::str::from_utf8(&text).is_ok(), "composed of texts");
    // A frame, and not a text, because that would be checked for being one once more.
    Message::Frame(SocketFrame::message(text, OpCode::Data(Data::Text), true))
}

/// Answers messages until the client leaves or breaks the rules.
async fn read(shared: Arc<Shared>, reader: Arc<Reader>, mut stream: SplitStream<Socket>) -> Ending {
    loop {
        match timeout(SILENCE_MAX, stream.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => answer(&shared, &reader, &text).await,
            Ok(Some(Ok(Message::Binary(_)))) => {
                let refusal = Refusal::Notice("unsupported: binary messages");
                reader.queue.send(Frame::whole(refusal.answer())).await;
            }
            // Pings are answered below us, by the socket.
            Ok(Some(Ok(_other))) => {}
            Ok(Some(Err(SocketError::Capacity(CapacityError::MessageTooLong { .. })))) => {
                return (CloseCode::Size, "the message is too large");
            }
            Ok(Some(Err(_)) | None) => return (CloseCode::Normal, ""),
            Err(_elapsed) => return (CloseCode::Away, "silent for too long"),
        }
    }
}

async fn answer(shared: &Arc<Shared>, reader: &Reader, text: &Utf8Bytes) {
    let answer = match ClientMessage::parse(text) {
        Ok(ClientMessage::Event(event, raw)) => publish(shared, *event, part(text.as_ref(), raw)).await,
        Ok(ClientMessage::Request(name, filters)) => return subscribe(shared, reader, name, filters).await,
        Ok(ClientMessage::Close(name)) => return reader.unsubscribe(&name),
        Err(refusal) => refusal.answer(),
    };
    // A client that does not read its answers waits here for itself.
    reader.queue.send(Frame::whole(answer)).await;
}

/// A part of a message. It keeps no more in memory than twice its length, which is what is counted of it: a short one would
/// keep the buffer that it was read into, or the blanks around it.
fn part(message: &Bytes, part: &str) -> Bytes {
    if part.len() < READ_BUFFER_LEN / 2 || part.len() < message.len() / 2 {
        return Bytes::copy_from_slice(part.as_bytes());
    }
    message.slice_ref(part.as_bytes())
}

/// Verifies, keeps and forwards an event. The answer is its OK.
async fn publish(shared: &Arc<Shared>, event: Unverified<'_>, text: Bytes) -> String {
    let id = event.id();
    // The one verification. Whoever reads verifies again, because nobody trusts a relay.
    let Some(event) = event.verified() else {
        return message::ok(&id, false, "invalid: id or signature does not verify");
    };
    shared.published_count.fetch_add(1, Ordering::Relaxed);
    if !event.kind().is_ephemeral() {
        let (shared, event, text) = (shared.clone(), event.envelope().clone(), text.clone());
        let kept = tokio::task::spawn_blocking(move || shared.storage.keep(event, text)).await;
        match kept.unwrap_or(Kept::Failed) {
            Kept::New => {}
            Kept::Again => return message::ok(&id, true, "duplicate: it is kept already"),
            Kept::Older => return message::ok(&id, false, "replaced: a newer one is kept"),
            Kept::Full => return message::ok(&id, false, "error: the relay is full"),
            Kept::TooLarge => return message::ok(&id, false, "invalid: too large to be kept"),
            Kept::Failed => return message::ok(&id, false, "error: cannot be kept"),
        }
    }
    shared.fanout.publish(&event, &text).await;
    message::ok(&id, true, "")
}

/// Listens first and looks up then, so that nothing falls between the two.
async fn subscribe(shared: &Shared, reader: &Reader, name: String, filters: Vec<Filter>) {
    if !reader.subscribe(name.clone(), filters.clone()) {
        let text = message::closed(&name, "error: too many subscriptions");
        return reader.queue.send(Frame::whole(text)).await;
    }
    for filter in filters.iter().filter(|filter| filter.limit != Some(0)) {
        for text in shared.storage.query(filter) {
            reader.queue.send(Frame::with_event(message::event_head(&name), text)).await;
        }
    }
    reader.queue.send(Frame::whole(message::end_of_stored(&name))).await;
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::sink::unfold;
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;
    use crate::relay::queue::SharedRoom;

    #[test]
    fn part_keeps_no_message_in_memory_that_is_much_longer() {
        for (before, len, is_copy) in [
            (0, 100, true),
            (READ_BUFFER_LEN * 2, READ_BUFFER_LEN, true),
            (20, READ_BUFFER_LEN / 2 - 1, true),
            (20, READ_BUFFER_LEN / 2, false),
        ] {
            let message = Bytes::from(" ".repeat(before) + &"x".repeat(len));
            let text = std::str::from_utf8(&message[before..]).unwrap();
            let part = part(&message, text);
            assert_eq!(part, text);
            assert_eq!(message.is_unique(), is_copy, "{len} bytes after {before}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_are_sent_much_are_pinged_like_others() {
        let (sender, mut written) = mpsc::unbounded_channel();
        let sink = Box::pin(unfold(sender, |sender, message: Message| async {
            sender.send(message)?;
            Ok::<_, mpsc::error::SendError<Message>>(sender)
        }));
        let (queue, outgoing) = ReaderQueue::channel(&SharedRoom::new());
        let talking = async {
            for _ in 0..20 {
                sleep(PING_INTERVAL / 6).await;
                queue.send(Frame::whole("words".to_owned())).await;
            }
        };
        tokio::select! {
            () = write(sink, outgoing, pending()) => unreachable!(),
            () = talking => {}
        }
        let written: Vec<_> = std::iter::from_fn(|| written.try_recv().ok()).collect();
        let pings = written.iter().filter(|message| message.is_ping()).count();
        assert_eq!((pings, written.len() - pings >= 19), (3, true), "{written:?}");
        assert_eq!(queue.len(), 0, "what is written takes no room");
    }
}
