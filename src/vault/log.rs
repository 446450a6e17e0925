//! A device's log: the records of its chain end to end in one file, and beside it how many bytes of it are safe.
//!
//! Records are appended and synced, then the number of synced bytes is noted in `<device>.synced`, unsynced: what
//! the note says on disk is never more than what the log safely has. So after a crash, whatever is wrong below the
//! noted length is damage, and whatever is wrong above it was never acknowledged and is cut off. A log without its
//! note is taken as all safe.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::env::file_step;
use crate::format::Record;
use crate::format::chain::RecordFault;
use crate::format::codec::Reader;
use crate::types::DeviceId;
use crate::types::limits::RECORD_BODY_LEN_MAX;
use crate::vault::{VaultError, files};

/// No record is longer: its body, and less than a page for envelope, sealing and signature.
const RECORD_LEN_MAX: usize = RECORD_BODY_LEN_MAX + 4096;

/// The file of one chain.
#[derive(Debug)]
pub(crate) struct ChainLog {
    path: PathBuf,
    file: File,
    note: File,
    note_path: PathBuf,
}

impl ChainLog {
    /// The log of `device` in the folder `manifest`, made if there is none.
    pub(crate) fn open(manifest: &Path, device: DeviceId) -> Result<Self, VaultError> {
        let path = manifest.join(format!("{device}.log"));
        let note_path = manifest.join(format!("{device}.synced"));
        let is_new = !path.try_exists().map_err(VaultError::io("look at", &path))?;
        // The note comes first: a log without one is taken as all safe.
        let note = files::open_private(&note_path)?;
        let log = Self { file: files::open_private(&path)?, note, path, note_path };
        if is_new {
            log.note_synced(0)?;
            log.note.sync_all().map_err(VaultError::io("sync", &log.note_path))?;
            files::sync_folder_of(&log.path)?;
        }
        Ok(log)
    }

    /// The devices that have a log in the folder `manifest`.
    pub(crate) fn devices(manifest: &Path) -> Result<Vec<DeviceId>, VaultError> {
        let mut devices = Vec::new();
        for entry in manifest.read_dir().map_err(VaultError::io("list", manifest))? {
            let name = entry.map_err(VaultError::io("list", manifest))?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
            devices.extend(stem.and_then(|stem| DeviceId::parse(stem).ok()));
        }
        devices.sort_unstable();
        Ok(devices)
    }

    /// Bytes in the file.
    pub(crate) fn len(&self) -> Result<u64, VaultError> {
        Ok(self.file.metadata().map_err(VaultError::io("look at", &self.path))?.len())
    }

    /// How many bytes are safe; all of them if nothing is noted.
    pub(crate) fn synced_len(&self) -> Result<u64, VaultError> {
        let mut bytes = [0; 8];
        match self.note.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(u64::from_le_bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.len(),
            Err(error) => Err(VaultError::io("read", &self.note_path)(error)),
        }
    }

    /// Writes `bytes` at `end`, where the log must end, and syncs them. After a failure the log is cut back to `end`.
    pub(crate) fn append(&self, bytes: &[u8], end: u64) -> Result<(), VaultError> {
        let write = || -> io::Result<()> {
            file_step()?;
            self.file.write_all_at(bytes, end)?;
            file_step()?;
            self.file.sync_data()
        };
        if let Err(error) = write() {
            // Should this fail as well: nothing above the noted length is believed when the log is opened again.
            let _ = file_step().and_then(|()| self.file.set_len(end));
            return Err(VaultError::io("append to", &self.path)(error));
        }
        self.note_synced(end + bytes.len() as u64)
    }

    /// Cuts off what is behind `end`, and makes sure of the rest.
    pub(crate) fn cut(&self, end: u64) -> Result<(), VaultError> {
        let failed = |source| VaultError::io("cut", &self.path)(source);
        if self.len()? > end {
            file_step().and_then(|()| self.file.set_len(end)).map_err(failed)?;
        }
        self.file.sync_all().map_err(failed)?;
        self.note_synced(end)
    }

    /// `len` bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, VaultError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(VaultError::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Reads record after record, from `offset` on.
    pub(crate) fn scan(&self, offset: u64) -> LogScan<'_> {
        LogScan { log: self, buffer: Vec::new(), used: 0, offset, at_end: false }
    }

    /// The same log, of a disk that refuses every write.
    #[cfg(test)]
    pub(crate) fn unwritable(&self) -> Self {
        let file = File::open(&self.path).expect("the log is there");
        let note = File::open(&self.note_path).expect("its note is there");
        Self { path: self.path.clone(), file, note, note_path: self.note_path.clone() }
    }

    fn note_synced(&self, len: u64) -> Result<(), VaultError> {
        let write = || self.note.write_all_at(&len.to_le_bytes(), 0);
        file_step().and_then(|()| write()).map_err(VaultError::io("write", &self.note_path))
    }
}

/// Reads a log from some offset on, record by record, with a buffer of two records at most.
#[derive(Debug)]
pub(crate) struct LogScan<'a> {
    log: &'a ChainLog,
    buffer: Vec<u8>,
    used: usize,
    offset: u64,
    at_end: bool,
}

impl LogScan<'_> {
    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, not verified; `None` at the end of the file. The inner error is the record's own.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Record, RecordFault>>, VaultError> {
        if self.buffer.len() - self.used < RECORD_LEN_MAX && !self.at_end {
            self.fill()?;
        }
        let rest = &self.buffer[self.used..];
        if rest.is_empty() {
            return Ok(None);
        }
        let mut input = Reader::new(rest, "a record");
        let record = match Record::read(&mut input) {
            Ok(record) => record,
            Err(crate::format::FormatError::Truncated { .. }) => return Ok(Some(Err(RecordFault::CutOff))),
            Err(error) => return Ok(Some(Err(error.into()))),
        };
        self.used += record.as_bytes().len();
        self.offset += record.as_bytes().len() as u64;
        Ok(Some(Ok(record)))
    }

    fn fill(&mut self) -> Result<(), VaultError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut have = self.buffer.len();
        // Most logs are far shorter than the longest record: no more is cleared than there is to be read.
        let left = self.log.len()?.saturating_sub(self.offset);
        let room = usize::try_from(left).map_or(2 * RECORD_LEN_MAX, |left| left.min(2 * RECORD_LEN_MAX));
        self.buffer.resize(room.max(have + 1), 0);
        while have < self.buffer.len() {
            let got = self.log.file.read_at(&mut self.buffer[have..], self.offset + have as u64);
            match got {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(len) => have += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(VaultError::io("read", &self.log.path)(error)),
            }
        }
        self.buffer.truncate(have);
        Ok(())
    }
}
