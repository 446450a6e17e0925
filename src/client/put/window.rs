//! What was read of a file and is not cut yet. The buffer is the same for all files: nothing is allocated, and nothing
//! zeroed, for what comes next.

use std::io::{self, Read};

/// A stretch of a file.
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    /// An empty window that holds up to `len_max` bytes.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { bytes: vec![0; len_max], start: 0, end: 0 }
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// How many bytes more it takes.
    pub(crate) fn room(&self) -> usize {
        self.bytes.len() - self.bytes().len()
    }

    /// Takes `len` bytes out at the beginning.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn pass(&mut self, len: usize) {
        assert!(len <= self.bytes().len(), "no more is passed than is there");
        self.start += len;
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads once, up to `len` bytes or as many as there is room for; what was read.
    pub(crate) fn read(&mut self, from: &mut impl Read, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.room());
        if self.bytes.len() - self.end < len {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let begin = self.end;
        self.end += from.read(&mut self.bytes[begin..begin + len])?;
        Ok(&self.bytes[begin..self.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_comes_out_in_order_however_it_is_taken() {
        let all: Vec<u8> = (0..100).collect();
        for (capacity, take) in [(1, 1), (7, 3), (10, 10), (10, 1), (64, 33)] {
            let (mut from, mut out) = (all.as_slice(), Vec::new());
            let mut window = Window::new(capacity);
            loop {
                while window.room() > 0 && !window.read(&mut from, 4).unwrap().is_empty() {}
                assert!(window.bytes().len() <= capacity);
                let len = take.min(window.bytes().len());
                if len == 0 {
                    break;
                }
                out.extend_from_slice(&window.bytes()[..len]);
                window.pass(len);
            }
            assert_eq!(out, all, "{capacity}, {take}");
        }
    }
}
