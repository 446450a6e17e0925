//! Runs a campaign for many seeds: each on a runtime of its own, of one thread and with its time paused, on all cores.

#![expect(clippy::disallowed_methods, reason = "the watch over runs that do not end needs the real clock")]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::story::Story;

/// Seeds of one campaign, unless the environment says otherwise.
const SEED_COUNT: u64 = 200;
/// Real time that one run may take: more than a hundred times what it does.
const RUN_MAX: Duration = Duration::from_secs(240);
/// The same for what is run once.
const ONCE_MAX: Duration = Duration::from_secs(3_600);
/// Lines of a story that are told.
const TOLD_LINES: usize = 120;

/// Which seeds are asked for: the one of `BLOBDVM_SEED`, or those up to the number in `BLOBDVM_SEEDS`.
fn wanted(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
    };
    match (number("BLOBDVM_SEED"), number("BLOBDVM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..count,
    }
}

/// Runs `campaign`, whose test is called `test`, for every seed that is asked for.
///
/// # Panics
/// If a run breaks a law, or does not end: with its story and the command that replays it.
pub(crate) fn run<F: Future<Output = ()>>(test: &str, campaign: impl Fn(u64, Story) -> F + Sync) {
    run_some(SEED_COUNT, test, campaign);
}

/// The same with another number of seeds.
pub(crate) fn run_some<F: Future<Output = ()>>(
    count: u64,
    test: &str,
    campaign: impl Fn(u64, Story) -> F + Sync,
) {
    let seeds = wanted(count);
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let failed: Mutex<Option<(u64, Story, String)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let story = Story::default();
                    if let Err(why) =
                        watched(test, seed, RUN_MAX, &story, || live(campaign(seed, story.clone())))
                    {
                        is_over.store(true, Ordering::SeqCst);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert((seed, story, why));
                    }
                }
            });
        }
    });
    if let Some((seed, story, why)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        panic!("{}", account(test, seed, &story, &why));
    }
}

/// Runs something once that takes long, whatever seeds are asked for.
pub(crate) fn run_once(test: &str, run: impl AsyncFnOnce(Story)) {
    let story = Story::default();
    if let Err(why) = watched(test, 0, ONCE_MAX, &story, || live(run(story.clone()))) {
        panic!("{}", account(test, 0, &story, &why));
    }
}

/// Runs one campaign to its end.
fn live(campaign: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().expect("a runtime can be made");
    runtime.block_on(campaign);
}

/// Why a run failed, if it did. A run that does not end is told of, and ends the process.
fn watched(
    test: &str,
    seed: u64,
    run_max: Duration,
    story: &Story,
    run: impl FnOnce(),
) -> Result<(), String> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let began = Instant::now();
            while !is_done.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_secs(1));
                if began.elapsed() > run_max {
                    // Past whoever keeps what tests print until they end.
                    let told = account(test, seed, story, "it does not end");
                    let _nobody_reads = std::io::stderr().write_all(told.as_bytes());
                    std::process::exit(101);
                }
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(run));
        is_done.store(true, Ordering::SeqCst);
        watch.thread().unpark();
        outcome.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "it panicked".into())
        })
    })
}

fn account(test: &str, seed: u64, story: &Story, why: &str) -> String {
    let lines = story.lines();
    let told = &lines[lines.len().saturating_sub(TOLD_LINES)..];
    format!(
        "seed {seed}: {why}\n\nwhat happened:\n  {}\n\nreplay with: BLOBDVM_SEED={seed} cargo test --test sim {test}\n",
        told.join("\n  ")
    )
}
