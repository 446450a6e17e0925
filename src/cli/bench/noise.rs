//! Bytes that do not compress, and are never the same twice: what a vault or a provider has already, it is not sent.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use rand::RngCore;

use crate::env::Env;

/// Bytes that are made at a time.
const PART_LEN: usize = 256 * 1024;

/// So many bytes.
pub(super) fn blob(len: usize, env: &Env) -> Bytes {
    let mut bytes = vec![0; len];
    env.rng().fill_bytes(&mut bytes);
    bytes.into()
}

/// A file of so many bytes. Blocks.
pub(super) fn file(path: &Path, len: u64, env: &Env) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut rng, mut part, mut left) = (env.rng(), vec![0; PART_LEN], len);
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PART_LEN).min(PART_LEN);
        rng.fill_bytes(&mut part[..now]);
        file.write_all(&part[..now])?;
        left -= now as u64;
    }
    file.flush()
}
