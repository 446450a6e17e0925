//! A get from end to end.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::get::fetch::Fetcher;
use crate::client::get::packs::PackStream;
use crate::client::get::restore::{Checked, beside, finish_folder, keep, make_folder, make_symlink};
use crate::client::get::select::{Selected, select, tags};
use crate::client::roster::Roster;
use crate::format::{EntryKind, File, Segment, Snapshot, segment};
use crate::types::{PackId, ProviderId, Tag};

/// Where restored files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into this folder, under their own names; for a single file that is no folder yet, the file's name.
    Path(PathBuf),
    /// One file's bytes to standard output.
    Stdout,
}

/// How to get.
#[derive(Debug, Clone)]
pub struct GetOptions {
    /// Parts of the snapshot; none means all of it.
    pub paths: Vec<PathBuf>,
    /// Where to.
    pub destination: Destination,
    /// Providers to ask before any other.
    pub preferred: BTreeSet<ProviderId>,
}

/// What a get has done.
#[derive(Debug)]
pub struct GetOutcome {
    /// Files restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that are recorded but not restored: devices, pipes and sockets.
    pub skipped: Vec<PathBuf>,
    /// Providers that failed; others made up for them.
    pub failures: Vec<Failure>,
}

impl Client {
    /// Restores a snapshot, or parts of it. Every file is compared with its recorded length and SHA-256 before it
    /// appears under its name (invariant I1).
    pub async fn get(&self, snapshot: &Snapshot, options: &GetOptions) -> Result<GetOutcome, ClientError> {
        let selected = select(&snapshot.root, &options.paths, &self.vault)?;
        let places = places(&selected, &options.destination)?;
        let wanted = self.wanted_packs(&selected)?;
        let fetcher = self.fetcher(&wanted, options.preferred.clone()).await?;
        let mut packs = PackStream::new(wanted, fetcher.clone());
        let mut outcome = GetOutcome { files: 0, bytes: 0, skipped: Vec::new(), failures: Vec::new() };
        for (item, place) in selected.iter().zip(&places) {
            match &item.entry.kind {
                EntryKind::File(file) => {
                    self.restore_file(file, item, place.as_deref(), &mut packs).await?;
                    outcome.files += 1;
                    outcome.bytes += file.len;
                }
                EntryKind::Dir { .. } => make_folder(place_of(place.as_deref()))?,
                EntryKind::Symlink { target } => make_symlink(target, place_of(place.as_deref()))?,
                _ => outcome.skipped.push(item.path.clone()),
            }
        }
        // Innermost first: a folder's own time changes when something is made in it.
        for (item, place) in selected.iter().zip(&places).rev() {
            if matches!(item.entry.kind, EntryKind::Dir { .. }) {
                finish_folder(place_of(place.as_deref()), &item.entry)?;
            }
        }
        outcome.failures = fetcher.failures();
        Ok(outcome)
    }

    /// Finds the providers of `packs`, and hears who answers.
    pub(crate) async fn fetcher(
        &self,
        packs: &[PackId],
        preferred: BTreeSet<ProviderId>,
    ) -> Result<Fetcher, ClientError> {
        let distinct: BTreeSet<_> = packs.iter().collect();
        let mut providers = BTreeSet::new();
        let (mut bytes, mut enough) = (0, 0);
        for pack in distinct {
            if let Some(entry) = self.vault.pack(pack)? {
                providers.extend(entry.promises.iter().map(|(_, provider, _)| *provider));
                let coding = &entry.pack.coding;
                bytes += u64::from(coding.shard_len()) * u64::from(coding.scheme.need());
                enough = enough.max(usize::from(coding.scheme.need()));
            }
        }
        self.monitor.expect(bytes);
        let roster = Roster::of(self, &providers, enough).await?;
        Ok(Fetcher::new(&roster, preferred, self.exchange.clone(), self.monitor.clone()))
    }

    /// The packs of all files, in the order in which their segments are wanted.
    fn wanted_packs(&self, selected: &[Selected]) -> Result<Vec<PackId>, ClientError> {
        let mut packs: Vec<PackId> = Vec::new();
        for item in selected {
            let EntryKind::File(file) = &item.entry.kind else { continue };
            for tag in tags(&file.content, &self.vault)? {
                let stored = self.vault.segments(&tag)?.into_iter().next();
                for piece in stored.ok_or_else(|| dangling(&tag))?.pieces {
                    if packs.last() != Some(&piece.pack) {
                        packs.push(piece.pack);
                    }
                }
            }
        }
        Ok(packs)
    }

    async fn restore_file(
        &self,
        file: &File,
        item: &Selected,
        place: Option<&Path>,
        packs: &mut PackStream,
    ) -> Result<(), ClientError> {
        let Some(place) = place else {
            let mut out = Checked::new(std::io::stdout());
            self.write_segments(file, &mut out, packs).await.map_err(|error| match error {
                ClientError::File { source, .. } => ClientError::Stream(source),
                other => other,
            })?;
            return out.finish(file, &item.path)?.flush().map_err(ClientError::Stream);
        };
        let mut out = Checked::new(beside(place)?);
        self.write_segments(file, &mut out, packs).await?;
        keep(out.finish(file, place)?, place, &item.entry)
    }

    async fn write_segments<W: Write>(
        &self,
        file: &File,
        out: &mut Checked<W>,
        packs: &mut PackStream,
    ) -> Result<(), ClientError> {
        for tag in tags(&file.content, &self.vault)? {
            let plain = self.open_segment(&tag, packs).await?;
            out.write(&plain).map_err(|source| ClientError::File { path: PathBuf::new(), source })?;
        }
        Ok(())
    }

    /// The segment's plaintext, from where it was stored last; should that be lost, from where it was stored before.
    async fn open_segment(&self, tag: &Tag, packs: &mut PackStream) -> Result<Bytes, ClientError> {
        let mut lost = None;
        for stored in self.vault.segments(tag)? {
            match self.open_stored(&stored, packs).await {
                Err(error @ ClientError::TooFewShards { .. }) => lost = lost.or(Some(error)),
                result => return result,
            }
        }
        Err(lost.unwrap_or_else(|| dangling(tag)))
    }

    async fn open_stored(&self, segment: &Segment, packs: &mut PackStream) -> Result<Bytes, ClientError> {
        let mut sealed = Vec::with_capacity(segment.sealed_len() as usize);
        for piece in &segment.pieces {
            let pack = packs.get(piece.pack, &self.vault).await?;
            sealed.extend_from_slice(piece.of(&pack)?);
        }
        Ok(segment::open(segment, sealed)?)
    }
}

fn dangling(tag: &Tag) -> ClientError {
    ClientError::Dangling { what: format!("segment {}", tag.short()) }
}

/// Where each of `selected` goes; `None` is standard output.
fn places(selected: &[Selected], destination: &Destination) -> Result<Vec<Option<PathBuf>>, ClientError> {
    let single = match selected {
        [only] if !matches!(only.entry.kind, EntryKind::Dir { .. }) => Some(only),
        _ => None,
    };
    match destination {
        Destination::Stdout if single.is_none() => {
            let path = PathBuf::from("-");
            Err(ClientError::Destination {
                path,
                why: "takes a single file: name one of the snapshot's paths",
            })
        }
        Destination::Stdout => Ok(vec![None]),
        Destination::Path(path) => {
            let names_a_folder = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
            if let Some(single) = single {
                let name = single.path.file_name().map_or(single.path.as_path(), Path::new);
                return Ok(vec![Some(if names_a_folder { path.join(name) } else { path.clone() })]);
            }
            if path.exists() && !path.is_dir() {
                let why = "is no folder, and what is to be restored is no single file";
                return Err(ClientError::Destination { path: path.clone(), why });
            }
            Ok(selected.iter().map(|item| Some(path.join(&item.path))).collect())
        }
    }
}

fn place_of(place: Option<&Path>) -> &Path {
    place.expect("only a single file goes to standard output")
}
