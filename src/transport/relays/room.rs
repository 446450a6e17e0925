//! The events that wait for a relay's socket, and their room in bytes: whoever publishes faster than the relay takes waits
//! here. The SDK's own queue takes 1,024 batches of any length, refuses more and cannot be waited for; and it would encode
//! an event by way of copies. So what goes through it for an event is a ticket, which its socket exchanges here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::types::limits::RELAY_QUEUE_LEN_MAX;

/// What a small event takes, so that no more than half of the SDK's queue is ever events.
const PLACE_LEN_MIN: u32 = RELAY_QUEUE_LEN_MAX / 512;

/// The room of one connection.
pub(super) struct Room {
    free: Arc<Semaphore>,
    /// The events that the socket has not taken yet, as messages, each with its place.
    waiting: Mutex<VecDeque<(Place, Utf8Bytes)>>,
}

/// The room that one event takes.
pub(super) type Place = OwnedSemaphorePermit;

/// Why an event did not get into a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueError {
    /// There is no room now.
    Full,
    /// The session is over.
    Closed,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(RELAY_QUEUE_LEN_MAX as usize)), waiting: Mutex::default() }
    }

    /// Waits for room for a message of `len` bytes.
    pub(super) async fn place(&self, len: usize) -> Result<Place, QueueError> {
        let place = self.free.clone().acquire_many_owned(place_len(len)).await;
        place.map_err(|_closed| QueueError::Closed)
    }

    /// Room for a message of `len` bytes, if there is some now.
    pub(super) fn try_place(&self, len: usize) -> Result<Place, QueueError> {
        self.free.clone().try_acquire_many_owned(place_len(len)).map_err(|error| match error {
            TryAcquireError::NoPermits => QueueError::Full,
            TryAcquireError::Closed => QueueError::Closed,
        })
    }

    /// Queues an event's message, whose ticket is sent by `send`; its place is free again once the socket has taken it, or
    /// if `send` fails.
    pub(super) fn hold(
        &self,
        place: Place,
        message: Utf8Bytes,
        send: impl FnOnce() -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        // Locked until both queues have it, so that they stand in the same order.
        let mut waiting = self.waiting();
        waiting.push_back((place, message));
        send().inspect_err(|_failed| drop(waiting.pop_back()))
    }

    /// The next message, for a ticket: the socket takes it.
    pub(super) fn take(&self) -> Option<Utf8Bytes> {
        self.waiting().pop_front().map(|(_place, message)| message)
    }

    /// Ends all waiting for room.
    pub(super) fn close(&self) {
        self.free.close();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Place, Utf8Bytes)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that is larger than the queue has the queue for itself.
fn place_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX).clamp(PLACE_LEN_MIN, RELAY_QUEUE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = RELAY_QUEUE_LEN_MAX as usize;

    fn queue(room: &Room, len: usize) -> Result<(), QueueError> {
        room.hold(room.try_place(len)?, len.to_string().into(), || Ok(()))
    }

    #[test]
    fn queue_is_bounded_in_bytes_and_has_room_again_once_the_socket_took_an_event() {
        let room = Room::new();
        queue(&room, ALL - 10_000).unwrap();
        assert_eq!(queue(&room, 10_001), Err(QueueError::Full));
        queue(&room, 10_000).unwrap();
        assert_eq!(room.take(), Some((ALL - 10_000).to_string().into()));
        queue(&room, 10_001).unwrap();
        assert_eq!(
            [room.take(), room.take(), room.take()],
            [Some("10000".into()), Some("10001".into()), None]
        );
    }

    #[test]
    fn small_events_leave_half_of_the_queue_of_the_sdk_free() {
        let room = Room::new();
        for _ in 0..512 {
            queue(&room, 1).unwrap();
        }
        assert_eq!(queue(&room, 1), Err(QueueError::Full));
    }

    #[test]
    fn event_larger_than_the_queue_passes_alone() {
        let room = Room::new();
        queue(&room, ALL + 1).unwrap();
        assert_eq!(queue(&room, 1), Err(QueueError::Full));
        room.take().unwrap();
        queue(&room, 1).unwrap();
    }

    #[test]
    fn event_that_could_not_be_queued_takes_no_room() {
        let room = Room::new();
        let refused = room.hold(room.try_place(ALL).unwrap(), Utf8Bytes::default(), || Err(QueueError::Full));
        assert_eq!(refused, Err(QueueError::Full));
        assert_eq!(room.take(), None);
        queue(&room, ALL).unwrap();
    }

    #[tokio::test]
    async fn closing_ends_the_waiting() {
        let room = Arc::new(Room::new());
        queue(&room, ALL).unwrap();
        let waiting = room.clone();
        let waiter = tokio::spawn(async move { waiting.place(1).await.map(drop) });
        tokio::task::yield_now().await;
        room.close();
        assert_eq!(waiter.await.unwrap(), Err(QueueError::Closed));
    }
}
