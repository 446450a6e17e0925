//! Compression inside what is sealed: a flag byte, then the data as it is or as one Zstandard frame (RFC 8878).

use std::borrow::Cow;

use zstd::zstd_safe;

use super::FormatError;

/// The data follows as it is.
const RAW: u8 = 0;
/// The data follows as one Zstandard frame that carries its content's size.
const ZSTD: u8 = 1;

const LEVEL: i32 = 3;
/// Data up to this long is not sampled first: compressing it costs no more than sampling.
const SAMPLED_LEN_MIN: usize = 128 * 1024;
const SAMPLE_LEN: usize = 16 * 1024;
const SAMPLE_COUNT: usize = 3;

/// Puts the flag in front of `data`, compressed where that makes it shorter. Room for an authenticator is left behind.
pub fn pack(data: &[u8], room: usize) -> Vec<u8> {
    compressed(raw(data, room))
}

/// Puts the flag in front of `data`, as it is. `room` bytes are left behind.
pub fn raw(data: &[u8], room: usize) -> Vec<u8> {
    let mut raw = Vec::with_capacity(1 + data.len() + room);
    raw.push(RAW);
    raw.extend_from_slice(data);
    raw
}

/// Compresses what [`raw`] made, where that makes it shorter; it has as much room as before.
pub fn compressed(raw: Vec<u8>) -> Vec<u8> {
    let Some((_, data)) = raw.split_first().filter(|(_, data)| promises_to_shrink(data)) else { return raw };
    let mut packed = Vec::with_capacity(raw.capacity());
    packed.push(ZSTD);
    packed.resize(data.len(), 0);
    // The frame gets one byte less than the data has: if it does not fit, it is not shorter.
    if let Some(frame) = packed.get_mut(1..)
        && let Ok(len) = zstd::bulk::compress_to_buffer(data, frame, LEVEL)
    {
        packed.truncate(1 + len);
        return packed;
    }
    raw
}

/// Takes the flag off, and decompresses: at most `len_max` bytes.
pub fn unpack<'a>(
    packed: &'a [u8],
    len_max: usize,
    what: &'static str,
) -> Result<Cow<'a, [u8]>, FormatError> {
    let broken = |rule| FormatError::Invalid { what, rule };
    let (&flag, data) = packed.split_first().ok_or(FormatError::Truncated { what, wanted: 1, left: 0 })?;
    let check_len = |len: u64| match usize::try_from(len) {
        Ok(len) if len <= len_max => Ok(len),
        _ => Err(FormatError::TooMany { what: "bytes after decompression", count: len, max: len_max as u64 }),
    };
    match flag {
        RAW => {
            check_len(data.len() as u64)?;
            Ok(Cow::Borrowed(data))
        }
        ZSTD => {
            let len = match zstd_safe::get_frame_content_size(data) {
                Ok(Some(len)) => check_len(len)?,
                _ => return Err(broken("a Zstandard frame carries its content's size")),
            };
            if zstd_safe::find_frame_compressed_size(data) != Ok(data.len()) {
                return Err(broken("there is exactly one Zstandard frame"));
            }
            let unpacked = zstd::bulk::decompress(data, len).map_err(|_| broken("the frame decompresses"))?;
            if unpacked.len() != len || data.len() >= len {
                return Err(broken("the frame is shorter than its content, whose size it states"));
            }
            Ok(Cow::Owned(unpacked))
        }
        found => Err(FormatError::UnknownType { what: "compression", found }),
    }
}

/// Whether a few samples of `data` shrink by at least a thirty-second: what does not compress must cost little.
fn promises_to_shrink(data: &[u8]) -> bool {
    if data.len() < SAMPLED_LEN_MIN {
        return true;
    }
    // One context for all samples: to make one takes longer than to compress a sample.
    let Ok(mut compressor) = zstd::bulk::Compressor::new(1) else { return true };
    let stride = (data.len() - SAMPLE_LEN) / (SAMPLE_COUNT - 1);
    (0..SAMPLE_COUNT).any(|i| {
        let sample = &data[i * stride..i * stride + SAMPLE_LEN];
        compressor.compress(sample).is_ok_and(|frame| frame.len() < SAMPLE_LEN - SAMPLE_LEN / 32)
    })
}
