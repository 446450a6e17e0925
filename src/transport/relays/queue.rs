//! The send queue of a session, bounded in bytes: whoever publishes faster than the relay takes waits here.

use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::types::limits::RELAY_QUEUE_LEN_MAX;

/// One message on its way; it holds its room in the queue until it is written.
pub(super) struct Outgoing {
    pub(super) message: Message,
    _room: Option<OwnedSemaphorePermit>,
}

/// The end that is written to. Clones are the same queue.
#[derive(Clone)]
pub(super) struct SendQueue {
    sender: UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
}

/// Why a message did not get into a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueError {
    /// There is no room now.
    Full,
    /// The session is over.
    Closed,
}

impl SendQueue {
    /// A queue, as its two ends.
    pub(super) fn channel() -> (Self, UnboundedReceiver<Outgoing>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(RELAY_QUEUE_LEN_MAX as usize)) }, receiver)
    }

    /// Waits for room, then queues.
    pub(super) async fn send(&self, text: Utf8Bytes) -> Result<(), QueueError> {
        let room = self.room.clone().acquire_many_owned(room_for(&text)).await;
        self.push(Message::Text(text), Some(room.map_err(|_closed| QueueError::Closed)?))
    }

    /// Queues if there is room now.
    pub(super) fn try_send(&self, text: Utf8Bytes) -> Result<(), QueueError> {
        match self.room.clone().try_acquire_many_owned(room_for(&text)) {
            Ok(room) => self.push(Message::Text(text), Some(room)),
            Err(TryAcquireError::NoPermits) => Err(QueueError::Full),
            Err(TryAcquireError::Closed) => Err(QueueError::Closed),
        }
    }

    /// Queues a small message of ours (REQ, CLOSE) without waiting; their number is bounded by our own subscriptions.
    pub(super) fn send_control(&self, text: String) {
        // A session that is over needs none.
        let _ = self.push(Message::Text(text.into()), None);
    }

    /// Queues a ping.
    pub(super) fn ping(&self) {
        let _ = self.push(Message::Ping(Vec::new().into()), None);
    }

    /// Ends all waiting for room; what is queued is lost.
    pub(super) fn close(&self) {
        self.room.close();
    }

    fn push(&self, message: Message, room: Option<OwnedSemaphorePermit>) -> Result<(), QueueError> {
        self.sender.send(Outgoing { message, _room: room }).map_err(|_closed| QueueError::Closed)
    }
}

/// A message that is larger than the queue has the queue for itself.
fn room_for(text: &Utf8Bytes) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX).min(RELAY_QUEUE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: u32) -> Utf8Bytes {
        "x".repeat(len as usize).into()
    }

    #[tokio::test]
    async fn queue_is_bounded_in_bytes_and_has_room_again_once_written() {
        let (queue, mut receiver) = SendQueue::channel();
        queue.send(text(RELAY_QUEUE_LEN_MAX - 10)).await.unwrap();
        assert_eq!(queue.try_send(text(11)), Err(QueueError::Full));
        queue.try_send(text(10)).unwrap();
        queue.send_control("small".into());
        drop(receiver.recv().await.unwrap());
        queue.try_send(text(11)).unwrap();
    }

    #[tokio::test]
    async fn message_larger_than_the_queue_passes_alone() {
        let (queue, mut receiver) = SendQueue::channel();
        queue.send(text(RELAY_QUEUE_LEN_MAX + 1)).await.unwrap();
        assert_eq!(queue.try_send(text(1)), Err(QueueError::Full));
        drop(receiver.recv().await.unwrap());
        queue.try_send(text(1)).unwrap();
    }

    #[tokio::test]
    async fn closing_ends_the_waiting() {
        let (queue, _receiver) = SendQueue::channel();
        queue.send(text(RELAY_QUEUE_LEN_MAX)).await.unwrap();
        let waiting = queue.clone();
        let waiter = tokio::spawn(async move { waiting.send(text(1)).await });
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(waiter.await.unwrap(), Err(QueueError::Closed));
    }
}
