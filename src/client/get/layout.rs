//! How a file is laid out: which of its bytes lie in which segment, and which in holes.

use std::ops::Range;

use crate::client::error::ClientError;
use crate::client::get::segments::newest;
use crate::client::get::select::tags;
use crate::format::{File, Piece};
use crate::types::Tag;
use crate::vault::Vault;

/// Some bytes of a file, one after another, of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// How many they are, at least 1.
    pub(crate) len: u64,
    /// Where they come from.
    pub(crate) source: Source,
}

/// Where bytes of a file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nowhere: they read as zeros.
    Hole,
    /// From a segment.
    Segment {
        /// Which.
        tag: Tag,
        /// Where in its plaintext they begin.
        from: u64,
    },
}

/// The spans that make up the bytes `range` of a file, in order.
///
/// # Errors
/// A file whose segments do not fill it.
pub(crate) fn spans(file: &File, range: &Range<u64>, vault: &Vault) -> Result<Vec<Span>, ClientError> {
    let mut segments = Vec::new();
    for tag in tags(&file.content, vault)? {
        segments.push((tag, u64::from(newest(&tag, vault)?.plain_len)));
    }
    let (spans, len) = lay_out(file, range, &segments);
    if len == file.len {
        Ok(spans)
    } else {
        Err(ClientError::Dangling { what: format!("{} of {len} bytes of a file", file.len) })
    }
}

/// The pieces of packs that hold these spans, in order.
pub(crate) fn pieces(spans: &[Span], vault: &Vault) -> Result<Vec<Piece>, ClientError> {
    let mut pieces = Vec::new();
    let mut last = None;
    for span in spans {
        let Source::Segment { tag, .. } = span.source else { continue };
        if last != Some(tag) {
            pieces.extend(newest(&tag, vault)?.pieces);
        }
        last = Some(tag);
    }
    Ok(pieces)
}

/// The spans within `range`, and the length of all of them.
fn lay_out(file: &File, range: &Range<u64>, segments: &[(Tag, u64)]) -> (Vec<Span>, u64) {
    let mut spans = Vec::new();
    let mut at = 0_u64;
    let mut lay = |source: Source, len: u64, at: &mut u64| {
        let (begin, end) = ((*at).max(range.start), at.saturating_add(len).min(range.end));
        if begin < end {
            let source = match source {
                Source::Hole => Source::Hole,
                Source::Segment { tag, from } => Source::Segment { tag, from: from + (begin - *at) },
            };
            spans.push(Span { len: end - begin, source });
        }
        *at = at.saturating_add(len);
    };
    let mut holes = file.holes.iter().peekable();
    for (tag, plain_len) in segments {
        let mut from = 0;
        while from < *plain_len {
            if let Some(hole) = holes.next_if(|hole| hole.offset == at) {
                lay(Source::Hole, hole.len, &mut at);
            }
            let room = holes.peek().map_or(u64::MAX, |hole| hole.offset.saturating_sub(at));
            let len = room.min(plain_len - from);
            lay(Source::Segment { tag: *tag, from }, len, &mut at);
            from += len;
        }
    }
    while let Some(hole) = holes.next_if(|hole| hole.offset == at) {
        lay(Source::Hole, hole.len, &mut at);
    }
    (spans, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Hole, Refs};

    /// A file of bytes that count up, but for its holes; its segments are the parts of what is left.
    fn file(len: u64, holes: &[(u64, u64)]) -> (File, Vec<u8>, Vec<u8>) {
        let mut whole: Vec<u8> = (0..len).map(|at| u8::try_from(at % 250).unwrap() + 1).collect();
        let mut stored = whole.clone();
        for (offset, len) in holes.iter().rev() {
            let hole = usize::try_from(*offset).unwrap()..usize::try_from(offset + len).unwrap();
            whole[hole.clone()].fill(0);
            stored.drain(hole);
        }
        let holes = holes.iter().map(|(offset, len)| Hole { offset: *offset, len: *len }).collect();
        (File { len, sha256: [0; 32], holes, content: Refs::Direct(Vec::new()) }, whole, stored)
    }

    #[test]
    fn every_range_of_a_file_with_holes_reads_as_the_file() {
        let layouts: [&[(u64, u64)]; 6] =
            [&[], &[(0, 5)], &[(35, 5)], &[(0, 40)], &[(3, 4), (8, 1), (20, 15)], &[(0, 1), (39, 1)]];
        for holes in layouts {
            let (file, whole, stored) = file(40, holes);
            for cut in [1, 3, 7, 64] {
                let parts: Vec<&[u8]> = stored.chunks(cut).collect();
                let tag = |index: usize| Tag::new([u8::try_from(index).unwrap(); 32]);
                let segments: Vec<_> =
                    parts.iter().enumerate().map(|(index, part)| (tag(index), part.len() as u64)).collect();
                for start in 0..=40 {
                    for end in start..=40 {
                        let (spans, len) = lay_out(&file, &(start..end), &segments);
                        assert_eq!(len, 40);
                        let read: Vec<u8> = spans.iter().flat_map(|span| read(span, &parts)).collect();
                        let wanted = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
                        assert_eq!(read, whole[wanted], "{holes:?}, cut {cut}, {start}..{end}");
                    }
                }
            }
        }
    }

    fn read(span: &Span, parts: &[&[u8]]) -> Vec<u8> {
        let len = usize::try_from(span.len).unwrap();
        match span.source {
            Source::Hole => vec![0; len],
            Source::Segment { tag, from } => {
                let from = usize::try_from(from).unwrap();
                parts[usize::from(tag.as_bytes()[0])][from..from + len].to_vec()
            }
        }
    }

    #[test]
    fn segments_that_do_not_fill_the_file_show_in_its_length() {
        let (file, ..) = file(40, &[(10, 5)]);
        let tag = Tag::new([0; 32]);
        assert_eq!(lay_out(&file, &(0..40), &[(tag, 34)]).1, 39);
        assert_eq!(lay_out(&file, &(0..40), &[(tag, 36)]).1, 41);
        assert_eq!(lay_out(&file, &(0..40), &[(tag, 9)]).1, 9, "the hole is never reached");
    }
}
