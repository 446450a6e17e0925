//! Copies of shards that lost a race: nothing names them, so they are deleted again, in the background. What cannot be
//! deleted before the operation ends is an orphan: a later prune finds it, or it lapses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::exchange::Exchange;
use crate::types::{BlobHash, ProviderId};

/// How long the end of an operation waits for providers that answer to let go of what they got too late.
const SETTLE_DEADLINE: Duration = Duration::from_millis(250);
/// A copy may still be written while it is asked for: after so long it is asked for once more.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Copies that are to go. Clones share them.
#[derive(Clone)]
pub(super) struct Strays {
    exchange: Exchange,
    /// Those that may still be there.
    left: Arc<Mutex<BTreeSet<(ProviderId, BlobHash)>>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    changed: Arc<Notify>,
}

impl Strays {
    pub(super) fn new(exchange: Exchange) -> Self {
        let (left, tasks, changed) = Default::default();
        Self { exchange, left, tasks, changed }
    }

    /// Has `provider` delete a blob, whether it has it already or gets it in this moment.
    pub(super) fn delete(&self, provider: ProviderId, hash: BlobHash) {
        self.left().insert((provider, hash));
        let (exchange, left, changed) = (self.exchange.clone(), self.left.clone(), self.changed.clone());
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if is_gone(&exchange, provider, hash).await {
                left.lock().unwrap_or_else(PoisonError::into_inner).remove(&(provider, hash));
            }
            changed.notify_one();
        });
    }

    /// Gives providers that answer a moment to be done. Returns the copies that may have stayed.
    pub(super) async fn settle(&self) -> BTreeSet<(ProviderId, BlobHash)> {
        let deadline = Instant::now() + SETTLE_DEADLINE;
        while self.is_anybody_awaited() {
            if timeout_at(deadline, self.changed.notified()).await.is_err() {
                break;
            }
        }
        self.left().clone()
    }

    fn is_anybody_awaited(&self) -> bool {
        self.left().iter().any(|(provider, _)| !self.exchange.is_quiet(*provider))
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<(ProviderId, BlobHash)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if the provider says that it has no such blob any more.
async fn is_gone(exchange: &Exchange, provider: ProviderId, hash: BlobHash) -> bool {
    match exchange.delete(provider, &[hash]).await {
        Ok(deleted) if deleted == [true] => return true,
        Ok(_) => sleep(ASK_AGAIN_AFTER).await,
        Err(error) => {
            tracing::debug!(provider = %provider.short(), %error, "a copy that came too late stays until a prune");
            return false;
        }
    }
    exchange.delete(provider, &[hash]).await.is_ok()
}
