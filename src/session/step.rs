//! What sessions say to whoever drives them.

use std::time::Instant;

use crate::wire::ErrorCode;

/// What a session wants of its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<S, T> {
    /// Send this, then ask again.
    Send(S),
    /// Nothing to do before this time, or the next input.
    Wait(Instant),
    /// The conversation is over.
    Done(Result<T, Failure>),
}

/// The number of a request's event within its session: 0 is the first, every retry and probe is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Try(pub u32);

/// How a conversation can fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The provider refuses.
    Refused {
        /// Its code.
        code: ErrorCode,
        /// Its words.
        text: String,
    },
    /// Nothing that helps has come for too long.
    Silent,
    /// What the provider sent is not what was asked for: another blob, wrong bytes, an answer to another question.
    Corrupt,
}
