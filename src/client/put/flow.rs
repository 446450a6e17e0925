//! A put from end to end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::confirm::{Confirmer, Standard};
use crate::client::error::{ClientError, Failure};
use crate::client::placement::Placement;
use crate::client::put::read::{Reading, read_files};
use crate::client::put::scan::{Found, FoundKind, scan, total_bytes};
use crate::client::put::store::{SegmentStore, Stored};
use crate::client::put::tree::{Content, TreeBuilder};
use crate::client::roster::Roster;
use crate::client::upload::{Tally, Uploader};
use crate::erasure::Scheme;
use crate::format::segment::Cutter;
use crate::format::{ContentItem, Needs, PlacementItem, Refs, Snapshot};
use crate::types::limits::NEED_COUNT_MAX;
use crate::types::{PackId, ProviderId, SnapshotId, Tag};

/// What a put asks of providers unless `--accept-short` is given.
const KEEP_FOR: Duration = Duration::from_secs(30 * 86_400);
/// What it asks with `--accept-short`: time enough to put again.
const KEEP_FOR_SHORT: Duration = Duration::from_secs(12 * 3_600);

/// How to put.
#[derive(Debug, Clone)]
pub struct PutOptions {
    /// Shards that are enough, and providers that each get one.
    pub scheme: Scheme,
    /// Providers to use; none means those that are known or announce themselves.
    pub providers: BTreeSet<ProviderId>,
    /// Take providers that promise less than 30 days.
    pub accept_short: bool,
    /// Name of the snapshot; none means the name of the first path.
    pub name: Option<String>,
    /// Name of this machine.
    pub host: String,
}

/// What a put has done.
#[derive(Debug)]
pub struct PutOutcome {
    /// The new snapshot.
    pub snapshot: SnapshotId,
    /// Its name.
    pub name: String,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Packs of files' bytes stored in this run.
    pub packs: u64,
    /// All that was receipted in this run, the manifest's packs and heads included.
    pub stored: Tally,
    /// Providers that failed and were replaced, or that could not be used.
    pub failures: Vec<Failure>,
    /// How many of the chosen providers had no history with this vault.
    pub newcomers: usize,
}

impl Client {
    /// Backs up `paths` as a new snapshot.
    ///
    /// Returns when every pack that the snapshot needs has receipts of as many distinct providers as asked for, and
    /// the head was read back from a relay (invariant I2).
    pub async fn put(&mut self, paths: &[PathBuf], options: &PutOptions) -> Result<PutOutcome, ClientError> {
        let found = scan(paths)?;
        self.leave_a_foreign_chain().await?;
        let now = self.env.now();
        let keep_for = if options.accept_short { KEEP_FOR_SHORT } else { KEEP_FOR };
        let standard = Standard::new(options.scheme, keep_for, now);
        let (roster, placement) = self.choose_providers(options, keep_for).await?;
        let newcomers = placement.newcomers();
        let uploader =
            Uploader::new(placement, standard.keep_until, self.exchange.clone(), self.monitor.clone());

        let name =
            options.name.clone().unwrap_or_else(|| String::from_utf8_lossy(&found[0].name).into_owned());
        let together = self.packs_of_latest(&name)?;
        let expected =
            total_bytes(&found) / u64::from(options.scheme.need()) * u64::from(options.scheme.total());
        self.monitor.expect(expected);
        let store = SegmentStore::new(options.scheme, uploader.clone(), Confirmer::new(standard, together));
        let (contents, stored) = self.store_files(&found, store, &roster).await?;

        let files = contents.len() as u64;
        let bytes = contents.iter().map(|content| content.len).sum();
        let snapshot = SnapshotId::new(self.env.random_bytes());
        let (root, mut items) = self.tree(&found, contents)?;
        let paths = paths.iter().map(|path| path.as_os_str().as_encoded_bytes().to_vec()).collect();
        let (host, labels) = (options.host.clone(), Vec::new());
        let record = Snapshot {
            id: snapshot,
            name: name.clone(),
            made_at: now,
            host,
            labels,
            paths,
            root,
            files,
            bytes,
        };
        items.push(ContentItem::Snapshot(record));
        self.vault.append(&needs(snapshot, &stored.needs), &items)?;
        self.publish_head(&uploader, &roster, &standard).await?;

        let mut failures = roster.failures;
        failures.extend(uploader.failures());
        let packs = stored.packs;
        Ok(PutOutcome { snapshot, name, files, bytes, packs, stored: uploader.tally(), failures, newcomers })
    }

    /// Finds the providers of this put: enough that answered, qualify, and promise for long enough.
    async fn choose_providers(
        &self,
        options: &PutOptions,
        keep_for: Duration,
    ) -> Result<(Roster, Placement), ClientError> {
        let spread = usize::from(options.scheme.total());
        let mut roster = if options.providers.is_empty() {
            Roster::discover(self, spread).await?
        } else {
            Roster::of(self, &options.providers, spread).await?
        };
        let mut too_short = Vec::new();
        roster.members.retain(|id, member| {
            let is_long_enough = member.terms.retention >= keep_for;
            if !is_long_enough {
                let hours = member.terms.retention.as_secs() / 3_600;
                let why = format!("keeps blobs for {hours} hours only; --accept-short takes it all the same");
                too_short.push(Failure { provider: *id, pack: None, why, corrupt: false });
            }
            is_long_enough
        });
        roster.failures.extend(too_short);
        match Placement::plan(roster.candidates(), spread) {
            Some(placement) => Ok((roster, placement)),
            None => {
                let (have, failures) = (roster.members.len(), roster.failures);
                Err(ClientError::TooFewProviders { have, wanted: spread, failures })
            }
        }
    }

    async fn store_files(
        &mut self,
        found: &[Found],
        mut store: SegmentStore,
        roster: &Roster,
    ) -> Result<(Vec<Content>, Stored), ClientError> {
        let cutter = Cutter::new(self.vault.keys().cut_seed());
        let mut reading = read_files(files_of(found), cutter, self.vault.keys().segment_tag_key());
        let mut contents = Vec::new();
        let mut tags = Vec::new();
        while let Some(read) = reading.recv().await {
            match read {
                Reading::Segment { plain, tag } => {
                    tags.push(tag);
                    store.take(plain, tag, self, roster).await?;
                }
                Reading::End { len, sha256 } => {
                    contents.push(Content { len, sha256, tags: std::mem::take(&mut tags) });
                }
                Reading::Failed(error) => return Err(error),
            }
        }
        Ok((contents, store.finish(self).await?))
    }

    /// Pages of the snapshot's root folder, and what has to be recorded for them.
    fn tree(&self, found: &[Found], contents: Vec<Content>) -> Result<(Refs, Vec<ContentItem>), ClientError> {
        let key = self.vault.keys().tree_tag_key();
        let mut builder = TreeBuilder::new(&key, |tag| self.has_tree_item(tag));
        let root = builder.folder(found, &mut contents.into_iter())?;
        Ok((root, builder.into_items()))
    }

    fn has_tree_item(&self, tag: &Tag) -> bool {
        let is_page = self.vault.tree_page(tag).is_ok_and(|page| page.is_some());
        is_page || self.vault.ref_list(tag).is_ok_and(|list| list.is_some())
    }

    /// Packs that the latest snapshot named `name` needs.
    fn packs_of_latest(&self, name: &str) -> Result<BTreeSet<PackId>, ClientError> {
        let Some(latest) = self.vault.latest_snapshot(name)? else { return Ok(BTreeSet::new()) };
        Ok(self.vault.needs(&latest.id)?)
    }
}

/// The files among `found`, in order.
fn files_of(found: &[Found]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for found in found {
        match &found.kind {
            FoundKind::File => files.push(found.path.clone()),
            FoundKind::Dir(children) => files.extend(files_of(children)),
            _ => {}
        }
    }
    files
}

fn needs(snapshot: SnapshotId, packs: &BTreeSet<PackId>) -> Vec<PlacementItem> {
    let packs: Vec<_> = packs.iter().copied().collect();
    packs
        .chunks(NEED_COUNT_MAX)
        .map(|part| PlacementItem::Needs(Needs { snapshot, packs: part.to_vec() }))
        .collect()
}
