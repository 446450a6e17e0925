//! How long a guest rests: where places are few, whoever rests longest makes room for others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Whether one guest rests, and since when.
pub struct Rest {
    state: Mutex<State>,
    leave: Notify,
}

struct State {
    /// Questions that are worked on, or whose answers have not left.
    work_count: usize,
    moved_at: Instant,
}

/// Something is under way for the guest until this is dropped.
pub struct Work(Arc<Rest>);

impl Rest {
    /// Rests from now on.
    pub fn begin() -> Arc<Self> {
        let state = Mutex::new(State { work_count: 0, moved_at: Instant::now() });
        Arc::new(Self { state, leave: Notify::new() })
    }

    /// A question of the guest is worked on.
    pub fn work(self: &Arc<Self>) -> Work {
        self.state().work_count += 1;
        Work(self.clone())
    }

    /// A part of a question has come.
    pub fn moved(&self) {
        self.state().moved_at = Instant::now();
    }

    /// Since when nothing is under way; `None` if something is.
    pub fn since(&self) -> Option<Instant> {
        let state = self.state();
        (state.work_count == 0).then_some(state.moved_at)
    }

    /// Its place is needed.
    pub fn ask_to_leave(&self) {
        self.leave.notify_one();
    }

    /// Ends when its place is needed.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.work_count -= 1;
        state.moved_at = Instant::now();
    }
}
