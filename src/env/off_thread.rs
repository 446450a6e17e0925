//! Work that blocks or takes long, away from the threads that everything else waits on.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, block_in_place, spawn_blocking};

/// Does `work` on a thread of its own.
///
/// On a runtime of one thread it is done here and now: what happens in which order then follows from the seed alone,
/// and a simulation replays.
///
/// # Errors
/// The work panicked, or the runtime is being shut down.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if is_single_threaded() { Ok(work()) } else { spawn_blocking(work).await }
}

/// Whether there is no thread but this one, so that nobody else can take what waits in a bounded queue.
pub fn is_single_threaded() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

/// Begins `work` on a thread of its own, where it ends by itself; on a runtime of one thread it is done here and now.
pub fn begin_off_thread(work: impl FnOnce() + Send + 'static) {
    if is_single_threaded() {
        work();
    } else {
        spawn_blocking(work);
    }
}

/// Does `work`, which waits for something else; what else this thread had to do is done by another meanwhile, if there is
/// one.
pub fn while_blocked<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn work_stays_on_the_only_thread_there_is() {
        let here = current().id();
        assert_eq!(off_thread(move || current().id()).await.unwrap(), here);
    }

    #[test]
    fn what_blocks_may_do_so_without_a_runtime() {
        assert_eq!(while_blocked(|| 7), 7);
    }

    #[tokio::test]
    async fn what_blocks_may_do_so_on_the_only_thread_there_is() {
        assert_eq!(while_blocked(|| 7), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_waits_for_another_task_does_not_keep_it_from_its_turn() {
        let waits = async {
            let (tell, told) = std::sync::mpsc::channel();
            tokio::spawn(async move { tell.send(7).unwrap() });
            while_blocked(|| told.recv_timeout(std::time::Duration::from_secs(60)))
        };
        assert_eq!(tokio::spawn(waits).await.unwrap(), Ok(7));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_keeps_no_other_thread_waiting() {
        let here = current().id();
        assert_ne!(off_thread(move || current().id()).await.unwrap(), here);
        assert!(off_thread(|| panic!("as told")).await.unwrap_err().is_panic());
    }
}
