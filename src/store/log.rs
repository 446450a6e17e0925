//! The claims log on disk: reading it after a restart, appending to it, writing it anew.

use std::path::Path;

use crate::store::record::{Record, SLOT_LEN, VERSION, VERSION_MIN};
use crate::store::{Disk, StoreError};

/// The log's name in the store's folder.
pub const LOG: &str = "claims.log";
const NEW_LOG: &str = "claims.new";

/// What was found of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogState {
    /// Slots up to the last good one.
    pub slot_count: u64,
    /// Damaged slots before the last good one.
    pub damaged_count: u64,
    /// Whether something stands behind the last good slot: a write that a crash cut off, or slots that were good once.
    pub torn: bool,
    /// Whether it is of an earlier version than that which is written: it is to be written anew.
    pub is_old: bool,
}

impl LogState {
    /// Whether there may have been records that cannot be read: then a blob without a claim is no proof that nobody has one.
    pub fn may_lack_records(&self) -> bool {
        self.slot_count == 0 || self.damaged_count > 0 || self.torn
    }
}

/// Reads the log, handing each good record to `take` in order.
///
/// # Errors
/// [`StoreError::Version`] for a log of a version that is not known; [`StoreError::Damaged`] if none of it can be read;
/// [`StoreError::Disk`].
pub fn read(disk: &dyn Disk, mut take: impl FnMut(&Record)) -> Result<LogState, StoreError> {
    const PIECE_LEN: usize = SLOT_LEN * 8192;
    let path = Path::new(LOG);
    let mut reader = Reader::default();
    let mut offset = 0;
    loop {
        let piece = match disk.read_range(path, offset, PIECE_LEN) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LogState::default()),
            piece => piece.map_err(StoreError::disk(path))?,
        };
        reader.read(&piece, &mut take)?;
        offset += piece.len() as u64;
        if piece.len() < PIECE_LEN {
            break;
        }
    }
    if offset > 0 && reader.state.slot_count == 0 {
        return Err(StoreError::Damaged { path: path.to_owned() });
    }
    Ok(reader.state)
}

/// Finds the good records in the bytes of a log, piece by piece. Takes any bytes.
#[derive(Debug, Default)]
struct Reader {
    position: u64,
    state: LogState,
}

impl Reader {
    /// `piece` begins at a slot; only the last piece of a log may end within one.
    fn read(&mut self, piece: &[u8], take: &mut impl FnMut(&Record)) -> Result<(), StoreError> {
        let (slots, rest) = piece.as_chunks::<SLOT_LEN>();
        for slot in slots {
            let position = self.position;
            self.position += 1;
            match Record::decode(slot, position) {
                Some(Record::Version(version)) if !(VERSION_MIN..=VERSION).contains(&version) => {
                    return Err(StoreError::Version { version, known: VERSION });
                }
                Some(record) => {
                    self.state.is_old |= matches!(record, Record::Version(version) if version != VERSION);
                    self.state.damaged_count += position - self.state.slot_count;
                    self.state.slot_count = self.position;
                    self.state.torn = false;
                    take(&record);
                }
                None => self.state.torn = true,
            }
        }
        self.state.torn |= !rest.is_empty();
        Ok(())
    }
}

/// Reads arbitrary bytes as a log: the entry for fuzzing. Good slots of it decode and encode to the same bytes.
pub fn read_bytes(bytes: &[u8]) -> Result<(Vec<Record>, LogState), StoreError> {
    let mut records = Vec::new();
    let mut reader = Reader::default();
    reader.read(bytes, &mut |record| records.push(*record))?;
    Ok((records, reader.state))
}

/// The end of the log that is being written. One writer at a time.
#[derive(Debug)]
pub(super) struct Writer {
    slot_count: u64,
    /// Bytes that are no good may stand after the last slot.
    torn: bool,
    /// The log was replaced and its name is not safe yet.
    renamed: bool,
}

impl Writer {
    pub(super) fn new(state: LogState) -> Self {
        Self { slot_count: state.slot_count, torn: state.torn, renamed: false }
    }

    pub(super) fn slot_count(&self) -> u64 {
        self.slot_count
    }

    /// Adds records; when this returns they are safe. After an error it may be tried again with the same ones.
    pub(super) fn append(&mut self, disk: &dyn Disk, records: &[Record]) -> Result<(), StoreError> {
        let path = Path::new(LOG);
        self.sync_name(disk)?;
        if self.torn {
            disk.truncate(path, self.slot_count * SLOT_LEN as u64).map_err(StoreError::disk(path))?;
        }
        self.torn = true;
        let bytes = encode(records.iter().copied(), self.slot_count);
        disk.append(path, &bytes).map_err(StoreError::disk(path))?;
        disk.sync_file(path).map_err(StoreError::disk(path))?;
        self.torn = false;
        self.slot_count += records.len() as u64;
        Ok(())
    }

    /// Puts a log of these records, encoded by [`encode_log`], in place of the old one: whole or not at all.
    pub(super) fn replace(&mut self, disk: &dyn Disk, log: &[u8]) -> Result<(), StoreError> {
        self.put_in_place(disk, log)?;
        self.sync_name(disk)
    }

    /// The same, but its name is safe only with the next append.
    fn put_in_place(&mut self, disk: &dyn Disk, log: &[u8]) -> Result<(), StoreError> {
        let (path, new) = (Path::new(LOG), Path::new(NEW_LOG));
        // A crash in an earlier rename may have left it as a second name of the log, which must not be written over.
        match disk.remove(new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Disk { path: new.to_owned(), source: error });
            }
            _ => {}
        }
        let made = disk.write(new, log).and_then(|()| disk.sync_file(new));
        made.and_then(|()| disk.rename(new, path)).map_err(|error| {
            // On a full disk the old log needs what this one takes.
            let _ = disk.remove(new);
            StoreError::disk(path)(error)
        })?;
        *self = Self { slot_count: (log.len() / SLOT_LEN) as u64, torn: false, renamed: true };
        Ok(())
    }

    fn sync_name(&mut self, disk: &dyn Disk) -> Result<(), StoreError> {
        if self.renamed {
            disk.sync_dir(Path::new("")).map_err(StoreError::disk(Path::new(LOG)))?;
            self.renamed = false;
        }
        Ok(())
    }
}

/// A whole log.
pub(super) fn encode_log(records: impl Iterator<Item = Record>) -> Vec<u8> {
    encode([Record::Version(VERSION)].into_iter().chain(records), 0)
}

fn encode(records: impl Iterator<Item = Record>, first: u64) -> Vec<u8> {
    (first..).zip(records).flat_map(|(position, record)| record.encode(position)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SimDisk, Unsynced};
    use crate::types::Timestamp;

    fn ticks(range: std::ops::Range<u64>) -> Vec<Record> {
        range.map(|now| Record::Tick { now: Timestamp(now) }).collect()
    }

    fn read_all(disk: &SimDisk) -> (Vec<Record>, LogState) {
        let mut records = Vec::new();
        let state = read(disk, |record| records.push(*record)).unwrap();
        (records, state)
    }

    fn log_of(records: &[Record]) -> (SimDisk, Writer) {
        let disk = SimDisk::new();
        let mut writer = Writer::new(LogState::default());
        writer.replace(&disk, &encode_log(records.iter().copied())).unwrap();
        (disk, writer)
    }

    #[test]
    fn torn_tail_is_cut_off_and_written_over() {
        let (disk, mut writer) = log_of(&ticks(0..3));
        writer.append(&disk, &ticks(3..5)).unwrap();
        disk.corrupt(LOG, |log| log.truncate(log.len() - 1));
        let (records, state) = read_all(&disk);
        assert_eq!(records[1..], ticks(0..4));
        assert_eq!((state.torn, state.damaged_count), (true, 0));
        Writer::new(state).append(&disk, &ticks(7..8)).unwrap();
        assert_eq!(read_all(&disk).0[1..], [ticks(0..4), ticks(7..8)].concat());
    }

    #[test]
    fn damage_costs_only_the_records_it_hits() {
        let (disk, _) = log_of(&ticks(0..10));
        disk.corrupt(LOG, |log| log[4 * SLOT_LEN..6 * SLOT_LEN].fill(7));
        let (records, state) = read_all(&disk);
        assert_eq!(records[1..], [ticks(0..3), ticks(5..10)].concat());
        assert_eq!((state.damaged_count, state.slot_count, state.torn), (2, 11, false));
    }

    #[test]
    fn failed_append_can_be_repeated() {
        let (disk, mut writer) = log_of(&[]);
        disk.set_capacity(Some(3 * SLOT_LEN - 5));
        assert!(writer.append(&disk, &ticks(0..2)).unwrap_err().is_full());
        disk.set_capacity(None);
        writer.append(&disk, &ticks(0..2)).unwrap();
        assert_eq!(read_all(&disk).0[1..], ticks(0..2));
    }

    // A crash while a log was written anew left its name; the next log took that name's file, was renamed, and a second
    // crash kept both names. The third log was written over the file of the second, which was the log itself by then.
    #[test]
    fn a_second_name_that_crashes_have_left_of_the_log_is_not_written_over() {
        for (seed, step) in (0..40).flat_map(|seed| (0..6).map(move |step| (seed, step))) {
            let (disk, mut writer) = log_of(&ticks(0..3));
            disk.write(Path::new(NEW_LOG), b"left by a crash").unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            writer.put_in_place(&disk, &encode_log(ticks(0..4).into_iter())).unwrap();
            let disk = disk.restart(Unsynced::Torn(seed));
            let (records, state) = read_all(&disk);
            assert!(records.len() >= 4);
            disk.crash_at(disk.op_count() + step);
            let _cut_off = Writer::new(state).put_in_place(&disk, &encode_log(ticks(0..5).into_iter()));
            let (left, _) = read_all(&disk.restart(Unsynced::Torn(seed)));
            assert!(left.starts_with(&records), "seed {seed}, step {step}: {left:?} of {records:?}");
        }
    }

    #[test]
    fn log_of_another_version_or_of_garbage_is_refused() {
        let (disk, _) = log_of(&[]);
        disk.corrupt(LOG, |log| *log = Record::Version(9).encode(0).to_vec());
        assert!(matches!(read(&disk, |_| ()), Err(StoreError::Version { version: 9, .. })));
        disk.corrupt(LOG, |log| log.fill(9));
        assert!(matches!(read(&disk, |_| ()), Err(StoreError::Damaged { .. })));
    }
}
