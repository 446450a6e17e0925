//! A get from end to end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::get::checked::{Checked, Sink, Stream, WriteError};
use crate::client::get::demand::Demand;
use crate::client::get::layout::{pieces, spans};
use crate::client::get::options::{Destination, GetOptions, GetOutcome};
use crate::client::get::part::{KEPT_LEN_MIN, PartFile, remove_left_over};
use crate::client::get::plan::{Action, Plan, Step};
use crate::client::get::restore::Restorer;
use crate::client::get::resume::Resumed;
use crate::client::get::segments::Segments;
use crate::format::{EntryKind, File, Snapshot};
use crate::types::PackId;
use crate::vault::Vault;

/// Files of which an earlier get has left a part that are gone on with: each takes a descriptor.
const RESUMED_COUNT_MAX: usize = 64;

/// A file that is to be restored.
struct Wanted<'a> {
    step: &'a Step,
    file: &'a File,
    /// What is there already of it.
    resumed: Option<Resumed>,
}

impl Client {
    /// Restores a snapshot, or parts of it. Every file is compared with its recorded length and SHA-256 before it
    /// appears under its name (invariant I1).
    pub async fn get(&self, snapshot: &Snapshot, options: &GetOptions) -> Result<GetOutcome, ClientError> {
        let done = self.get_planned(snapshot, options).await;
        self.remember_deeds();
        done
    }

    async fn get_planned(
        &self,
        snapshot: &Snapshot,
        options: &GetOptions,
    ) -> Result<GetOutcome, ClientError> {
        let plan = Plan::of(snapshot, options, &self.vault)?;
        let may_resume = matches!(options.destination, Destination::Path(_));
        let (files, demand) = files_to_restore(&plan, may_resume, &self.vault).await?;
        let (mut segments, fetcher) = self.segments(demand, options.preferred.clone()).await?;
        let done = match &options.destination {
            Destination::Path(path) => restore(&plan, path, files, options, &mut segments, &self.vault).await,
            Destination::Stdout => {
                let done = compare(&files, || Stream(io::stdout()), &mut segments, &self.vault).await;
                done.and_then(|done| io::stdout().flush().map(|()| done).map_err(ClientError::Stream))
            }
            Destination::Nowhere => compare(&files, io::sink, &mut segments, &self.vault).await,
        };
        self.note_blemishes(&fetcher);
        let (outcome, losses) = done?;
        losses.into_result(GetOutcome { failures: fetcher.failures(), ..outcome })
    }
}

/// Files that cannot be restored. The others are, and an error tells at the end.
#[derive(Default)]
struct Losses {
    paths: Vec<PathBuf>,
    first: Option<ClientError>,
}

impl Losses {
    /// Passes on what does not concern the file at `path` alone.
    fn note(&mut self, path: &Path, done: Result<(), ClientError>) -> Result<bool, ClientError> {
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.is_loss() => {
                // Without the error, which names the file: a log names none.
                tracing::info!(
                    is_integrity = matches!(error, ClientError::Integrity { .. }),
                    "a file cannot be restored"
                );
                self.paths.push(path.to_owned());
                self.first.get_or_insert(error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn into_result(self, outcome: GetOutcome) -> Result<GetOutcome, ClientError> {
        match self.first {
            None => Ok(outcome),
            Some(error) if outcome.files == 0 => Err(error),
            Some(error) => {
                let outcome = Box::new(GetOutcome { lost: self.paths, ..outcome });
                Err(ClientError::Incomplete { outcome, source: Box::new(error) })
            }
        }
    }
}

/// The files that have to be restored, those of a pack together, and what they want of packs. Later names of a hard
/// link come last, and want nothing.
async fn files_to_restore<'a>(
    plan: &'a Plan,
    may_resume: bool,
    vault: &Vault,
) -> Result<(Vec<Wanted<'a>>, Demand), ClientError> {
    let key = vault.keys()?.segment_tag_key();
    let mut left = if may_resume { RESUMED_COUNT_MAX } else { 0 };
    let mut groups = std::collections::BTreeSet::new();
    let (mut first_names, mut other_names) = (Vec::new(), Vec::new());
    let mut ranks: BTreeMap<PackId, usize> = BTreeMap::new();
    for step in &plan.steps {
        let EntryKind::File(file) = &step.entry.kind else { continue };
        let is_other_name = step.entry.link_group != 0 && !groups.insert(step.entry.link_group);
        match step.action {
            Action::Make | Action::Replace if is_other_name => {
                other_names.push(Wanted { step, file, resumed: None });
            }
            Action::Make | Action::Replace => {
                let spans = spans(file, &(0..file.len), vault)?;
                let resumed = match PartFile::left(&step.place, file).filter(|_| left > 0) {
                    Some(part) => Resumed::read(part, &spans, &key).await,
                    None => None,
                };
                left -= usize::from(resumed.is_some());
                let done = resumed.as_ref().map_or(0, |resumed| resumed.span_count);
                let pieces = pieces(&spans[done..], vault)?;
                let next = ranks.len();
                let rank = pieces.first().map_or(0, |piece| *ranks.entry(piece.pack).or_insert(next));
                first_names.push((rank, Wanted { step, file, resumed }, pieces));
            }
            Action::Unchanged | Action::Keep | Action::Merge => {}
        }
    }
    first_names.sort_by_key(|(rank, ..)| *rank);
    let mut demand = Demand::default();
    let mut files = Vec::with_capacity(first_names.len() + other_names.len());
    for (_, wanted, pieces) in first_names {
        for piece in &pieces {
            demand.add(piece, vault)?;
        }
        files.push(wanted);
    }
    files.extend(other_names);
    Ok((files, demand))
}

/// Fetches all files and compares them; their bytes go to `sink`.
async fn compare<S: Sink>(
    files: &[Wanted<'_>],
    mut sink: impl FnMut() -> S,
    segments: &mut Segments<'_>,
    vault: &Vault,
) -> Result<(GetOutcome, Losses), ClientError> {
    let (mut outcome, mut losses) = (GetOutcome::default(), Losses::default());
    for Wanted { step, file, .. } in files {
        let done = compare_file(file, &step.path, sink(), segments, vault).await;
        if losses.note(&step.path, done)? {
            outcome.files += 1;
            outcome.bytes += file.len;
        }
    }
    Ok((outcome, losses))
}

async fn compare_file(
    file: &File,
    path: &Path,
    sink: impl Sink,
    segments: &mut Segments<'_>,
    vault: &Vault,
) -> Result<(), ClientError> {
    let mut checked = Checked::new(sink);
    checked.take(&spans(file, &(0..file.len), vault)?, segments).await.map_err(stream_failed)?;
    checked.finish(file, path).map(drop)
}

async fn restore(
    plan: &Plan,
    destination: &Path,
    files: Vec<Wanted<'_>>,
    options: &GetOptions,
    segments: &mut Segments<'_>,
    vault: &Vault,
) -> Result<(GetOutcome, Losses), ClientError> {
    let mut restorer = Restorer::new(options.overwrite);
    make_folder_for(plan, destination)?;
    for step in &plan.steps {
        match &step.entry.kind {
            EntryKind::Dir { .. } => restorer.make_folder(step)?,
            _ => restorer.leave(step),
        }
    }
    let done = fill(plan, files, &mut restorer, segments, vault).await;
    // Innermost first: a folder's own time changes when something is made in it. Also where not everything was restored,
    // what is there is to be as it was.
    for step in plan.steps.iter().rev().filter(|step| matches!(step.entry.kind, EntryKind::Dir { .. })) {
        restorer.finish_folder(step);
    }
    let losses = done?;
    let outcome = restorer.into_outcome()?;
    if losses.first.is_none() {
        remove_left_over(
            plan.steps.iter().filter(|step| is_large_and_there(step)).map(|step| step.place.as_path()),
        );
    }
    Ok((outcome, losses))
}

/// True for a file of which an earlier get may have left a part, and that is restored now.
fn is_large_and_there(step: &Step) -> bool {
    let is_large = matches!(&step.entry.kind, EntryKind::File(file) if file.len >= KEPT_LEN_MIN);
    is_large && step.action != Action::Keep
}

async fn fill(
    plan: &Plan,
    files: Vec<Wanted<'_>>,
    restorer: &mut Restorer,
    segments: &mut Segments<'_>,
    vault: &Vault,
) -> Result<Losses, ClientError> {
    for step in &plan.steps {
        if matches!(step.action, Action::Make | Action::Replace) {
            restorer.make_node(step)?;
        }
    }
    let mut losses = Losses::default();
    for Wanted { step, file, resumed } in files {
        let done = restorer.make_file(file, step, resumed, segments, vault).await;
        losses.note(&step.path, done)?;
    }
    Ok(losses)
}

/// Makes the folder that everything goes into: the destination, or for a single file the one above it.
fn make_folder_for(plan: &Plan, destination: &Path) -> Result<(), ClientError> {
    let folder = match &plan.steps[..] {
        [only] if only.place == destination => only.place.parent().unwrap_or(destination),
        _ => destination,
    };
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|source| ClientError::File { path: folder.to_owned(), source })
}

/// The error of bytes that go to no file.
pub(crate) fn stream_failed(error: WriteError) -> ClientError {
    match error {
        WriteError::Source(error) => error,
        WriteError::Sink(source) => ClientError::Stream(source),
    }
}
