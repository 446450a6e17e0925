//! Writing and reading the format's values: little-endian, fixed width, counts in front, one way to write each value.
//!
//! Every limit is checked on both sides, so nothing is written that cannot be read back. A reader never allocates
//! more than its input could hold.

use super::FormatError;

/// A value with one encoding.
pub trait Encoding: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Writer) -> Result<(), FormatError>;

    /// Takes one value off the front of `input`.
    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError>;
}

/// The encoding of one value.
pub fn encode<T: Encoding>(value: &T) -> Result<Vec<u8>, FormatError> {
    let mut out = Writer::new();
    value.write(&mut out)?;
    Ok(out.into_bytes())
}

/// The value that `bytes` encode, all of them.
pub fn decode<T: Encoding>(bytes: &[u8], what: &'static str) -> Result<T, FormatError> {
    let mut input = Reader::new(bytes, what);
    let value = T::read(&mut input)?;
    input.finish()?;
    Ok(value)
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Self {
        Self { bytes: Vec::with_capacity(len) }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Appends a `u32`.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a `u64`.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends an `i64`, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a count of at most `max`.
    pub fn count(&mut self, count: usize, max: usize, what: &'static str) -> Result<(), FormatError> {
        match u32::try_from(count) {
            Ok(value) if count <= max => {
                self.u32(value);
                Ok(())
            }
            _ => Err(FormatError::TooMany { what, count: count as u64, max: max as u64 }),
        }
    }

    /// Appends the length of `bytes`, at most `max`, and `bytes`.
    pub fn bytes(&mut self, bytes: &[u8], max: usize, what: &'static str) -> Result<(), FormatError> {
        self.count(bytes.len(), max, what)?;
        self.raw(bytes);
        Ok(())
    }

    /// Appends a text as its UTF-8 bytes.
    pub fn text(&mut self, text: &str, max: usize, what: &'static str) -> Result<(), FormatError> {
        self.bytes(text.as_bytes(), max, what)
    }

    /// Appends the number of items, at most `max`, and the items.
    pub fn list<T: Encoding>(
        &mut self,
        items: &[T],
        max: usize,
        what: &'static str,
    ) -> Result<(), FormatError> {
        self.count(items.len(), max, what)?;
        items.iter().try_for_each(|item| item.write(self))
    }
}

/// Takes values off the front of a byte string.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`; `what` names them in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading: an error if anything is left.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::TrailingBytes { what: self.what, len: self.rest.len() as u64 })
        }
    }

    /// Takes `len` bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(FormatError::Truncated {
            what: self.what,
            wanted: len as u64,
            left: self.rest.len() as u64,
        })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes `LEN` bytes.
    pub fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], FormatError> {
        Ok(self.raw(LEN)?.try_into().expect("raw gives as many bytes as asked"))
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// Takes a `u32`.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes a `u64`.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes an `i64`.
    pub fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Takes a count of at most `max`.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, FormatError> {
        let count = self.u32()?;
        match usize::try_from(count) {
            Ok(value) if value <= max => Ok(value),
            _ => Err(FormatError::TooMany { what, count: count.into(), max: max as u64 }),
        }
    }

    /// Takes a length of at most `max`, and so many bytes.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        let len = self.count(max, what)?;
        self.raw(len)
    }

    /// Takes a text of at most `max` bytes of UTF-8.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<String, FormatError> {
        let bytes = self.bytes(max, what)?;
        let text = str::from_utf8(bytes).map_err(|_| FormatError::Invalid { what, rule: "text is UTF-8" })?;
        Ok(text.to_owned())
    }

    /// Takes a number of items, at most `max`, and the items.
    pub fn list<T: Encoding>(&mut self, max: usize, what: &'static str) -> Result<Vec<T>, FormatError> {
        let count = self.count(max, what)?;
        // Grown as items turn up, not by what the count promises.
        let mut items = Vec::with_capacity(count.min(self.remaining() / size_of::<T>().max(1)));
        for _ in 0..count {
            items.push(T::read(self)?);
        }
        Ok(items)
    }

    /// Takes one byte that must be the version of `what` that this program knows.
    pub fn version(&mut self, known: u8, what: &'static str) -> Result<(), FormatError> {
        match self.u8()? {
            found if found == known => Ok(()),
            found => Err(FormatError::UnknownVersion { what, found, known }),
        }
    }
}

macro_rules! fixed_encoding {
    ($($name:ty => $len:literal),* $(,)?) => { $(
        impl Encoding for $name {
            fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
                out.raw(self.as_bytes());
                Ok(())
            }

            fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
                Ok(Self::new(input.array::<$len>()?))
            }
        }
    )* };
}

fixed_encoding!(
    crate::types::BlobHash => 32,
    crate::types::ProviderId => 32,
    crate::types::MerkleRoot => 32,
    crate::types::Tag => 32,
    crate::types::PackId => 16,
    crate::types::SnapshotId => 16,
    crate::types::DeviceId => 16,
);
