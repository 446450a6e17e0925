//! Entries at their places: made beside them, given their metadata, then renamed. So what was in the way is replaced
//! at once or not at all, and nothing half-done is left under a name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;
use tempfile::NamedTempFile;

use crate::client::error::ClientError;
use crate::client::get::checked::{Checked, WriteError};
use crate::client::get::durable::Durable;
use crate::client::get::layout::spans;
use crate::client::get::metadata::Metadata;
use crate::client::get::options::{GetOutcome, Overwrite, Withheld};
use crate::client::get::part::{PartFile, beside};
use crate::client::get::plan::{Action, Step};
use crate::client::get::resume::Resumed;
use crate::client::get::segments::Segments;
use crate::format::{Entry, EntryKind, File};
use crate::vault::Vault;

/// Mode of a folder while it is filled: its contents are nobody else's business before it has its own mode.
const FILLING: u32 = 0o700;

/// Restores steps of a plan, and keeps account.
#[derive(Debug, Default)]
pub(crate) struct Restorer {
    overwrite: Overwrite,
    metadata: Metadata,
    /// A restored file of each group of hard links.
    links: BTreeMap<u64, PathBuf>,
    /// Modes of folders that were there and could not be written to.
    opened: BTreeMap<PathBuf, u32>,
    durable: Durable,
    outcome: GetOutcome,
}

impl Restorer {
    pub(crate) fn new(overwrite: Overwrite) -> Self {
        Self { overwrite, ..Self::default() }
    }

    /// What was done, once it is on the disk.
    pub(crate) fn into_outcome(self) -> Result<GetOutcome, ClientError> {
        let failed = |source| ClientError::File { path: PathBuf::from("."), source };
        self.durable.finish().map_err(failed)?;
        Ok(GetOutcome { not_restored: self.metadata.into_not_restored(), ..self.outcome })
    }

    /// Makes a folder that can be written to for now; one that is there is used.
    pub(crate) fn make_folder(&mut self, step: &Step) -> Result<(), ClientError> {
        let place = &step.place;
        let failed = |source| ClientError::File { path: place.clone(), source };
        if step.action == Action::Replace {
            fs::remove_file(place).map_err(failed)?;
        }
        match step.action {
            Action::Make | Action::Replace => {
                DirBuilder::new().mode(FILLING).create(place).map_err(failed)?;
                self.durable.named(place).map_err(failed)
            }
            Action::Merge => {
                let mode = fs::symlink_metadata(place).map_err(failed)?.mode() & 0o7777;
                // Should this not be allowed, writing below will say so.
                if mode & FILLING != FILLING
                    && fs::set_permissions(place, Permissions::from_mode(mode | FILLING)).is_ok()
                {
                    self.opened.insert(place.clone(), mode);
                }
                Ok(())
            }
            Action::Unchanged | Action::Keep => Ok(()),
        }
    }

    /// Gives a folder its metadata, after everything in it was written.
    pub(crate) fn finish_folder(&mut self, step: &Step) {
        let is_left_alone = step.is_above || self.overwrite == Overwrite::Never;
        match step.action {
            Action::Keep | Action::Unchanged => {}
            Action::Merge if is_left_alone => {
                if let Some(mode) = self.opened.get(&step.place) {
                    let _ = fs::set_permissions(&step.place, Permissions::from_mode(*mode));
                }
            }
            Action::Make | Action::Replace | Action::Merge => {
                self.metadata.give(&step.place, &step.entry, &step.path);
            }
        }
    }

    /// Counts an entry that is there already. A hard link may still be made to one that is as recorded.
    pub(crate) fn leave(&mut self, step: &Step) {
        match step.action {
            Action::Unchanged => {
                self.outcome.unchanged += 1;
                self.remember_link(step);
            }
            Action::Keep => self.outcome.kept += 1,
            Action::Make | Action::Replace | Action::Merge => {}
        }
    }

    /// Makes what has no bytes of its own: a link, a pipe, a device. Files and folders are none of these.
    pub(crate) fn make_node(&mut self, step: &Step) -> Result<(), ClientError> {
        if matches!(step.entry.kind, EntryKind::File(_) | EntryKind::Dir { .. }) || self.link(step)? {
            return Ok(());
        }
        let made = match &step.entry.kind {
            EntryKind::Symlink { target } => {
                beside(&step.place, |part| symlink(OsStr::from_bytes(target), part))
            }
            EntryKind::Fifo => beside(&step.place, |part| Ok(mkfifo(part, Mode::S_IRUSR | Mode::S_IWUSR)?)),
            EntryKind::CharDevice { rdev } => device(&step.place, SFlag::S_IFCHR, *rdev),
            EntryKind::BlockDevice { rdev } => device(&step.place, SFlag::S_IFBLK, *rdev),
            EntryKind::Socket => {
                self.metadata.withhold(Withheld::Socket, &step.path);
                return Ok(());
            }
            EntryKind::File(_) | EntryKind::Dir { .. } => return Ok(()),
        };
        match made {
            Ok(part) => {
                self.metadata.give(part.path(), &step.entry, &step.path);
                self.name(part, step)
            }
            Err(error) if is_device(&step.entry) && error.raw_os_error() == Some(Errno::EPERM as i32) => {
                self.metadata.withhold(Withheld::Device, &step.path);
                Ok(())
            }
            Err(source) => Err(ClientError::File { path: step.place.clone(), source }),
        }
    }

    /// Restores a file: as another name of one that is there, or from its segments, those that `resumed` has left out.
    pub(crate) async fn make_file(
        &mut self,
        file: &File,
        step: &Step,
        resumed: Option<Resumed>,
        segments: &mut Segments<'_>,
        vault: &Vault,
    ) -> Result<(), ClientError> {
        if self.link(step)? {
            self.outcome.files += 1;
            self.outcome.bytes += file.len;
            return Ok(());
        }
        let failed = |source| ClientError::File { path: step.place.clone(), source };
        let spans = spans(file, &(0..file.len), vault)?;
        let (mut checked, done) = match resumed {
            Some(Resumed { part, hasher, len, span_count, bytes }) => {
                self.outcome.resumed += bytes;
                (Checked::going_on(part, hasher, len), span_count)
            }
            None => (Checked::new(PartFile::create(&step.place, file).map_err(failed)?), 0),
        };
        checked.take(&spans[done..], segments).await.map_err(|error| match error {
            WriteError::Source(error) => error,
            WriteError::Sink(source) => failed(source),
        })?;
        let mut part = checked.finish(file, &step.path)?;
        part.finish().map_err(failed)?;
        if file.holes.is_empty() {
            self.metadata.give(part.path(), &step.entry, &step.path);
            self.durable.take(part.file()).map_err(failed)?;
        } else {
            // Synced at once: after a crash it could have its length without its bytes, and look unchanged.
            part.file().set_len(file.len).map_err(failed)?;
            self.metadata.give(part.path(), &step.entry, &step.path);
            part.file().sync_all().map_err(failed)?;
        }
        make_way(step)?;
        part.name(&step.place).map_err(failed)?;
        self.durable.named(&step.place).map_err(failed)?;
        self.remember_link(step);
        self.outcome.files += 1;
        self.outcome.bytes += file.len;
        Ok(())
    }

    /// Makes the entry a hard link to one of its group that is there. Whether that was done.
    fn link(&mut self, step: &Step) -> Result<bool, ClientError> {
        let Some(first) = self.links.get(&step.entry.link_group) else { return Ok(false) };
        let file = |path: &Path| path.symlink_metadata().map(|found| (found.dev(), found.ino())).ok();
        // A rename onto another name of the same file does nothing, and would leave both names.
        if file(first).is_some() && file(first) == file(&step.place) {
            return Ok(true);
        }
        let Ok(part) = beside(&step.place, |part| fs::hard_link(first, part)) else {
            self.metadata.withhold(Withheld::HardLink, &step.path);
            return Ok(false);
        };
        self.rename(part, step)?;
        Ok(true)
    }

    fn remember_link(&mut self, step: &Step) {
        if step.entry.link_group != 0 {
            self.links.entry(step.entry.link_group).or_insert_with(|| step.place.clone());
        }
    }

    /// Gives what was made beside its place its name.
    fn name<F>(&mut self, part: NamedTempFile<F>, step: &Step) -> Result<(), ClientError> {
        self.rename(part, step)?;
        self.remember_link(step);
        Ok(())
    }

    fn rename<F>(&mut self, part: NamedTempFile<F>, step: &Step) -> Result<(), ClientError> {
        let failed = |source| ClientError::File { path: step.place.clone(), source };
        make_way(step)?;
        part.persist(&step.place).map_err(|error| failed(error.error))?;
        self.durable.named(&step.place).map_err(failed)
    }
}

/// Removes an empty folder that stands in the way; a full one is not replaced.
fn make_way(step: &Step) -> Result<(), ClientError> {
    if step.action == Action::Replace && step.place.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        let failed = |source| ClientError::File { path: step.place.clone(), source };
        fs::remove_dir(&step.place).map_err(failed)?;
    }
    Ok(())
}

fn device(place: &Path, kind: SFlag, number: u64) -> io::Result<NamedTempFile<()>> {
    beside(place, |part| Ok(mknod(part, kind, Mode::S_IRUSR | Mode::S_IWUSR, number)?))
}

fn is_device(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. })
}
