//! Going on with a file that an earlier get did not finish: what it has left is read, and trusted as far as it is what
//! the manifest says. The rest is fetched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};
use tokio::task::yield_now;

use crate::client::get::checked::hash_zeros;
use crate::client::get::layout::{Source, Span};
use crate::client::get::part::PartFile;
use crate::crypt::TagKey;
use crate::crypt::tag::segment_tag;
use crate::types::Tag;

/// Bytes that are compared with zeros at a time.
const LOOK_LEN: usize = 64 * 1024;

/// The beginning of a file that is there already.
pub(crate) struct Resumed {
    pub(crate) part: PartFile,
    /// The hash of what is there, holes included.
    pub(crate) hasher: Sha256,
    /// How long it is, holes included.
    pub(crate) len: u64,
    /// Spans that it consists of.
    pub(crate) span_count: usize,
    /// Bytes of it that need not be fetched.
    pub(crate) bytes: u64,
}

impl Resumed {
    /// Reads `part`, which is to become a file of these spans, up to the last segment whose bytes have its tag; there it is
    /// cut off. `None` if not even the first has.
    pub(crate) async fn read(mut part: PartFile, spans: &[Span], key: &TagKey) -> Option<Self> {
        let mut reading =
            Reading { file: part.file(), at: 0, hasher: Sha256::new(), bytes: 0, plain: Vec::new() };
        let (mut span_count, mut len, mut hasher, mut bytes) = (0, 0, Sha256::new(), 0);
        for (index, span) in spans.iter().enumerate() {
            let tag = match span.source {
                Source::Hole if reading.pass(span.len).await => continue,
                Source::Segment { tag, from } if reading.take(span.len, from).is_ok() => tag,
                Source::Hole | Source::Segment { .. } => break,
            };
            if !is_last_of(&tag, &spans[index + 1..]) {
                continue;
            }
            if segment_tag(&reading.plain, key) != tag {
                break;
            }
            (span_count, len, bytes) = (index + 1, reading.at, reading.bytes);
            hasher.clone_from(&reading.hasher);
            // There may be hours of this.
            yield_now().await;
        }
        if span_count == 0 {
            return None;
        }
        part.cut(len).ok()?;
        Some(Self { part, hasher, len, span_count, bytes })
    }
}

/// True if the segment `tag`, of which a part just came, has no further part behind.
fn is_last_of(tag: &Tag, behind: &[Span]) -> bool {
    let next = behind.iter().find_map(|span| match span.source {
        Source::Segment { tag, from } => Some((tag, from)),
        Source::Hole => None,
    });
    next.is_none_or(|(next, from)| next != *tag || from == 0)
}

/// A part that is read from its beginning on.
struct Reading<'a> {
    file: &'a File,
    at: u64,
    hasher: Sha256,
    /// Bytes outside of holes.
    bytes: u64,
    /// What was read of the last segment.
    plain: Vec<u8>,
}

impl Reading<'_> {
    /// Reads `len` bytes of a segment, those from `from` on.
    fn take(&mut self, len: u64, from: u64) -> io::Result<()> {
        if from == 0 {
            self.plain.clear();
        }
        let start = self.plain.len();
        self.plain.resize(start + usize::try_from(len).map_err(io::Error::other)?, 0);
        self.file.read_exact_at(&mut self.plain[start..], self.at)?;
        self.hasher.update(&self.plain[start..]);
        self.at += len;
        self.bytes += len;
        Ok(())
    }

    /// Passes a hole. False if something is in it.
    async fn pass(&mut self, len: u64) -> bool {
        let is_empty = is_empty(self.file, self.at, self.at.saturating_add(len)).unwrap_or(false);
        if is_empty {
            hash_zeros(&mut self.hasher, len).await;
            self.at = self.at.saturating_add(len);
        }
        is_empty
    }
}

/// True if a file has nothing but zeros between `begin` and `end`. Where its file system says that nothing was ever
/// written, nothing is read.
fn is_empty(file: &File, begin: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0; LOOK_LEN];
    let mut at = begin;
    while at < end {
        let offset = i64::try_from(at).map_err(io::Error::other)?;
        match lseek(file, offset, Whence::SeekData) {
            Ok(data) => at = u64::try_from(data).map_err(io::Error::other)?,
            Err(nix::errno::Errno::ENXIO) => return Ok(true),
            // A file system that does not know: all is read.
            Err(_) => {}
        }
        let room = usize::try_from(end.saturating_sub(at)).unwrap_or(LOOK_LEN).min(LOOK_LEN);
        let read = file.read_at(&mut buffer[..room], at)?;
        if read == 0 {
            return Ok(true);
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::client::get::checked::Sink;
    use crate::client::get::part::KEPT_LEN_MIN;
    use crate::format::{File as Recorded, Refs};

    const KEY: [u8; 32] = [3; 32];
    /// Segments of a file, as (segment, offset in it, length), and holes of it.
    const SPANS: [(Option<(u8, u64)>, u64); 6] = [
        (Some((1, 0)), 1_000),
        (None, 70_000),
        (Some((2, 0)), 300),
        (None, 5_000),
        (Some((2, 300)), 700),
        (Some((3, 0)), 1_000),
    ];

    fn segment(number: u8) -> Vec<u8> {
        (0..1_000).map(|at: u32| u8::try_from((at * u32::from(number)) % 251).unwrap()).collect()
    }

    fn spans() -> Vec<Span> {
        let source = |source: Option<(u8, u64)>| match source {
            None => Source::Hole,
            Some((number, from)) => {
                Source::Segment { tag: segment_tag(&segment(number), &TagKey::new(KEY)), from }
            }
        };
        SPANS.iter().map(|(of, len)| Span { len: *len, source: source(*of) }).collect()
    }

    /// A part in which the first `count` spans were written.
    fn part(folder: &std::path::Path, count: usize) -> PartFile {
        let content = Refs::Direct(Vec::new());
        let file = Recorded { len: KEPT_LEN_MIN, sha256: [1; 32], holes: Vec::new(), content };
        let mut part = PartFile::create(&folder.join("file"), &file).unwrap();
        for (of, len) in &SPANS[..count] {
            match of {
                None => part.skip(*len).unwrap(),
                Some((number, from)) => {
                    let from = usize::try_from(*from).unwrap();
                    let len = usize::try_from(*len).unwrap();
                    part.write_all(&segment(*number)[from..from + len]).unwrap();
                }
            }
        }
        part.finish().unwrap();
        part
    }

    fn whole() -> Vec<u8> {
        let bytes = |(of, len): &(Option<(u8, u64)>, u64)| match of {
            None => vec![0; usize::try_from(*len).unwrap()],
            Some((number, from)) => {
                let from = usize::try_from(*from).unwrap();
                segment(*number)[from..from + usize::try_from(*len).unwrap()].to_vec()
            }
        };
        SPANS.iter().flat_map(bytes).collect()
    }

    async fn read(part: PartFile) -> Option<Resumed> {
        Resumed::read(part, &spans(), &TagKey::new(KEY)).await
    }

    #[tokio::test]
    async fn as_many_whole_segments_as_were_written_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (count, expected) in [(0, 0), (1, 1), (2, 1), (3, 1), (4, 1), (5, 5), (6, 6)] {
            let resumed = read(part(folder.path(), count)).await;
            assert_eq!(resumed.as_ref().map_or(0, |resumed| resumed.span_count), expected, "{count} spans");
            let Some(resumed) = resumed else { continue };
            let len = usize::try_from(resumed.len).unwrap();
            assert_eq!(resumed.hasher.finalize(), Sha256::digest(&whole()[..len]));
            assert_eq!(resumed.part.file().metadata().unwrap().len(), resumed.len);
            assert_eq!(resumed.bytes, 1_000 * [0, 1, 1, 1, 1, 2, 3][expected]);
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_from_the_first_wrong_byte_on_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let ends = [(0, 0), (1_000, 1), (77_000, 5)];
        for at in (0..whole().len()).step_by(997) {
            let part = part(folder.path(), 6);
            let mut byte = [0];
            part.file().read_exact_at(&mut byte, at as u64).unwrap();
            part.file().write_all_at(&[byte[0] ^ 1], at as u64).unwrap();
            let expected = ends.iter().rev().find(|(end, _)| at >= *end).unwrap().1;
            let found = read(part).await.map_or(0, |resumed| resumed.span_count);
            assert_eq!(found, expected, "byte {at}");
        }
    }
}
