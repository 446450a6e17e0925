//! Reading files: content-defined segments, each with its tag, and a hash of the whole file. Runs on a thread of its
//! own and stays a few segments ahead.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::client::error::ClientError;
use crate::crypt::TagKey;
use crate::crypt::tag::segment_tag;
use crate::format::segment::Cutter;
use crate::types::Tag;
use crate::types::limits::SEGMENT_LEN_MAX;

/// Segments that wait to be taken: enough to keep the reader busy, little enough for memory.
const AHEAD: usize = 4;

/// What comes out of the reader, file after file in the order they were given.
pub(crate) enum Reading {
    /// The next segment of the current file.
    Segment { plain: BytesMut, tag: Tag },
    /// The current file is complete.
    End { len: u64, sha256: [u8; 32] },
    /// A file could not be read; nothing follows.
    Failed(ClientError),
}

/// Reads `files` one after the other.
pub(crate) fn read_files(files: Vec<PathBuf>, cutter: Cutter, key: TagKey) -> mpsc::Receiver<Reading> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // Ends by itself: when all is read, or when the receiver is gone.
    tokio::task::spawn_blocking(move || {
        for path in files {
            if let Err(error) = read_file(&path, &cutter, &key, &sender) {
                let _ = sender.blocking_send(Reading::Failed(error));
                return;
            }
            if sender.is_closed() {
                return;
            }
        }
    });
    receiver
}

fn read_file(
    path: &Path,
    cutter: &Cutter,
    key: &TagKey,
    sender: &mpsc::Sender<Reading>,
) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let window = SEGMENT_LEN_MAX as usize;
    let mut buffer = BytesMut::new();
    let mut hasher = Sha256::new();
    let mut len = 0;
    let mut at_end = false;
    loop {
        while !at_end && buffer.len() < window {
            let start = buffer.len();
            buffer.resize(window, 0);
            let read = file.read(&mut buffer[start..]).map_err(failed)?;
            buffer.truncate(start + read);
            at_end = read == 0;
        }
        if buffer.is_empty() {
            break;
        }
        // Without a cut the file ends within the window: what is left is its last segment.
        let len_of_next = cutter.cut(&buffer).unwrap_or(buffer.len());
        let plain = buffer.split_to(len_of_next);
        hasher.update(&plain);
        len += plain.len() as u64;
        let tag = segment_tag(&plain, key);
        if sender.blocking_send(Reading::Segment { plain, tag }).is_err() {
            return Ok(());
        }
    }
    let _ = sender.blocking_send(Reading::End { len, sha256: hasher.finalize().into() });
    Ok(())
}
