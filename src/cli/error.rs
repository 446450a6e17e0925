//! Errors as a person sees them: what happened, and what to do.

use std::fmt;

use crate::cli::exit::Exit;
use crate::cli::printable::plain;

/// A failure at the surface, in two lines.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    happened: String,
    remedy: String,
}

impl CliError {
    /// An error that ends with `exit`; `happened` and `remedy` are one line each.
    pub fn new(exit: Exit, happened: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { exit, happened: plain(&happened.to_string()), remedy: plain(&remedy.into()) }
    }

    /// The same error, telling more of what happened.
    #[must_use]
    pub fn with_happened(self, happened: impl fmt::Display) -> Self {
        Self { happened: plain(&happened.to_string()), ..self }
    }

    /// How the process is to end.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened, the first line.
    pub fn happened(&self) -> &str {
        &self.happened
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blobdvm: {}\n    try: {}", self.happened, self.remedy)
    }
}

impl std::error::Error for CliError {}

/// The text of an error and of everything that caused it, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_two_lines_whatever_it_quotes() {
        let error = CliError::new(Exit::Failure, "a\nb\u{1b}[31m", "c\nd");
        assert_eq!(error.to_string().lines().count(), 2);
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
