//! What the program prints, and where: data to stdout, everything for people to stderr when stdout carries data.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use serde::Serialize;

use crate::cli::args::Global;

/// The way to the terminal for one run.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    stdout_carries_data: bool,
}

impl Output {
    /// Output as the global options ask for it.
    pub fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, stdout_carries_data: global.json }
    }

    /// The same output for a command that writes file contents to stdout.
    #[must_use]
    pub fn with_data_on_stdout(mut self) -> Self {
        self.stdout_carries_data = true;
        self
    }

    /// True if the result is to be one JSON value.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// True if progress may be shown.
    pub fn shows_progress(&self) -> bool {
        !self.json && !self.quiet
    }

    /// True if progress may be drawn with bars that overwrite themselves.
    pub fn draws_bars(&self) -> bool {
        self.shows_progress() && std::io::stderr().is_terminal()
    }

    /// A line for people; nothing with `--quiet` or `--json`.
    pub fn say(&self, line: impl std::fmt::Display) {
        if self.quiet || self.json {
            return;
        }
        if self.stdout_carries_data {
            eprintln!("{line}");
        } else {
            print_line(&line.to_string());
        }
    }

    /// A line that a person must not miss; on stderr, also with `--quiet`.
    pub fn warn(&self, line: impl std::fmt::Display) {
        eprintln!("warning: {line}");
    }

    /// What was asked for, for people: on stdout, also with `--quiet`; nothing with `--json`.
    pub fn answer(&self, line: impl std::fmt::Display) {
        if !self.json {
            print_line(&line.to_string());
        }
    }

    /// What was asked for, as one JSON value; nothing without `--json`.
    pub fn json(&self, value: &impl Serialize) {
        if self.json {
            let text =
                serde_json::to_string(value).expect("our own values have string keys and finite numbers");
            print_line(&text);
        }
    }
}

/// Why a line could not be printed, if one could not.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Why something that was to be printed was not.
pub fn unprinted() -> Option<&'static str> {
    UNPRINTED.get().map(String::as_str)
}

/// Prints a line; a closed pipe (`| head`) is no failure.
fn print_line(line: &str) {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            UNPRINTED.get_or_init(|| error.to_string());
        }
        _ => {}
    }
}
