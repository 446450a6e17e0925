//! Client: one request, one answer; asked again until it comes.

use std::time::{Duration, Instant};

use crate::session::{Failure, Pace, Patience, Step, Try};
use crate::wire::Status;

/// A request that is answered by one event, an `A`: inline stores, batches, lists, audits.
#[derive(Debug)]
pub struct AskSession<A> {
    tries: u32,
    patience: Patience,
    outcome: Option<Result<A, Failure>>,
}

impl<A: Clone> AskSession<A> {
    /// A conversation that begins now; the jitter of its retries follows from `seed`.
    pub fn new(pace: Pace, seed: u64, now: Instant) -> Self {
        Self { tries: 0, patience: Patience::new(pace, seed, now), outcome: None }
    }

    /// Takes in an answer to any of the tries. What it says is for the driver to judge.
    pub fn answer(&mut self, answer: A) {
        self.outcome.get_or_insert(Ok(answer));
    }

    /// Takes in an answer to one of the tries that is none to this question.
    pub fn wrong_answer(&mut self) {
        self.outcome.get_or_insert(Err(Failure::Corrupt));
    }

    /// Takes in a status message.
    pub fn status(&mut self, status: &Status, now: Instant) {
        if let Some(failure) = self.patience.status(status, now) {
            self.outcome.get_or_insert(Err(failure));
        }
    }

    /// The request was lost on its way: it is due again.
    pub fn lost(&mut self, now: Instant) {
        self.patience.hasten(Duration::ZERO, now);
    }

    /// What to do now: send the request as one more try, wait, or be done.
    pub fn step(&mut self, now: Instant) -> Step<Try, A> {
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
