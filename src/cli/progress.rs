//! Progress of puts and gets: a bar on a terminal, a line now and then elsewhere, nothing with `--quiet` or `--json`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::cli::names::npub;
use crate::cli::output::Output;
use crate::client::{Failure, Monitor};

/// Time between two lines where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(2);

const BAR: &str = "{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Shows how far an operation is.
pub struct Progress {
    output: Output,
    /// What is being done, in one word.
    verb: &'static str,
    bar: ProgressBar,
    lines: Mutex<Lines>,
}

/// The state of progress in plain lines.
struct Lines {
    started: Instant,
    last: Instant,
    done: u64,
    expected: u64,
}

impl Progress {
    /// Progress of `verb`: "put" or "get".
    pub fn new(verb: &'static str, output: Output) -> Self {
        let target =
            if output.draws_bars() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(BAR).expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style).with_prefix(verb);
        let now = Instant::now();
        Self { output, verb, bar, lines: Mutex::new(Lines { started: now, last: now, done: 0, expected: 0 }) }
    }

    /// Takes the bar away, before anything else is said.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Monitor for Progress {
    fn expect(&self, bytes: u64) {
        self.bar.set_length(bytes);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).expected = bytes;
    }

    fn advance(&self, bytes: u64) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.done += bytes;
        // Parity of small packs, the manifest and the head come on top of what was expected.
        if lines.done > lines.expected {
            lines.expected = lines.done;
            self.bar.set_length(lines.done);
        }
        self.bar.inc(bytes);
        if self.output.shows_progress() && !self.output.draws_bars() && lines.last.elapsed() >= LINE_EVERY {
            lines.last = Instant::now();
            let text = lines.text(self.verb);
            drop(lines);
            eprintln!("{text}");
        }
    }

    fn failed(&self, failure: &Failure) {
        if self.output.shows_progress() {
            self.print(&format!(
                "{}: provider {} failed: {}",
                self.verb,
                npub(&failure.provider),
                failure.why
            ));
        }
    }

    fn note(&self, text: &str) {
        self.print(&format!("note: {text}"));
    }
}

impl Lines {
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
    fn text(&self, verb: &str) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = self.done as f64 / seconds;
        let left =
            Duration::from_secs((self.expected.saturating_sub(self.done) as f64 / rate.max(1.0)) as u64);
        let (done, expected) = (ByteSize::b(self.done), ByteSize::b(self.expected));
        let (rate, left) = (ByteSize::b(rate as u64), humantime::format_duration(left));
        format!("{verb}: {done} of {expected}, {rate}/s, {left} left")
    }
}
