//! Segments: cutting a file by its content, compressing and sealing the pieces (docs/format.md, "Segments").

use bytes::Bytes;
use fastcdc::v2020::{FastCDC, Normalization};
use rand::CryptoRng;

use crate::crypt::seal::SEAL_OVERHEAD;
use crate::crypt::{SealedSegment, SegmentKey, open_segment, seal_segment};
use crate::types::limits::{PACK_LEN_MAX, SEGMENT_LEN_AVG, SEGMENT_LEN_MAX, SEGMENT_LEN_MIN};

use super::FormatError;
use super::compress;
use super::content::Segment;

/// Bytes that compression's flag and sealing add at most.
pub const SEGMENT_OVERHEAD: usize = 1 + SEAL_OVERHEAD;

/// Finds where segments end: FastCDC (2020), with a gear table that the vault's secret has changed.
#[derive(Debug)]
pub struct Cutter {
    /// Has the table made once; its source is empty.
    cutter: FastCDC<'static>,
}

impl Cutter {
    /// A cutter for one vault.
    pub fn new(seed: u64) -> Self {
        let [min, avg, max] = [SEGMENT_LEN_MIN, SEGMENT_LEN_AVG, SEGMENT_LEN_MAX].map(|len| len as usize);
        Self { cutter: FastCDC::with_level_and_seed(&[], min, avg, max, Normalization::Level2, seed) }
    }

    /// Length of the first segment of `rest`, which is what is left of a file, or the beginning of that.
    ///
    /// None if the segment may go on behind the end of `rest`: then more is needed, and where the file ends too, `rest`
    /// is its last segment. With `SEGMENT_LEN_MAX` bytes there is always an answer.
    pub fn cut(&self, rest: &[u8]) -> Option<usize> {
        let window = &rest[..rest.len().min(SEGMENT_LEN_MAX as usize)];
        let mut cutter: FastCDC<'_> = self.cutter.clone();
        let (_, len) = cutter.rechunk(window).cut(0, window.len());
        (len < window.len() || len == SEGMENT_LEN_MAX as usize).then_some(len)
    }
}

/// The plaintext of a segment, with room for what sealing adds: unless it is compressed, it is sealed where it lies.
#[derive(Debug)]
pub struct Plaintext {
    /// The place of compression's flag, then the plaintext.
    flagged: Vec<u8>,
}

impl Plaintext {
    /// A copy of `plain`.
    pub fn copy_of(plain: &[u8]) -> Self {
        Self { flagged: compress::raw(plain, SEAL_OVERHEAD) }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.flagged.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Compresses a segment where that helps, and seals it.
///
/// # Panics
/// If `plain` is empty: an empty file has no segments.
pub fn seal(plain: &[u8], rng: &mut impl CryptoRng) -> SealedSegment {
    seal_in_place(Plaintext::copy_of(plain), rng)
}

/// As [`seal`], without another copy where nothing is compressed.
///
/// # Panics
/// As [`seal`].
pub fn seal_in_place(plain: Plaintext, rng: &mut impl CryptoRng) -> SealedSegment {
    assert!(!plain.is_empty(), "no segment is empty");
    seal_segment(compress::compressed(plain.flagged), rng)
}

/// Opens a sealed segment, given as its pieces end to end.
pub fn open(segment: &Segment, sealed: Vec<u8>) -> Result<Bytes, FormatError> {
    if sealed.len() != segment.sealed_len() as usize {
        return Err(FormatError::Invalid { what: "a sealed segment", rule: "it is as long as its pieces" });
    }
    open_exactly(&segment.key, segment.plain_len, sealed)
}

/// Opens what [`seal`] made of `plain_len` bytes.
pub(super) fn open_exactly(key: &SegmentKey, plain_len: u32, sealed: Vec<u8>) -> Result<Bytes, FormatError> {
    let what = "a segment";
    let packed = Bytes::from(open_segment(key, sealed)?);
    let len_max = plain_len.min(PACK_LEN_MAX) as usize;
    let plain = match compress::unpack(&packed, len_max, what)? {
        std::borrow::Cow::Borrowed(_) => packed.slice(1..),
        std::borrow::Cow::Owned(plain) => Bytes::from(plain),
    };
    if plain.len() == plain_len as usize {
        Ok(plain)
    } else {
        Err(FormatError::Invalid { what, rule: "it has the length that is recorded" })
    }
}
