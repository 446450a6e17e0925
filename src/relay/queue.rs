//! What waits to be written to one client, bounded in bytes, and together with all others.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::types::limits::{READER_QUEUE_LEN_MAX, READER_QUEUES_LEN_MAX};

/// A message to a client: a head of its own, and the text of an event that all its readers share, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    head: String,
    event: Option<Bytes>,
}

impl Frame {
    /// A message that is complete.
    pub(super) fn whole(text: String) -> Self {
        Self { head: text, event: None }
    }

    /// A message that ends with an event, which is UTF-8, and a bracket.
    pub(super) fn with_event(head: String, event: Bytes) -> Self {
        Self { head, event: Some(event) }
    }

    /// The text that is sent.
    pub(super) fn into_text(self) -> Vec<u8> {
        let mut text = self.head.into_bytes();
        if let Some(event) = self.event {
            text.reserve_exact(event.len() + 1);
            text.extend_from_slice(&event);
            text.push(b']');
        }
        text
    }

    fn len(&self) -> usize {
        self.head.len() + self.event.as_ref().map_or(0, Bytes::len)
    }
}

/// Room in the queue and in that of all, until it is dropped.
pub(super) type Held = [OwnedSemaphorePermit; 2];

/// A frame on its way, and its room, which it holds until it is written.
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    pub(super) held: Held,
}

/// The room that all queues of a relay share.
#[derive(Clone)]
pub(super) struct SharedRoom(Arc<Semaphore>);

impl SharedRoom {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(READER_QUEUES_LEN_MAX as usize)))
    }
}

/// The end that is written to.
pub(super) struct ReaderQueue {
    sender: UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
    shared_room: Arc<Semaphore>,
}

/// A queue has no room now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl ReaderQueue {
    /// A queue, as its two ends.
    pub(super) fn channel(shared: &SharedRoom) -> (Self, UnboundedReceiver<Outgoing>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(READER_QUEUE_LEN_MAX as usize));
        (Self { sender, room, shared_room: shared.0.clone() }, receiver)
    }

    /// Queues if there is room now. A frame for a client that is gone is gone too.
    pub(super) fn try_send(&self, frame: Frame) -> Result<(), Full> {
        let len = room_for(&frame);
        let own = self.room.clone().try_acquire_many_owned(len);
        let shared = self.shared_room.clone().try_acquire_many_owned(len);
        match (own, shared) {
            (Ok(own), Ok(shared)) => self.push(frame, [own, shared]),
            (Err(TryAcquireError::Closed), _) => {}
            _ => return Err(Full),
        }
        Ok(())
    }

    /// Waits for room, then queues.
    pub(super) async fn send(&self, frame: Frame) {
        let len = room_for(&frame);
        // The shared room last, so that nobody holds some of it while waiting for a slow reader.
        if let Ok(own) = self.room.clone().acquire_many_owned(len).await
            && let Ok(shared) = self.shared_room.clone().acquire_many_owned(len).await
        {
            self.push(frame, [own, shared]);
        }
    }

    /// Whether it is this queue that has no room for the frame, not the room that all share.
    pub(super) fn lacks_room(&self, frame: &Frame) -> bool {
        self.room.available_permits() < room_for(frame) as usize
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        READER_QUEUE_LEN_MAX as usize - self.room.available_permits()
    }

    /// Whoever waits for room is let go; what is queued is not written.
    pub(super) fn close(&self) {
        self.room.close();
    }

    fn push(&self, frame: Frame, held: Held) {
        // Fails when the client is gone: then so is the frame.
        let _ = self.sender.send(Outgoing { frame, held });
    }
}

/// A frame that is larger than the queue has the queue for itself.
fn room_for(frame: &Frame) -> u32 {
    u32::try_from(frame.len()).unwrap_or(u32::MAX).min(READER_QUEUE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: u32) -> Frame {
        Frame::whole("x".repeat(len as usize))
    }

    #[tokio::test]
    async fn queue_is_bounded_in_bytes() {
        let (queue, mut receiver) = ReaderQueue::channel(&SharedRoom::new());
        queue.try_send(frame(READER_QUEUE_LEN_MAX)).unwrap();
        assert_eq!(queue.try_send(frame(1)), Err(Full));
        assert_eq!(queue.len(), READER_QUEUE_LEN_MAX as usize);
        drop(receiver.recv().await);
        queue.try_send(frame(READER_QUEUE_LEN_MAX + 1)).unwrap();
    }

    #[tokio::test]
    async fn all_queues_together_are_bounded_in_bytes() {
        let shared = SharedRoom::new();
        let mut queues = Vec::new();
        let mut taken: u64 = 0;
        loop {
            let (queue, receiver) = ReaderQueue::channel(&shared);
            let is_taken = queue.try_send(frame(READER_QUEUE_LEN_MAX)).is_ok();
            queues.push((queue, receiver));
            if !is_taken {
                break;
            }
            taken += u64::from(READER_QUEUE_LEN_MAX);
        }
        assert!(taken <= u64::from(READER_QUEUES_LEN_MAX));
        assert_eq!(queues.last().unwrap().0.len(), 0, "what was not queued holds no room");
    }

    #[tokio::test]
    async fn closing_ends_the_waiting() {
        let (queue, _receiver) = ReaderQueue::channel(&SharedRoom::new());
        queue.send(frame(READER_QUEUE_LEN_MAX)).await;
        let queue = Arc::new(queue);
        let waiting = queue.clone();
        let waiter = tokio::spawn(async move { waiting.send(frame(1)).await });
        tokio::task::yield_now().await;
        queue.close();
        waiter.await.unwrap();
        queue.try_send(frame(1)).unwrap();
    }

    #[test]
    fn frame_ends_with_its_event() {
        let frame = Frame::with_event(r#"["EVENT","a","#.into(), Bytes::from_static(b"{}"));
        assert_eq!(frame.into_text(), br#"["EVENT","a",{}]"#);
    }
}
