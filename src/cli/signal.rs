//! Being told to stop.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Returns when the process is told to stop: Ctrl-C or a termination signal.
pub async fn stop() {
    let mut terminate = std::pin::pin!(terminated());
    tokio::select! {
        biased;
        // Without a handler the signal ends the process anyway.
        _ = tokio::signal::ctrl_c() => {}
        () = &mut terminate => {}
    }
}

/// The same, and also when standard input ends. Who starts a process and holds the other end of its input takes it along,
/// however it ends itself.
pub async fn stop_or_eof() {
    let (sender, ended) = oneshot::channel();
    // Not one of the runtime's: its end would wait for input.
    thread::spawn(move || {
        let _whatever_comes = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _nobody_waits = sender.send(());
    });
    tokio::select! {
        biased;
        () = stop() => {}
        _ = ended => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_no_handler) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
