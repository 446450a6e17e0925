//! The two ends of a connection: a bounded queue of what goes out, and one message after the other of what comes in.

use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::transport::direct::DirectError;
use crate::transport::direct::intake::{Intake, Room, Unfit, Verdict};
use crate::transport::direct::noise::Channel;
use crate::transport::direct::record::{Cutting, Joining, Opener, RECORD_LEN_MAX, Sealer, TAG_LEN};
use crate::types::limits::{DIRECT_QUEUE_COUNT_MAX, DIRECT_RATE_MIN, DIRECT_STALL_MAX, DIRECT_TEXT_LEN_MAX};
use crate::wire::direct::{Beginning, Encoded};
use crate::wire::{DirectId, DirectMessage};

/// Messages up to this length go before longer ones,
const SHORT_LEN_MAX: usize = 16 * 1024;
/// but no more than so many in a row: what is long holds room until it has left.
const SHORT_COUNT_MAX: usize = 8;
/// Bytes before the text of a message: type, id, time.
const HEAD_LEN_MAX: usize = 1 + 4 + 8;

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
    /// What is short, and goes before the rest.
    short: mpsc::Sender<Parcel>,
    long: mpsc::Sender<Parcel>,
}

/// Gives the messages that come in. The connection ends when this is dropped.
pub struct Inbox {
    records: Records,
    opener: Opener,
    /// Decides over messages with blobs; without one none are taken.
    intake: Option<Intake>,
    /// The rest of a message that is not taken in.
    passed_over: Option<PassedOver>,
    /// Writes what goes out.
    writer: JoinSet<()>,
}

/// What has come in.
pub enum Received {
    /// A message.
    Message {
        /// The message.
        message: DirectMessage,
        /// The room that its bytes take, until this is dropped.
        held: Room,
    },
    /// The beginning of a message that is not taken in. Its other bytes are read and forgotten.
    PassedOver {
        /// The question, or the one that it answers.
        id: DirectId,
        /// Why it is not taken in.
        why: Unfit,
    },
}

/// The rest of a message that is not taken in.
struct PassedOver {
    /// Bytes that are still to come.
    len: usize,
    until: Instant,
}

/// What is let go when a message has been written, or cannot be any more: its room in memory, its place among others.
pub type Held = Option<Box<dyn Send>>;

/// A message on its way out.
struct Parcel {
    message: Encoded,
    held: Held,
    /// It is not sent once this has ended.
    wanted: Option<Weak<()>>,
}

/// Bytes that stand before a WebSocket message (RFC 6455 §5.2).
const FRAME_HEAD_LEN_MAX: usize = 14;

/// What waits to be written.
struct Waiting {
    short: mpsc::Receiver<Parcel>,
    long: mpsc::Receiver<Parcel>,
    /// Short ones since the last long one.
    short_count: usize,
}

type Records = Pin<Box<dyn Stream<Item = Result<Message, SocketError>> + Send>>;

/// How WebSockets of the direct path are set up: no message is longer than a record, and no more is read at a time,
/// because tungstenite writes zeros over what it reads into.
pub(super) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(RECORD_LEN_MAX + FRAME_HEAD_LEN_MAX)
        .max_message_size(Some(RECORD_LEN_MAX))
        .max_frame_size(Some(RECORD_LEN_MAX))
        .max_write_buffer_size(8 * RECORD_LEN_MAX)
}

impl DirectConnection {
    /// Begins after the handshake; `intake` decides over messages with blobs.
    pub(super) fn new<S>(socket: WebSocketStream<S>, channel: Channel, intake: Option<Intake>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sealer, opener) = channel;
        let (sink, stream) = socket.split();
        let [(short, short_waiting), (long, long_waiting)] = [DIRECT_QUEUE_COUNT_MAX; 2].map(mpsc::channel);
        let mut writer = JoinSet::new();
        let waiting = Waiting { short: short_waiting, long: long_waiting, short_count: 0 };
        writer.spawn(write(sink, sealer, waiting));
        let inbox = Inbox { records: Box::pin(stream), opener, intake, passed_over: None, writer };
        Self { outbox: Outbox { short, long }, inbox }
    }
}

impl Outbox {
    /// Puts a message into the queue, waiting for room there. `held` is let go when it has been written.
    ///
    /// # Errors
    /// The connection has ended. Success says nothing about delivery.
    pub async fn send(&self, message: DirectMessage, held: Held) -> Result<(), DirectError> {
        self.enqueue(Parcel { message: message.encode(), held, wanted: None }).await
    }

    /// As [`send`](Self::send), unless `wanted` ends before the message is begun.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send_while(&self, message: DirectMessage, wanted: Weak<()>) -> Result<(), DirectError> {
        self.enqueue(Parcel { message: message.encode(), held: None, wanted: Some(wanted) }).await
    }

    /// Whoever waits for a short answer does not wait for what is long.
    async fn enqueue(&self, parcel: Parcel) -> Result<(), DirectError> {
        let queue = if parcel.message.len() <= SHORT_LEN_MAX { &self.short } else { &self.long };
        queue.send(parcel).await.map_err(|_| DirectError::Broken)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.short.is_closed()
    }
}

impl Parcel {
    fn is_wanted(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.strong_count() > 0)
    }
}

impl Waiting {
    /// What goes next; `None` when nobody is left to queue anything.
    async fn next(&mut self) -> Option<Parcel> {
        if self.short_count >= SHORT_COUNT_MAX
            && let Ok(parcel) = self.long.try_recv()
        {
            self.short_count = 0;
            return Some(parcel);
        }
        tokio::select! {
            biased;
            Some(parcel) = self.short.recv() => {
                self.short_count += 1;
                Some(parcel)
            }
            Some(parcel) = self.long.recv() => {
                self.short_count = 0;
                Some(parcel)
            }
            else => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }
}

impl Inbox {
    /// Messages with blobs are decided over by `intake` from now on.
    pub fn set_intake(&mut self, intake: Intake) {
        self.intake = Some(intake);
    }

    /// The next message, if its first record comes within `idle`. Not to be dropped before it is there.
    ///
    /// # Errors
    /// [`DirectError::Silent`] if none came: it may be asked again. Everything else ends the connection.
    pub async fn next(&mut self, idle: Duration) -> Result<Received, DirectError> {
        self.pass_over().await?;
        let first = match timeout(idle, self.record()).await {
            Ok(record) => record?,
            Err(_elapsed) => return Err(DirectError::Silent),
        };
        let mut plain = Vec::with_capacity(first.len());
        self.opener.open_onto(&first, &mut plain)?;
        drop(first);
        let joining = Joining::begin(plain)?;
        if joining.is_complete() {
            let message = DirectMessage::decode(joining.into_bytes())?;
            return Ok(Received::Message { message, held: Room::new() });
        }
        let beginning = Beginning::read(joining.so_far(), joining.len());
        let held = match self.admit(&joining, beginning.as_ref()).await? {
            Ok(held) => held,
            Err(passed_over) => return Ok(passed_over),
        };
        let bytes = timeout(age_max(joining.len()), self.join(joining, beginning.as_ref())).await;
        let bytes = bytes.map_err(|_elapsed| DirectError::Broken)??;
        Ok(Received::Message { message: DirectMessage::decode(bytes)?, held })
    }

    /// Room for a message of several records, of which the first is here; else what becomes of it.
    async fn admit(
        &mut self,
        joining: &Joining,
        beginning: Option<&Beginning>,
    ) -> Result<Result<Room, Received>, DirectError> {
        let wrong = |why: &str| DirectError::Message { why: why.to_owned() };
        let Some(beginning) = beginning else {
            // One at a time on each connection, so it needs no room of its own.
            let is_short = joining.len() <= DIRECT_TEXT_LEN_MAX + HEAD_LEN_MAX;
            return if is_short { Ok(Ok(Room::new())) } else { Err(wrong("its text is too long")) };
        };
        let admitted = match &self.intake {
            Some(intake) => intake.admit(beginning).await,
            None => Err(Verdict::End),
        };
        match admitted {
            Ok(held) => Ok(Ok(held)),
            Err(Verdict::PassOver(why)) => {
                let len = joining.len() - joining.so_far().len();
                self.passed_over = Some(PassedOver { len, until: Instant::now() + age_max(len) });
                Ok(Err(Received::PassedOver { id: beginning.id(), why }))
            }
            Err(_) => Err(wrong("nobody asked for it")),
        }
    }

    /// Reads and forgets the rest of a message that was not taken in.
    async fn pass_over(&mut self) -> Result<(), DirectError> {
        let Some(PassedOver { mut len, until }) = self.passed_over.take() else { return Ok(()) };
        let mut plain = Vec::new();
        while len > 0 {
            let at_latest = until.min(Instant::now() + DIRECT_STALL_MAX);
            let record = timeout_at(at_latest, self.record()).await.map_err(|_| DirectError::Broken)??;
            plain.clear();
            self.opener.open_onto(&record, &mut plain)?;
            if plain.len() != len.min(RECORD_LEN_MAX - TAG_LEN) {
                return Err(DirectError::Message { why: "a record of another length".to_owned() });
            }
            len -= plain.len();
        }
        Ok(())
    }

    /// Waits until what was queued is written, once nobody is left to queue anything.
    pub async fn written(mut self) {
        // Whether it was taken is for the other side to say.
        let _ = self.writer.join_next().await;
    }

    async fn join(
        &mut self,
        mut joining: Joining,
        beginning: Option<&Beginning>,
    ) -> Result<Bytes, DirectError> {
        while !joining.is_complete() {
            let record =
                timeout(DIRECT_STALL_MAX, self.record()).await.map_err(|_| DirectError::Broken)??;
            joining.add(&record, &mut self.opener)?;
            if let Some(intake) = &self.intake {
                intake.judge.moved(beginning);
            }
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

/// How long a message of `len` bytes may take: room that is set aside for it must not be held for nothing.
fn age_max(len: usize) -> Duration {
    DIRECT_STALL_MAX + Duration::from_secs((len / DIRECT_RATE_MIN) as u64)
}

/// Writes what is queued until the other side takes nothing any more, or nobody is left to queue anything.
async fn write<S>(mut sink: SplitSink<WebSocketStream<S>, Message>, mut sealer: Sealer, mut waiting: Waiting)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(parcel) = waiting.next().await {
        if parcel.is_wanted() {
            let Parcel { message, held, .. } = parcel;
            // Whoever reads slowly must not hold for long the room that the message takes.
            let age_max = age_max(message.len());
            if !matches!(timeout(age_max, write_one(&mut sink, &mut sealer, message)).await, Ok(true)) {
                return;
            }
            drop(held);
        }
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
