//! What has happened in a run: told when it fails.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

/// The events of one run, in order. Clones are the same story.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    /// Adds a line.
    pub(crate) fn tell(&self, line: impl Display) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_string());
    }

    /// Everything that happened.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
