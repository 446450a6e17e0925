//! One connection to a relay after the other: connect, listen, maintain; wait; connect again.

use std::sync::Arc;
use std::time::Duration;

use nostr::ClientMessage;
use nostr_sdk::pool::RelayNotification;
use nostr_sdk::pool::relay::{
    Error as RelayError, RelayLimits, limits::RelayEventLimits, limits::RelayMessageLimits,
};
use nostr_sdk::{Relay, RelayOptions, RelayPool, RelayStatus};
use rand::Rng;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::link::Link;
use super::room::{Place, QueueError, Room};
use super::socket;
use crate::env::Env;
use crate::types::limits::{EVENT_TAG_COUNT_MAX, MESSAGE_LEN_MAX, NOTICE_COUNT_MAX};

/// How long one attempt to connect may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// The wait before the next attempt starts here and doubles up to the largest.
const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(250);
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(30);
/// A session that lasted this long was a good one: the waiting starts small again.
const GOOD_SESSION_MIN: Duration = Duration::from_secs(10);
/// How long to wait when the SDK's queue is full of other things than events.
const QUEUE_WAIT: Duration = Duration::from_millis(20);

/// The sending side of one connection. Clones are the same.
#[derive(Clone)]
pub(super) struct Session {
    relay: Relay,
    room: Arc<Room>,
}

impl Session {
    /// Waits for room, then queues the message that publishes an event.
    pub(super) async fn send(&self, message: &Utf8Bytes) -> Result<(), QueueError> {
        loop {
            let place = self.room.place(message.len()).await?;
            match self.queue(message, place) {
                Err(QueueError::Full) => sleep(QUEUE_WAIT).await,
                done => return done,
            }
        }
    }

    /// Queues the message if there is room now.
    pub(super) fn try_send(&self, message: &Utf8Bytes) -> Result<(), QueueError> {
        self.queue(message, self.room.try_place(message.len())?)
    }

    /// Queues a small message (REQ, CLOSE) without waiting. Whether it got there.
    pub(super) fn send_control(&self, message: ClientMessage<'_>) -> bool {
        self.relay.send_msg(message).is_ok()
    }

    /// Ends the connection and all waiting for room; what is queued is lost.
    pub(super) fn close(&self) {
        self.room.close();
        self.relay.disconnect();
    }

    fn queue(&self, message: &Utf8Bytes, place: Place) -> Result<(), QueueError> {
        // Without the SDK's waiting for an OK, which many relays never send for ephemeral events.
        self.room.hold(place, message.clone(), || {
            self.relay.send_msg(socket::ticket()).map_err(|error| match error {
                RelayError::CantSendChannelMessage { .. } => QueueError::Full,
                _ => QueueError::Closed,
            })
        })
    }
}

/// Keeps a link connected, for ever. Ends when the task is dropped.
pub(super) async fn run(pool: RelayPool, link: Arc<Link>, env: Env) {
    let mut wait = RECONNECT_WAIT_MIN;
    loop {
        match connect(&pool, &link).await {
            Ok((session, notifications)) => {
                tracing::debug!(relay = %link.url, "connected");
                let started = Instant::now();
                link.connected(session.clone());
                listen(&link, &session.relay, notifications).await;
                tracing::warn!(relay = %link.url, "disconnected");
                link.disconnected("the connection was lost".to_owned());
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

/// Connects once, or says why not. The SDK runs the connection until it ends or the session is closed.
async fn connect(pool: &RelayPool, link: &Link) -> Result<(Session, Receiver<RelayNotification>), String> {
    // A new one each time: the queue of the former would be sent late, and its room could not be counted.
    let _ = pool.force_remove_relay(&link.url).await;
    pool.add_relay(&link.url, options()).await.map_err(|error| error.to_string())?;
    let relay = pool.relay(&link.url).await.map_err(|error| error.to_string())?;
    let notifications = relay.notifications();
    let room = link.fresh_room();
    relay.try_connect(CONNECT_WAIT_MAX).await.map_err(|error| error.to_string())?;
    Ok((Session { relay, room }, notifications))
}

/// The SDK's limits are 5 MiB, which would drop larger blobs without a word, and a count of tags of its own.
fn options() -> RelayOptions {
    let messages = RelayMessageLimits { max_size: u32::try_from(MESSAGE_LEN_MAX).ok() };
    let events = RelayEventLimits {
        max_num_tags: u16::try_from(EVENT_TAG_COUNT_MAX).ok(),
        ..RelayEventLimits::disable()
    };
    RelayOptions::new()
        .reconnect(false)
        .limits(RelayLimits { messages, events })
        .notification_channel_size(NOTICE_COUNT_MAX)
}

/// Takes what the relay says besides events, and asks again for what it may have forgotten, until the session ends.
async fn listen(link: &Link, relay: &Relay, mut notifications: Receiver<RelayNotification>) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            now = tick.tick() => {
                if relay.status() == RelayStatus::Terminated {
                    return;
                }
                link.maintain(now);
            }
            notification = notifications.recv() => match notification {
                Ok(RelayNotification::Message { message }) => link.receive(message),
                Ok(RelayNotification::RelayStatus { status: RelayStatus::Terminated }) | Err(RecvError::Closed) => return,
                Ok(_) => {}
                // Whoever waits for one of them reaches a deadline, and subscriptions are asked for again.
                Err(RecvError::Lagged(count)) => {
                    tracing::warn!(relay = %link.url, count, "a relay says more than can be heard");
                }
            },
        }
    }
}
