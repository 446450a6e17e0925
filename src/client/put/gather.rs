//! Takes what is read: segments go to the providers, files and folders into the tree.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::get::tags;
use crate::client::put::before::Before;
use crate::client::put::describe::content_tag;
use crate::client::put::read::{ReaderOptions, Reading, Readings, read_file};
use crate::client::put::store::{SegmentStore, Stored};
use crate::client::put::tree::TreeBuilder;
use crate::client::put::trouble::{Trouble, Troubles, Why};
use crate::client::put::walk::WalkOptions;
use crate::client::roster::Roster;
use crate::crypt::TagKey;
use crate::format::segment::Cutter;
use crate::format::{ContentItem, Entry, EntryKind, File, Refs, Xattr};
use crate::types::Tag;
use crate::vault::{SeenContent, SeenUpdate};

/// Bytes of tree pages that wait to be recorded together.
const RECORDED_TOGETHER: usize = 4 * 1024 * 1024;

/// What is gathered in one put.
pub(crate) struct Gather<'a> {
    roster: &'a Roster,
    store: SegmentStore,
    builder: TreeBuilder,
    before: Before,
    seen_key: TagKey,
    /// Files that have several links, by their group, with their attributes.
    links: BTreeMap<u64, (File, Vec<Xattr>)>,
    update: SeenUpdate,
    counts: Counts,
    troubles: Troubles,
}

/// What a snapshot consists of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files that were not read, because they stand as they stood before.
    pub(crate) unchanged: u64,
}

/// Everything that was gathered.
pub(crate) struct Gathered {
    pub(crate) stored: Stored,
    pub(crate) root: Refs,
    pub(crate) items: Vec<ContentItem>,
    pub(crate) update: SeenUpdate,
    pub(crate) counts: Counts,
    pub(crate) troubles: Troubles,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(
        store: SegmentStore,
        before: Before,
        roster: &'a Roster,
        client: &Client,
    ) -> Result<Self, ClientError> {
        let keys = client.vault.keys()?;
        Ok(Self {
            roster,
            store,
            builder: TreeBuilder::new(keys.tree_tag_key()),
            before,
            seen_key: keys.seen_tag_key(),
            links: BTreeMap::new(),
            update: SeenUpdate::default(),
            counts: Counts::default(),
            troubles: Troubles::default(),
        })
    }

    /// Takes everything, and waits until it is stored and recorded.
    pub(crate) async fn all(
        mut self,
        mut readings: Readings,
        client: &mut Client,
    ) -> Result<Gathered, ClientError> {
        let mut is_whole = false;
        loop {
            let batch = tokio::select! {
                biased;
                batch = readings.recv() => batch,
                // What is read comes slowly: what was stored must not wait for it.
                tended = self.store.tend(client) => {
                    tended?;
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            for reading in batch {
                is_whole = matches!(reading, Reading::End);
                self.take(reading, client).await?;
            }
            self.record_tree(client)?;
        }
        if !is_whole {
            return Err(ClientError::ReadingStopped);
        }
        let stored = self.store.finish(client).await?;
        let (root, items) = self.builder.finish(&is_known(client))?;
        let Self { update, counts, troubles, .. } = self;
        Ok(Gathered { stored, root, items, update, counts, troubles })
    }

    async fn take(&mut self, reading: Reading, client: &mut Client) -> Result<(), ClientError> {
        match reading {
            Reading::Enter(entry) => {
                self.before.enter(&entry.name, &client.vault);
                self.builder.enter(entry);
            }
            Reading::Leave => {
                self.before.leave();
                self.builder.leave(&is_known(client))?;
            }
            Reading::Link { entry, path } => self.link(entry, path, client).await?,
            Reading::Unchanged { entry, path, content } => {
                self.unchanged(entry, path, content, client).await?;
            }
            other => self.read(other, client).await?,
        }
        Ok(())
    }

    /// What comes of a file that is being read.
    async fn read(&mut self, reading: Reading, client: &mut Client) -> Result<(), ClientError> {
        match reading {
            Reading::Segment { plain, tag } => {
                self.builder.segment(tag, &is_known(client))?;
                self.store.take(plain, tag, client, self.roster).await
            }
            Reading::File { entry, whole, seen } => {
                let bytes = (whole.len, whole.sha256);
                let file = self.builder.file(bytes, whole.holes, &is_known(client))?;
                if let Some(seen) = seen {
                    self.update.add(&seen);
                }
                self.file(entry, file, client)
            }
            Reading::Trouble(trouble) => {
                if trouble.why != Why::Changed {
                    self.builder.drop_file();
                }
                self.troubles.add(trouble);
                Ok(())
            }
            // A file that became something else since the walk came by.
            Reading::Other(entry) => self.builder.add(entry, &is_known(client)),
            // What is in it was not walked.
            Reading::Enter(entry) => {
                let path = PathBuf::from(OsString::from_vec(entry.name));
                self.troubles.add(Trouble { path, why: Why::Changed });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A file that stands as it stood: if all that it consists of is still there, it is not read.
    async fn unchanged(
        &mut self,
        entry: Entry,
        path: PathBuf,
        content: SeenContent,
        client: &mut Client,
    ) -> Result<(), ClientError> {
        if let Some((file, xattrs)) = self.before.file(&entry.name)
            && content.is(&content_tag(file.len, &file.sha256, xattrs, &self.seen_key))
        {
            let (file, xattrs) = (file.clone(), xattrs.to_vec());
            let tags = tags(&file.content, &client.vault)?;
            if self.store.has_all(&tags, client, self.roster).await? {
                self.counts.unchanged += 1;
                return self.file(Entry { xattrs, ..entry }, file, client);
            }
        }
        self.read_now(entry.name, path, client).await
    }

    async fn link(&mut self, entry: Entry, path: PathBuf, client: &mut Client) -> Result<(), ClientError> {
        match self.links.get(&entry.link_group) {
            Some((file, xattrs)) => {
                let (file, xattrs) = (file.clone(), xattrs.clone());
                self.file(Entry { xattrs, ..entry }, file, client)
            }
            // The first link could not be read; this one may be.
            None => self.read_now(entry.name, path, client).await,
        }
    }

    async fn read_now(
        &mut self,
        name: Vec<u8>,
        path: PathBuf,
        client: &mut Client,
    ) -> Result<(), ClientError> {
        let mut readings = read_file(path, name, reader_options(client)?);
        let mut is_whole = false;
        while let Some(batch) = readings.recv().await {
            for reading in batch {
                is_whole = matches!(reading, Reading::End);
                self.read(reading, client).await?;
            }
            self.record_tree(client)?;
        }
        if is_whole { Ok(()) } else { Err(ClientError::ReadingStopped) }
    }

    /// Records pages and lists, if there are many.
    fn record_tree(&mut self, client: &Client) -> Result<(), ClientError> {
        let items = self.builder.take_items(RECORDED_TOGETHER);
        if !items.is_empty() {
            client.vault.append(&[], &items)?;
        }
        Ok(())
    }

    fn file(&mut self, mut entry: Entry, file: File, client: &Client) -> Result<(), ClientError> {
        self.counts.files += 1;
        self.counts.bytes += file.len;
        if entry.link_group != 0 {
            self.links.insert(entry.link_group, (file.clone(), entry.xattrs.clone()));
        }
        entry.kind = EntryKind::File(file);
        self.builder.add(entry, &is_known(client))
    }
}

/// A reader that reads whatever it is told to.
///
/// # Errors
/// The vault was opened by a capability.
pub(crate) fn reader_options(client: &Client) -> Result<ReaderOptions, ClientError> {
    let keys = client.vault.keys()?;
    Ok(ReaderOptions {
        walk: WalkOptions::default(),
        cutter: Cutter::new(keys.cut_seed()),
        segment_key: keys.segment_tag_key(),
        seen_key: keys.seen_tag_key(),
        seen: None,
        env: client.env.clone(),
    })
}

fn is_known(client: &Client) -> impl Fn(&Tag) -> Result<bool, ClientError> {
    |tag| Ok(client.vault.has_tree_item(tag)?)
}
