//! Being told to stop.

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
