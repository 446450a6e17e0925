//! Being told to stop.

use std::io;
use std::thread;

use clap::Args;
use tokio::sync::oneshot;

/// What else ends a process that serves others.
#[derive(Debug, Args)]
pub struct Lifeline {
    /// End when standard input ends: for a process that another one starts for itself
    #[arg(long, hide = true)]
    until_eof: bool,
}

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

impl Lifeline {
    /// Returns when the process is told to stop, or what else ends it has come.
    pub async fn stop(&self) {
        if self.until_eof { stop_or_eof().await } else { stop().await }
    }
}

/// As [`stop`], and also when standard input ends. Who starts a process and holds the other end of its input takes it
/// along, however it ends itself.
async fn stop_or_eof() {
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
