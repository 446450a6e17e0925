//! What one side takes in of the blobs that the other sends: decided when a message begins, before it takes any room.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::wire::direct::Beginning;

/// Decides over messages that carry a blob and are longer than one record.
pub trait Judge: Send + Sync {
    /// What is to be done with such a message.
    fn judge(&self, beginning: &Beginning) -> Verdict;

    /// One more record of a message of several has come; its beginning, if it carries a blob that is taken in.
    fn moved(&self, _beginning: Option<&Beginning>) {}
}

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken in, as soon as there is room.
    TakeIn,
    /// Its bytes are read and forgotten.
    PassOver(Unfit),
    /// Its sender breaks the rules: the connection ends.
    End,
}

/// Why a message is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The blob is larger than is taken.
    TooLarge {
        /// Its length in bytes.
        len: u64,
    },
    /// Too much is under way.
    NoRoom,
    /// Nobody waits for it any more.
    Unwanted,
}

/// Room in memory, until it is dropped.
pub type Room = Vec<OwnedSemaphorePermit>;

/// Decides, and makes room.
#[derive(Clone)]
pub struct Intake {
    /// Who decides.
    pub judge: Arc<dyn Judge>,
    /// Room in KiB that a message needs, in each of these.
    pub rooms: Vec<Arc<Semaphore>>,
    /// How long a message waits for it. Meanwhile nothing more is read from the connection.
    pub wait: Duration,
}

impl Intake {
    /// Room for the message; else what is done with it.
    pub(super) async fn admit(&self, beginning: &Beginning) -> Result<Room, Verdict> {
        match self.judge.judge(beginning) {
            Verdict::TakeIn => {}
            verdict => return Err(verdict),
        }
        let kib = u32::try_from(beginning.blob_len().div_ceil(1024)).map_err(|_| Verdict::End)?;
        let making = async {
            let mut held = Room::with_capacity(self.rooms.len());
            for room in &self.rooms {
                held.push(room.clone().acquire_many_owned(kib).await.ok()?);
            }
            Some(held)
        };
        let made = timeout(self.wait, making).await.ok().flatten();
        made.ok_or(Verdict::PassOver(Unfit::NoRoom))
    }
}
