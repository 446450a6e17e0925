//! How many bytes of blobs are under way: as many as the way takes in a few seconds.
//!
//! What is sent waits in queues on its way, and an answer comes only when everything before it has gone through. With too
//! much under way on a narrow line every answer is late, looks lost, and is asked for again. So a window begins
//! small, opens while exchanges are quick, and closes by half when they are slow.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::client::exchange::drive::now;

/// An exchange that took no longer opens the window.
const QUICK: Duration = Duration::from_millis(1_500);
/// One that took longer closes it by half.
const SLOW: Duration = Duration::from_secs(5);
/// A window is never smaller.
const LEN_MIN: u64 = 256 * 1024;

/// A bound for the bytes under way. Whoever waits is served in order; what is larger than the window goes alone.
pub(super) struct Window {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    len: u64,
    len_max: u64,
    under_way: u64,
    /// Who waits, by number.
    waiting: BTreeSet<u64>,
    next: u64,
    narrowed_at: Option<Instant>,
}

/// Leave to have some bytes under way; given back when dropped.
pub(super) struct Pass {
    window: Arc<Window>,
    len: u64,
    entered_at: Instant,
}

impl Window {
    /// A window that opens up to `len_max` bytes.
    pub(super) fn new(len_max: u64) -> Arc<Self> {
        let len = (len_max / 4).max(LEN_MIN).min(len_max);
        let (under_way, waiting, next, narrowed_at) = (0, BTreeSet::new(), 0, None);
        let state = State { len, len_max, under_way, waiting, next, narrowed_at };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Waits until there is room for `len` bytes.
    pub(super) async fn enter(self: &Arc<Self>, len: u64) -> Pass {
        let ticket = Ticket::draw(self);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.lock().try_enter(ticket.number, len) {
                return Pass { window: self.clone(), len, entered_at: now() };
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn try_enter(&mut self, number: u64, len: u64) -> bool {
        let is_next = self.waiting.first() == Some(&number);
        let is_room = self.under_way == 0 || self.under_way.saturating_add(len) <= self.len;
        if is_next && is_room {
            self.under_way = self.under_way.saturating_add(len);
        }
        is_next && is_room
    }

    fn widen(&mut self, by: u64) {
        self.len = self.len.saturating_add(by).min(self.len_max);
    }

    /// Closes by half, but only once for all that was under way together.
    fn narrow(&mut self, entered_at: Instant, now: Instant) {
        if self.narrowed_at.is_none_or(|narrowed_at| narrowed_at <= entered_at) {
            self.len = (self.len / 2).max(LEN_MIN.min(self.len_max));
            self.narrowed_at = Some(now);
        }
    }
}

impl Pass {
    /// What comes before now does not count for how long the exchange takes.
    pub(super) fn begin_now(&mut self) {
        self.entered_at = now();
    }

    /// The exchange has succeeded: the window learns from how long it took.
    pub(super) fn succeeded(self) {
        let now = now();
        let took = now - self.entered_at;
        let mut state = self.window.lock();
        if took <= QUICK {
            state.widen(self.len);
        } else if took > SLOW {
            state.narrow(self.entered_at, now);
        }
    }

    /// No answer came: perhaps because too much was under way.
    pub(super) fn unanswered(self) {
        self.window.lock().narrow(self.entered_at, now());
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.window.lock();
        state.under_way = state.under_way.saturating_sub(self.len);
        drop(state);
        self.window.changed.notify_waiters();
    }
}

/// A place in the order of those who wait; given up when dropped.
struct Ticket<'a> {
    window: &'a Window,
    number: u64,
}

impl<'a> Ticket<'a> {
    fn draw(window: &'a Window) -> Self {
        let mut state = window.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number);
        Self { window, number }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.window.lock().waiting.remove(&self.number);
        self.window.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn bytes_under_way_stay_within_the_window_and_large_ones_go_alone() {
        let window = Window::new(4 * MIB);
        let first = window.enter(MIB / 2).await;
        let second = window.enter(MIB / 2).await;
        assert!(window.enter(1).now_or_never().is_none());
        drop((first, second));
        let large = window.enter(100 * MIB).await;
        assert!(window.enter(1).now_or_never().is_none());
        drop(large);
        assert!(window.enter(1).now_or_never().is_some());
        assert_eq!(window.lock().under_way, 0);
        assert!(window.lock().waiting.is_empty(), "who stopped waiting is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_overtaken() {
        let window = Window::new(MIB);
        let first = window.enter(MIB).await;
        let mut large = Box::pin(window.enter(MIB));
        assert!((&mut large).now_or_never().is_none());
        let mut small = Box::pin(window.enter(1));
        assert!((&mut small).now_or_never().is_none());
        drop(first);
        assert!((&mut small).now_or_never().is_none());
        let large = large.await;
        drop(large);
        small.await;
    }

    #[tokio::test(start_paused = true)]
    async fn window_opens_while_exchanges_are_quick_and_closes_once_when_they_are_slow() {
        let window = Window::new(4 * MIB);
        for _ in 0..20 {
            window.enter(MIB / 2).await.succeeded();
        }
        assert_eq!(window.lock().len, 4 * MIB);
        let together = [window.enter(MIB).await, window.enter(MIB).await, window.enter(MIB).await];
        tokio::time::advance(SLOW * 2).await;
        for pass in together {
            pass.succeeded();
        }
        assert_eq!(window.lock().len, 2 * MIB);
        for _ in 0..20 {
            window.enter(MIB).await.unanswered();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(window.lock().len, LEN_MIN);
    }
}
