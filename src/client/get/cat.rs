//! The bytes of one file, or a part of them, one after another.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::get::checked::{Checked, Stream};
use crate::client::get::demand::Demand;
use crate::client::get::flow::stream_failed;
use crate::client::get::layout::{pieces, spans};
use crate::client::get::select::select;
use crate::format::{EntryKind, Snapshot};

/// What was written of a file.
#[derive(Debug)]
pub struct CatOutcome {
    /// How many bytes.
    pub bytes: u64,
    /// Providers that failed; others made up for them.
    pub failures: Vec<Failure>,
}

impl Client {
    /// Writes the bytes `range` of a file to `out`, as far as the file has them; all of them without a range. Only the
    /// segments that they lie in are fetched, and each is authenticated before a byte of it is written. Of a whole file,
    /// length and SHA-256 are compared at the end.
    ///
    /// # Errors
    /// [`ClientError::Integrity`] after the last byte, should a whole file not be the one that was recorded.
    pub async fn cat(
        &self,
        path: &Path,
        snapshot: &Snapshot,
        range: Option<Range<u64>>,
        out: &mut (dyn Write + Send),
    ) -> Result<CatOutcome, ClientError> {
        let done = self.cat_range(path, snapshot, range, out).await;
        self.remember_deeds();
        done
    }

    async fn cat_range(
        &self,
        path: &Path,
        snapshot: &Snapshot,
        range: Option<Range<u64>>,
        out: &mut (dyn Write + Send),
    ) -> Result<CatOutcome, ClientError> {
        let selection = select(&snapshot.root, &[path.to_owned()], &self.vault)?;
        let [item] = &selection.wanted[..] else { return Err(no_file(path)) };
        let EntryKind::File(file) = &item.entry.kind else { return Err(no_file(path)) };
        let spans = spans(file, &range.clone().unwrap_or(0..file.len), &self.vault)?;
        let mut demand = Demand::default();
        for piece in pieces(&spans, &self.vault)? {
            demand.add(&piece, &self.vault)?;
        }
        let (mut segments, fetcher) = self.segments(demand, std::collections::BTreeSet::new()).await?;
        let mut checked = Checked::new(Stream(out));
        let taken = checked.take(&spans, &mut segments).await;
        self.note_blemishes(&fetcher);
        let bytes = taken.map_err(stream_failed)?;
        let mut written = match range {
            None => checked.finish(file, &item.path)?,
            Some(_) => checked.into_inner(),
        };
        written.flush().map_err(ClientError::Stream)?;
        Ok(CatOutcome { bytes, failures: fetcher.failures() })
    }
}

fn no_file(path: &Path) -> ClientError {
    ClientError::Destination { path: path.to_owned(), why: "is not one file" }
}
