//! Client: one request, one answer; asked again until it comes.

use std::time::Instant;

use crate::session::{Failure, Pace, Patience, Step, Try};
use crate::wire::{Answer, Status};

/// A request that is answered by one response: inline stores, batches, lists.
#[derive(Debug)]
pub struct AskSession {
    tries: u32,
    patience: Patience,
    outcome: Option<Result<Answer, Failure>>,
}

impl AskSession {
    /// A conversation that begins now; the jitter of its retries follows from `seed`.
    pub fn new(pace: Pace, seed: u64, now: Instant) -> Self {
        Self { tries: 0, patience: Patience::new(pace, seed, now), outcome: None }
    }

    /// Takes in an answer to any of the tries. What it says is for the driver to judge.
    pub fn answer(&mut self, answer: Answer) {
        self.outcome.get_or_insert(Ok(answer));
    }

    /// Takes in a status message.
    pub fn status(&mut self, status: &Status, now: Instant) {
        if let Some(failure) = self.patience.status(status, now) {
            self.outcome.get_or_insert(Err(failure));
        }
    }

    /// What to do now: send the request as one more try, wait, or be done.
    pub fn step(&mut self, now: Instant) -> Step<Try, Answer> {
        if let Some(outcome) = &self.outcome {
            return Step::Done(outcome.clone());
        }
        if let Some(failure) = self.patience.spent(now) {
            return Step::Done(Err(failure));
        }
        if self.patience.is_due(now) {
            self.patience.requested(now);
            let number = Try(self.tries);
            self.tries += 1;
            return Step::Send(number);
        }
        Step::Wait(self.patience.wake_at())
    }
}
