//! The room in a relay's send queue, in bytes: whoever publishes faster than the relay takes waits here. The queue
//! itself is the SDK's: 1,024 batches of any length, which refuses more and cannot be waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::types::limits::RELAY_QUEUE_LEN_MAX;

/// What a small event takes, so that no more than half of the SDK's queue is ever events.
const PLACE_LEN_MIN: u32 = RELAY_QUEUE_LEN_MAX / 512;

/// The room of one connection.
pub(super) struct Room {
    free: Arc<Semaphore>,
    /// Of the events that the socket has not taken yet.
    taken: Mutex<VecDeque<Place>>,
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
        Self { free: Arc::new(Semaphore::new(RELAY_QUEUE_LEN_MAX as usize)), taken: Mutex::default() }
    }

    /// Waits for room for an event of about `len` bytes.
    pub(super) async fn place(&self, len: usize) -> Result<Place, QueueError> {
        let place = self.free.clone().acquire_many_owned(place_len(len)).await;
        place.map_err(|_closed| QueueError::Closed)
    }

    /// Room for an event of about `len` bytes, if there is some now.
    pub(super) fn try_place(&self, len: usize) -> Result<Place, QueueError> {
        self.free.clone().try_acquire_many_owned(place_len(len)).map_err(|error| match error {
            TryAcquireError::NoPermits => QueueError::Full,
            TryAcquireError::Closed => QueueError::Closed,
        })
    }

    /// Queues an event with `send`; its place is free again once the socket has taken it, or if `send` fails.
    ///
    /// Two that do this at once may get each other's places; what all of them take together stays right.
    pub(super) fn hold(
        &self,
        place: Place,
        send: impl FnOnce() -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        self.taken().push_back(place);
        send().inspect_err(|_failed| drop(self.taken().pop_back()))
    }

    /// The socket has taken an event.
    pub(super) fn release(&self) {
        drop(self.taken().pop_front());
    }

    /// Ends all waiting for room.
    pub(super) fn close(&self) {
        self.free.close();
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<Place>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
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
        room.hold(room.try_place(len)?, || Ok(()))
    }

    #[test]
    fn queue_is_bounded_in_bytes_and_has_room_again_once_the_socket_took_an_event() {
        let room = Room::new();
        queue(&room, ALL - 10_000).unwrap();
        assert_eq!(queue(&room, 10_001), Err(QueueError::Full));
        queue(&room, 10_000).unwrap();
        room.release();
        queue(&room, 10_001).unwrap();
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
        room.release();
        queue(&room, 1).unwrap();
    }

    #[test]
    fn event_that_could_not_be_queued_takes_no_room() {
        let room = Room::new();
        let refused = room.hold(room.try_place(ALL).unwrap(), || Err(QueueError::Full));
        assert_eq!(refused, Err(QueueError::Full));
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
