//! When to try again and when to give up: shared by the client's conversations.

use std::time::{Duration, Instant};

use crate::session::pace::Backoff;
use crate::session::{Failure, Pace};
use crate::wire::{Status, StatusKind};

/// The clockwork of a conversation.
///
/// Only progress resets it, and a conversation has a bounded number of steps of progress: so whatever the other side
/// sends, every conversation ends.
#[derive(Debug, Clone)]
pub struct Patience {
    backoff: Backoff,
    retry_first: Duration,
    stall_timeout: Duration,
    progress_at: Instant,
    retry_at: Instant,
    refusal: Option<Failure>,
}

impl Patience {
    /// A conversation that begins now, and whose first request is due at once.
    pub fn new(pace: Pace, seed: u64, now: Instant) -> Self {
        Self {
            backoff: Backoff::new(pace, seed),
            retry_first: pace.retry_first,
            stall_timeout: pace.stall_timeout,
            progress_at: now,
            retry_at: now,
            refusal: None,
        }
    }

    /// Something that helps has come.
    pub fn progress(&mut self, now: Instant) {
        self.progress_at = now;
        self.refusal = None;
        self.backoff.reset();
    }

    /// A request was sent: the next one is due after a longer wait than the last.
    pub fn requested(&mut self, now: Instant) {
        self.retry_at = now + self.backoff.next_delay();
    }

    /// Something has come that may help: the next request is due no sooner than what follows it takes, and later ones not as
    /// if nothing came.
    pub fn came(&mut self, now: Instant) {
        self.backoff.reset();
        self.sent(now);
    }

    /// Something else was sent that the answer has to wait for: the next request is due no sooner than that takes.
    pub fn sent(&mut self, now: Instant) {
        self.retry_at = self.retry_at.max(now + self.retry_first);
    }

    /// The next request is due after `grace`, if it was not due before.
    pub fn hasten(&mut self, grace: Duration, now: Instant) {
        self.retry_at = self.retry_at.min(now + grace);
    }

    /// Takes in a status message. The failure, if it ends the conversation.
    pub fn status(&mut self, status: &Status, now: Instant) -> Option<Failure> {
        let StatusKind::Error(code) = &status.kind else { return None };
        let failure = Failure::Refused { code: code.clone(), text: status.text.clone() };
        if !code.is_retryable() {
            return Some(failure);
        }
        self.refusal = Some(failure);
        self.requested(now);
        None
    }

    /// Whether it is time for another request.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.retry_at
    }

    /// The failure, if there was no progress for too long: what the provider said last, or silence.
    pub fn spent(&self, now: Instant) -> Option<Failure> {
        let is_spent = now >= self.progress_at + self.stall_timeout;
        is_spent.then(|| self.refusal.clone().unwrap_or(Failure::Silent))
    }

    /// When something is due next.
    pub fn wake_at(&self) -> Instant {
        self.retry_at.min(self.progress_at + self.stall_timeout)
    }
}
