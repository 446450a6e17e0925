//! What has moved over a connection, so that one that stands still can be told from a slow one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use crate::types::limits::{BLOSSOM_MOVE_MIN, BLOSSOM_STALL_MAX};

/// What was done over one connection.
#[derive(Default)]
pub(super) struct Progress {
    /// Bytes, in both directions.
    moved: AtomicU64,
    /// Requests that were answered.
    answered: AtomicU64,
}

impl Progress {
    /// A request was answered.
    pub(super) fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when, for [`BLOSSOM_STALL_MAX`], no request was answered and less than [`BLOSSOM_MOVE_MIN`] moved.
    pub(super) async fn stalled(&self) {
        let look = || (self.answered.load(Ordering::Relaxed), self.moved.load(Ordering::Relaxed));
        let mut before = look();
        loop {
            sleep(BLOSSOM_STALL_MAX).await;
            let now = look();
            if now.0 == before.0 && now.1 - before.1 < BLOSSOM_MOVE_MIN {
                return;
            }
            before = now;
        }
    }
}

/// A stream that counts.
pub(super) struct Moving<S> {
    pub(super) stream: S,
    pub(super) progress: Arc<Progress>,
}

impl<S> Moving<S> {
    fn count(&self, len: usize) {
        self.progress.moved.fetch_add(len as u64, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.count(buf.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(len)) = &written {
            self.count(*len);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(len)) = &written {
            self.count(*len);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
