//! The two ends of a connection: a bounded queue of what goes out, and one message after the other of what comes in.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::transport::direct::DirectError;
use crate::transport::direct::noise::Channel;
use crate::transport::direct::record::{Cutting, Joining, Opener, RECORD_LEN_MAX, Sealer};
use crate::types::limits::{
    DIRECT_IDLE_MAX, DIRECT_MESSAGE_LEN_MAX, DIRECT_QUEUE_COUNT_MAX, DIRECT_RATE_MIN, DIRECT_STALL_MAX,
};
use crate::wire::DirectMessage;
use crate::wire::direct::Encoded;

/// A connection whose two sides know each other.
pub struct DirectConnection {
    /// What goes out.
    pub outbox: Outbox,
    /// What comes in.
    pub inbox: Inbox,
}

/// Takes messages that go out, from any number of tasks.
#[derive(Clone)]
pub struct Outbox {
    queue: mpsc::Sender<Parcel>,
}

/// Gives the messages that come in. The connection ends when this is dropped.
pub struct Inbox {
    records: Records,
    opener: Opener,
    /// Room for messages, where others share it.
    room: Option<Arc<Semaphore>>,
    /// Writes what goes out.
    writer: JoinSet<()>,
}

/// A message that has come in.
pub struct Received {
    /// The message.
    pub message: DirectMessage,
    /// The room that its bytes take, until this is dropped.
    pub held: Option<OwnedSemaphorePermit>,
}

/// What is let go when a message has been written, or cannot be any more: its room in memory, its place among others.
pub type Held = Option<Box<dyn Send>>;

/// A message on its way out.
struct Parcel {
    message: Encoded,
    held: Held,
}

type Records = Pin<Box<dyn Stream<Item = Result<Message, SocketError>> + Send>>;

/// How WebSockets of the direct path are set up: no message is longer than a record.
pub(super) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(RECORD_LEN_MAX))
        .max_frame_size(Some(RECORD_LEN_MAX))
        .max_write_buffer_size(8 * RECORD_LEN_MAX)
}

impl DirectConnection {
    /// Begins after the handshake; what comes in takes its room from `room`, where there is one.
    pub(super) fn new<S>(socket: WebSocketStream<S>, channel: Channel, room: Option<Arc<Semaphore>>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sealer, opener) = channel;
        let (sink, stream) = socket.split();
        let (queue, waiting) = mpsc::channel(DIRECT_QUEUE_COUNT_MAX);
        let mut writer = JoinSet::new();
        writer.spawn(write(sink, sealer, waiting));
        let inbox = Inbox { records: Box::pin(stream), opener, room, writer };
        Self { outbox: Outbox { queue }, inbox }
    }
}

impl Outbox {
    /// Puts a message into the queue, waiting for room there. `held` is let go when it has been written.
    ///
    /// # Errors
    /// The connection has ended. Success says nothing about delivery.
    pub async fn send(&self, message: DirectMessage, held: Held) -> Result<(), DirectError> {
        let parcel = Parcel { message: message.encode(), held };
        self.queue.send(parcel).await.map_err(|_| DirectError::Broken)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Inbox {
    /// The next message, if its first record comes within `idle`. Not to be dropped before it is there.
    ///
    /// # Errors
    /// [`DirectError::Silent`] if none came: it may be asked again. Everything else ends the connection.
    pub async fn next(&mut self, idle: Duration) -> Result<Received, DirectError> {
        let first = match timeout(idle, self.record()).await {
            Ok(record) => record?,
            Err(_elapsed) => return Err(DirectError::Silent),
        };
        let mut plain = Vec::with_capacity(first.len());
        self.opener.open_onto(&first, &mut plain)?;
        drop(first);
        let joining = Joining::begin(plain)?;
        if joining.is_complete() {
            return Ok(Received { message: DirectMessage::decode(joining.into_bytes())?, held: None });
        }
        let held = hold(self.room.as_ref(), joining.len()).await?;
        let bytes = timeout(age_max(joining.len()), self.join(joining)).await;
        let bytes = bytes.map_err(|_elapsed| DirectError::Broken)??;
        Ok(Received { message: DirectMessage::decode(bytes)?, held })
    }

    /// Waits until what was queued is written, once nobody is left to queue anything.
    pub async fn written(mut self) {
        // Whether it was taken is for the other side to say.
        let _ = self.writer.join_next().await;
    }

    async fn join(&mut self, mut joining: Joining) -> Result<Bytes, DirectError> {
        while !joining.is_complete() {
            let record =
                timeout(DIRECT_STALL_MAX, self.record()).await.map_err(|_| DirectError::Broken)??;
            joining.add(&record, &mut self.opener)?;
        }
        Ok(joining.into_bytes())
    }

    async fn record(&mut self) -> Result<Bytes, DirectError> {
        loop {
            let next = tokio::select! {
                biased;
                next = self.records.next() => next,
                _ended = self.writer.join_next() => return Err(DirectError::Broken),
            };
            match next {
                Some(Ok(Message::Binary(record))) => return Ok(record),
                // Answered by the socket, when something is written next.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(DirectError::Broken),
            }
        }
    }
}

/// Waits for room. Meanwhile nothing more is read from this connection, so that its other side waits too.
async fn hold(
    room: Option<&Arc<Semaphore>>,
    len: usize,
) -> Result<Option<OwnedSemaphorePermit>, DirectError> {
    let Some(room) = room else { return Ok(None) };
    let kib = u32::try_from(len.min(DIRECT_MESSAGE_LEN_MAX).div_ceil(1024)).unwrap_or(u32::MAX);
    let waiting = timeout(DIRECT_IDLE_MAX, room.clone().acquire_many_owned(kib)).await;
    waiting.ok().and_then(Result::ok).map(Some).ok_or(DirectError::Broken)
}

/// How long a message of `len` bytes may take: room that is set aside for it must not be held for nothing.
fn age_max(len: usize) -> Duration {
    DIRECT_STALL_MAX + Duration::from_secs((len / DIRECT_RATE_MIN) as u64)
}

/// Writes what is queued until the other side takes nothing any more, or nobody is left to queue anything.
async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut sealer: Sealer,
    mut waiting: mpsc::Receiver<Parcel>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Parcel { message, held }) = waiting.recv().await {
        // Whoever reads slowly must not hold for long the room that the message takes.
        let age_max = age_max(message.len());
        if !matches!(timeout(age_max, write_one(&mut sink, &mut sealer, message)).await, Ok(true)) {
            return;
        }
        drop(held);
        // Once for all that wait, so that small messages share a packet.
        if waiting.is_empty() && !is_taken(sink.flush()).await {
            return;
        }
    }
}

/// Writes one message; false if it is too long or not taken.
async fn write_one<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    sealer: &mut Sealer,
    message: Encoded,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut cutting) = Cutting::begin(message) else { return false };
    while let Some(sealed) = cutting.next(sealer) {
        let Ok(record) = sealed else { return false };
        if !is_taken(sink.feed(Message::Binary(record))).await {
            return false;
        }
    }
    true
}

async fn is_taken(sending: impl Future<Output = Result<(), SocketError>>) -> bool {
    matches!(timeout(DIRECT_STALL_MAX, sending).await, Ok(Ok(())))
}
