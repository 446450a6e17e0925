//! Rows, as JSON and as lines of a table.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::bench::losses::Losses;

/// A file, or several, through a vault and back.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Backup {
    /// Which way the shards took: `relay` or `direct`.
    pub(super) carrier: &'static str,
    /// Bytes of the longest chunks over relays; none on other ways.
    pub(super) chunk_size: Option<u64>,
    /// Bytes of one file.
    pub(super) size: u64,
    /// Files that were put one after the other, each by a run of its own.
    pub(super) rounds: u32,
    pub(super) spread: u8,
    pub(super) need: u8,
    /// Seconds of one put, on average.
    pub(super) put_s: f64,
    /// Seconds of one get, on average.
    pub(super) get_s: f64,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// Many small files in one put.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Folder {
    pub(super) carrier: &'static str,
    /// Bytes of the longest chunks over relays; none on other ways.
    pub(super) chunk_size: Option<u64>,
    /// Bytes of each file.
    pub(super) size: u64,
    pub(super) files: u64,
    /// Blobs that the put has stored.
    pub(super) blobs: u64,
    pub(super) spread: u8,
    pub(super) need: u8,
    /// Seconds of the put.
    pub(super) put_s: f64,
    /// Seconds of the restore.
    pub(super) get_s: f64,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// Single blobs at one provider, or at a Blossom server: nothing is sealed or coded.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Blobs {
    /// `relay`, `direct` or `blossom`.
    pub(super) carrier: &'static str,
    /// Bytes of the longest chunks over relays; none on other ways.
    pub(super) chunk_size: Option<u64>,
    pub(super) size: u64,
    /// Blobs that were moved one at a time, for the latency.
    pub(super) alone: u64,
    /// Blobs that were moved several at a time, for the rates.
    pub(super) count: u64,
    /// How many at a time.
    pub(super) at_once: u64,
    pub(super) store_ms: Percentiles,
    pub(super) fetch_ms: Percentiles,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// How fast, and at what cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rates {
    pub(super) put_mb_s: f64,
    pub(super) get_mb_s: f64,
    /// CPU seconds of a put, of every process that can be seen (`cpu_of`).
    pub(super) cpu_s_per_gib: Option<f64>,
    /// The same of a get.
    pub(super) get_cpu_s_per_gib: Option<f64>,
}

/// Of times, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
}

/// A stage on one core.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stage {
    /// Its name.
    pub stage: &'static str,
    /// Billions of bytes of plaintext in a second.
    pub gb_s: f64,
}

/// The most memory that a process has had.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Peak {
    pub(super) process: String,
    pub(super) peak_mib: u64,
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) spread: u8,
    pub(super) need: u8,
    /// Whether the providers were started for the bench.
    pub(super) embedded: bool,
    pub(super) providers: Vec<String>,
    pub(super) blossom: Option<String>,
    /// Whose CPU seconds are counted.
    pub(super) cpu_of: &'static str,
    pub(super) backups: Vec<Backup>,
    pub(super) files: Vec<Folder>,
    /// After backups and files: what comes later holds many blobs in the memory of this process.
    pub(super) peaks: Vec<Peak>,
    pub(super) blobs: Vec<Blobs>,
    pub(super) codec: Vec<Stage>,
    /// What could not be measured.
    pub(super) failures: Losses,
}

/// Bytes that moved, how long that took, and the CPU seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) bytes: u64,
    pub(super) took: Duration,
    pub(super) cpu: Option<f64>,
}

impl Moved {
    /// Seconds of one of so many rounds.
    pub(super) fn seconds(self, rounds: u32) -> f64 {
        rounded(self.took.as_secs_f64() / f64::from(rounds.max(1)))
    }

    /// The same work, done once more.
    pub(super) fn and(self, more: Self) -> Self {
        let cpu = match (self.bytes, self.cpu, more.cpu) {
            (0, _, more) => more,
            (_, Some(cpu), Some(more)) => Some(cpu + more),
            _ => None,
        };
        Self { bytes: self.bytes + more.bytes, took: self.took + more.took, cpu }
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn mb_s(self) -> f64 {
        rounded(self.bytes as f64 / 1e6 / self.took.as_secs_f64().max(1e-9))
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn cpu_s_per_gib(self) -> Option<f64> {
        let gib = self.bytes as f64 / f64::from(1 << 30);
        self.cpu.filter(|_| self.bytes > 0).map(|seconds| rounded(seconds / gib))
    }
}

impl Rates {
    pub(super) fn of(put: Moved, get: Moved) -> Self {
        let (cpu_s_per_gib, get_cpu_s_per_gib) = (put.cpu_s_per_gib(), get.cpu_s_per_gib());
        Self { put_mb_s: put.mb_s(), get_mb_s: get.mb_s(), cpu_s_per_gib, get_cpu_s_per_gib }
    }

    fn line(&self) -> String {
        let cpu = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), figure);
        format!(
            "{:>9} {:>9} {:>10} {:>10}",
            figure(self.put_mb_s),
            figure(self.get_mb_s),
            cpu(self.cpu_s_per_gib),
            cpu(self.get_cpu_s_per_gib)
        )
    }
}

impl Percentiles {
    /// Of at least one time. The p99 of less than a hundred is the longest.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map_or(0.0, |time| rounded(time.as_secs_f64() * 1e3))
        };
        Self { p50: at(50), p90: at(90), p99: at(99) }
    }

    fn line(&self) -> String {
        format!("{:>8} {:>8} {:>8}", figure(self.p50), figure(self.p90), figure(self.p99))
    }
}

/// What is a line of a table.
pub(super) trait Row {
    /// The line.
    fn line(&self) -> String;
}

impl Backup {
    pub(super) const HEAD: &str =
        "over            size           put s     get s  put MB/s  get MB/s  put s/GiB  get s/GiB";
}

impl Row for Backup {
    fn line(&self) -> String {
        let (put, get) = (figure(self.put_s), figure(self.get_s));
        let over = over(self.carrier, self.chunk_size);
        format!("{over:<15} {:<10} {put:>9} {get:>9} {}", size(self.size), self.rates.line())
    }
}

impl Folder {
    pub(super) const HEAD: &str = "over            files                   put s     get s     blobs  put MB/s  get MB/s  put s/GiB  get s/GiB";
}

impl Row for Folder {
    fn line(&self) -> String {
        let what = format!("{} of {}", self.files, size(self.size));
        let (put, get, blobs) = (figure(self.put_s), figure(self.get_s), self.blobs);
        let over = over(self.carrier, self.chunk_size);
        format!("{over:<15} {what:<18} {put:>9} {get:>9} {blobs:>9} {}", self.rates.line())
    }
}

impl Blobs {
    pub(super) const HEAD: &str = "over            size         put MB/s  get MB/s  put s/GiB  get s/GiB   store ms p50, p90, p99     fetch ms p50, p90, p99";
}

impl Row for Blobs {
    fn line(&self) -> String {
        format!(
            "{:<15} {:<12}{} {} {}",
            over(self.carrier, self.chunk_size),
            size(self.size),
            self.rates.line(),
            self.store_ms.line(),
            self.fetch_ms.line()
        )
    }
}

impl Stage {
    /// A line of a table.
    pub fn line(&self) -> String {
        format!("{:<42} {:>7.2}", self.stage, self.gb_s)
    }
}

/// A way, and the size that goes it, as people call them.
pub(super) fn over_of(carrier: &str, chunk_size: Option<u64>, bytes: Option<u64>) -> String {
    let over = over(carrier, chunk_size);
    bytes.map_or_else(|| over.clone(), |bytes| format!("{over}, {}", size(bytes)))
}

/// A way, as people call it.
fn over(carrier: &str, chunk_size: Option<u64>) -> String {
    chunk_size.map_or_else(|| carrier.to_owned(), |len| format!("{carrier}, {} KiB", len / 1024))
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

/// Four digits say all that was measured.
fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a number of digits")]
    let digits = (3 - number.abs().log10().floor() as i32).clamp(0, 9);
    let factor = 10_f64.powi(digits);
    (number * factor).round() / factor
}

fn figure(number: f64) -> String {
    let decimals = match number {
        100.0.. => 0,
        10.0.. => 1,
        0.1.. => 2,
        _ => 3,
    };
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_times_that_were_measured() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        let all = Percentiles::of(times(100));
        assert!(
            (all.p50 - 50.0).abs() < 1e-9 && (all.p90 - 90.0).abs() < 1e-9 && (all.p99 - 99.0).abs() < 1e-9
        );
        let few = Percentiles::of(times(3));
        assert!((few.p50 - 2.0).abs() < 1e-9 && (few.p99 - 3.0).abs() < 1e-9);
        let one = Percentiles::of(times(1));
        assert!((one.p50 - 1.0).abs() < 1e-9 && (one.p99 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rates_are_of_all_rounds_together_and_unknown_cpu_stays_unknown() {
        let round = |cpu| Moved { bytes: 1 << 29, took: Duration::from_secs(2), cpu };
        let known = Moved::default().and(round(Some(1.0))).and(round(Some(3.0)));
        let unknown = Moved::default().and(round(Some(1.0))).and(round(None));
        let rates = Rates::of(known, unknown);
        assert!((rates.put_mb_s - 268.0).abs() < 1.0, "{rates:?}");
        assert_eq!((rates.cpu_s_per_gib, rates.get_cpu_s_per_gib), (Some(4.0), None));
    }
}
