//! One connection to a relay after the other: connect, read, write, ping; wait; connect again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::link::Link;
use super::message::RelayMessage;
use super::queue::{Outgoing, SendQueue};
use super::socket::{self, Socket};
use crate::env::Env;

/// How long one attempt to connect may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a relay may refuse to take one message off the socket.
const SEND_WAIT_MAX: Duration = Duration::from_secs(20);
/// How often the relay is pinged, and how long nothing may come from it before it counts as gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// The wait before the next attempt starts here and doubles up to the largest.
const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(30);
/// A session that lasted this long was a good one: the waiting starts small again.
const GOOD_SESSION_MIN: Duration = Duration::from_secs(10);

/// Keeps a link connected, for ever. Ends when the task is dropped.
pub(super) async fn run(link: Arc<Link>, env: Env) {
    let mut wait = RECONNECT_WAIT_MIN;
    loop {
        match socket::connect(&link.url, CONNECT_WAIT_MAX).await {
            Ok(socket) => {
                tracing::debug!(relay = %link.url, "connected");
                let started = Instant::now();
                let trouble = session(&link, socket).await;
                tracing::warn!(relay = %link.url, trouble, "disconnected");
                link.disconnected(trouble);
                if started.elapsed() >= GOOD_SESSION_MIN {
                    wait = RECONNECT_WAIT_MIN;
                }
            }
            Err(trouble) => {
                tracing::debug!(relay = %link.url, trouble, "cannot connect");
                link.disconnected(trouble);
            }
        }
        let jitter = env.rng().random_range(0.5..1.5);
        sleep(wait.mul_f64(jitter)).await;
        wait = (wait * 2).min(RECONNECT_WAIT_MAX);
    }
}

/// Runs one session to its end, and says why it ended.
async fn session(link: &Arc<Link>, socket: Socket) -> String {
    let (sink, stream) = socket.split();
    let (queue, outgoing) = SendQueue::channel();
    link.connected(queue.clone());
    // Reading verifies signatures; writing goes on meanwhile on another core.
    let mut tasks = JoinSet::new();
    tasks.spawn(write(sink, outgoing));
    tasks.spawn(read(link.clone(), stream));
    tasks.spawn(maintain(link.clone(), queue.clone()));
    let trouble = tasks.join_next().await.and_then(Result::ok).unwrap_or_default();
    queue.close();
    trouble
}

/// Asks again for what the relay may have forgotten, and pings it. Never ends.
async fn maintain(link: Arc<Link>, queue: SendQueue) -> String {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ping_at = Instant::now() + PING_INTERVAL;
    loop {
        let now = tick.tick().await;
        link.maintain(now);
        if now >= ping_at {
            queue.ping();
            ping_at = now + PING_INTERVAL;
        }
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut outgoing: UnboundedReceiver<Outgoing>) -> String {
    while let Some(next) = outgoing.recv().await {
        let sending = async {
            sink.feed(next.message).await?;
            // Flushed once for all that wait, so that small messages share a packet.
            if outgoing.is_empty() { sink.flush().await } else { Ok(()) }
        };
        match timeout(SEND_WAIT_MAX, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_elapsed) => return format!("the relay takes nothing for {} s", SEND_WAIT_MAX.as_secs()),
        }
    }
    "closed".to_owned()
}

async fn read(link: Arc<Link>, mut stream: SplitStream<Socket>) -> String {
    loop {
        match timeout(SILENCE_MAX, stream.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => match RelayMessage::parse(&text) {
                Some(message) => link.receive(message),
                None => tracing::debug!(relay = %link.url, len = text.len(), "malformed message of a relay"),
            },
            // Pings are answered below us, by the socket.
            Ok(Some(Ok(_other))) => {}
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(None) => return "the relay closed the connection".to_owned(),
            Err(_elapsed) => return format!("the relay is silent for {} s", SILENCE_MAX.as_secs()),
        }
    }
}
