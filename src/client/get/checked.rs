//! A file's bytes on their way: hashed, counted, and compared with what was recorded (invariant I1).

use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::task::yield_now;

use crate::client::error::ClientError;
use crate::client::get::layout::{Source, Span};
use crate::client::get::segments::Segments;
use crate::format::File;

/// Zeros of holes, as many as are hashed at a time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Zeros that are hashed in one turn.
const TURN_LEN: u64 = 16 * 1024 * 1024;

/// Where a file's bytes go.
pub(crate) trait Sink: Write {
    /// `len` zeros, which need not be written where they are there anyway.
    fn skip(&mut self, len: u64) -> io::Result<()>;

    /// What was written is not what was recorded.
    fn spoil(&mut self) {}
}

impl Sink for io::Sink {
    fn skip(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the zeros of holes like any other bytes.
pub(crate) struct Stream<W>(pub(crate) W);

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sink for Stream<W> {
    fn skip(&mut self, len: u64) -> io::Result<()> {
        for_each_zeros(len, |zeros| self.0.write_all(zeros))
    }
}

/// Takes a file's bytes in order and hashes them on the way.
pub(crate) struct Checked<S> {
    to: S,
    hasher: Sha256,
    len: u64,
}

/// Why a file's bytes did not arrive.
pub(crate) enum WriteError {
    /// They could not be had.
    Source(ClientError),
    /// They could not be written.
    Sink(io::Error),
}

impl From<ClientError> for WriteError {
    fn from(error: ClientError) -> Self {
        Self::Source(error)
    }
}

impl<S: Sink> Checked<S> {
    /// Passes bytes on to `to`.
    pub(crate) fn new(to: S) -> Self {
        Self { to, hasher: Sha256::new(), len: 0 }
    }

    /// The same, with `len` bytes there already that `hasher` has hashed.
    pub(crate) fn going_on(to: S, hasher: Sha256, len: u64) -> Self {
        Self { to, hasher, len }
    }

    /// Takes the bytes of `spans` out of their segments. Returns how many there were.
    pub(crate) async fn take(
        &mut self,
        spans: &[Span],
        segments: &mut Segments<'_>,
    ) -> Result<u64, WriteError> {
        let before = self.len;
        for span in spans {
            match span.source {
                Source::Hole => self.skip(span.len).await,
                Source::Segment { tag, from } => {
                    let plain = segments.open(&tag).await?;
                    let begin = usize::try_from(from).unwrap_or(usize::MAX);
                    let end = begin.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
                    let missing =
                        || ClientError::Dangling { what: format!("bytes of segment {}", tag.short()) };
                    self.write(plain.get(begin..end).ok_or_else(missing)?)
                }
            }
            .map_err(WriteError::Sink)?;
        }
        Ok(self.len - before)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    async fn skip(&mut self, len: u64) -> io::Result<()> {
        hash_zeros(&mut self.hasher, len).await;
        self.len = self.len.saturating_add(len);
        self.to.skip(len)
    }

    /// Gives back where the bytes went, if they are those that were recorded.
    pub(crate) fn finish(mut self, recorded: &File, path: &Path) -> Result<S, ClientError> {
        let sha256: [u8; 32] = self.hasher.finalize().into();
        if self.len == recorded.len && sha256 == recorded.sha256 {
            Ok(self.to)
        } else {
            self.to.spoil();
            Err(ClientError::Integrity { what: path.display().to_string() })
        }
    }

    /// Gives back where the bytes went, which are only a part of a file.
    pub(crate) fn into_inner(self) -> S {
        self.to
    }
}

/// Hashes `len` zeros. There may be terabytes of them: whoever waits for something else gets its turn.
pub(crate) async fn hash_zeros(hasher: &mut Sha256, len: u64) {
    let mut left = len;
    while left > 0 {
        let now = left.min(TURN_LEN);
        let hashed = for_each_zeros(now, |zeros| {
            hasher.update(zeros);
            Ok(())
        });
        hashed.expect("hashing does not fail");
        left -= now;
        yield_now().await;
    }
}

fn for_each_zeros(len: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut left = len;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        take(&ZEROS[..now])?;
        left -= now as u64;
    }
    Ok(())
}
