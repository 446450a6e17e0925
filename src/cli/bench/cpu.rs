//! What processes and threads have taken, as the system tells it; nothing where it does not.

use std::fs;
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::time::{ClockId, clock_getcpuclockid};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;
use tokio::time::Instant;

/// User and system time of all these processes together, in seconds; `None` where one of them cannot be seen.
pub(super) fn seconds(pids: &[u32]) -> Option<f64> {
    pids.iter().map(|pid| seconds_of(*pid)).sum()
}

/// This process.
pub(super) fn own() -> u32 {
    std::process::id()
}

/// One process.
#[cfg(target_os = "linux")]
fn seconds_of(pid: u32) -> Option<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    Some(Duration::from(clock.now().ok()?).as_secs_f64())
}

#[cfg(not(target_os = "linux"))]
fn seconds_of(_pid: u32) -> Option<f64> {
    None
}

/// How long this thread has been on a core; where the system does not tell it, how long it has been asking.
pub(super) fn of_thread() -> Duration {
    thread_local! {
        static START: Instant = Instant::now();
    }
    on_core().unwrap_or_else(|| START.with(Instant::elapsed))
}

#[cfg(target_os = "linux")]
fn on_core() -> Option<Duration> {
    Some(ClockId::CLOCK_THREAD_CPUTIME_ID.now().ok()?.into())
}

#[cfg(not(target_os = "linux"))]
fn on_core() -> Option<Duration> {
    None
}

/// The most memory that a process has had, in MiB (`VmHWM` in proc(5)).
pub(super) fn peak_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn own_time_goes_on_and_nobody_has_that_of_a_process_that_is_not_there() {
        let before = seconds(&[own()]).unwrap();
        let mut sum = 0_u64;
        let thread = of_thread();
        while of_thread() < thread + Duration::from_millis(2) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(seconds(&[own()]).unwrap() >= before + 0.002, "a process takes what its threads take");
        assert!(peak_mib(own()).unwrap() > 0);
        assert_eq!(seconds(&[own(), u32::MAX]), None);
    }
}
