//! A put from end to end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::confirm::{Confirmer, KEEP_FOR, KEEP_FOR_SHORT, Standard};
use crate::client::error::{ClientError, Failure};
use crate::client::placement::Placement;
use crate::client::put::before::Before;
use crate::client::put::expected::Expected;
use crate::client::put::gather::{Counts, Gather, Gathered, reader_options};
use crate::client::put::others::check_chains;
use crate::client::put::read::{ReaderOptions, Readings, read_stream, read_trees};
use crate::client::put::store::SegmentStore;
use crate::client::put::trouble::Troubles;
use crate::client::put::walk::{WalkOptions, roots};
use crate::client::roster::Roster;
use crate::client::upload::{Tally, Uploader};
use crate::erasure::Scheme;
use crate::format::{ContentItem, Entry, EntryKind, File, FormatError, Refs, Snapshot};
use crate::types::limits::{LABEL_LEN_MAX, SNAPSHOT_LABEL_COUNT_MAX, SNAPSHOT_PATH_COUNT_MAX};
use crate::types::{ProviderId, SnapshotId, Timestamp};

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
    /// What people attach to the snapshot.
    pub tags: Vec<String>,
    /// What is left out.
    pub walk: WalkOptions,
    /// Read every file, also those that stand as they stood before.
    pub force: bool,
}

impl PutOptions {
    /// Coded by `scheme`, at providers that are discovered, everything that is there.
    pub fn new(scheme: Scheme) -> Self {
        Self {
            scheme,
            providers: BTreeSet::new(),
            accept_short: false,
            name: None,
            host: String::new(),
            tags: Vec::new(),
            walk: WalkOptions::default(),
            force: false,
        }
    }
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
    /// Files that were not read, because they stand as they stood before.
    pub unchanged: u64,
    /// Packs of files' bytes stored in this run.
    pub packs: u64,
    /// All that was receipted in this run, the manifest's packs and heads included.
    pub stored: Tally,
    /// What could not be read, or changed meanwhile.
    pub troubles: Troubles,
    /// Providers that failed and were replaced, or that could not be used.
    pub failures: Vec<Failure>,
    /// How many of the chosen providers had no history with this vault.
    pub newcomers: usize,
}

/// What a snapshot is made of, and where its bytes come from.
struct Origin {
    name: String,
    paths: Vec<Vec<u8>>,
    /// The snapshot that the new one is compared with.
    before: Option<Snapshot>,
}

impl Client {
    /// Backs up `paths` as a new snapshot.
    ///
    /// Returns when every pack that the snapshot needs has receipts of as many distinct providers as asked for, and
    /// the head was read back from a relay (invariant I2). What cannot be read is left out, and told.
    pub async fn put(&mut self, paths: &[PathBuf], options: &PutOptions) -> Result<PutOutcome, ClientError> {
        let roots = roots(paths)?;
        let first = roots.first().map_or(&b""[..], |root| &root.name);
        let name = options.name.clone().unwrap_or_else(|| String::from_utf8_lossy(first).into_owned());
        check_labels(&name, options)?;
        let paths = roots.iter().take(SNAPSHOT_PATH_COUNT_MAX);
        let paths: Vec<_> = paths.map(|root| root.path.as_os_str().as_bytes().to_vec()).collect();
        let before = self.snapshot_before(&name, &paths, &options.host)?;
        let origin = Origin { name, paths, before };
        let seen =
            if options.force || origin.before.is_none() { None } else { Some(self.vault.seen_files()) };
        let reader = ReaderOptions { walk: options.walk.clone(), seen, ..reader_options(self)? };
        let expected = Expected::new(roots.clone(), options, self)?;
        let done = self.put_what_is_read(origin, options, expected, || read_trees(roots, reader)).await;
        self.remember_deeds();
        done
    }

    /// Backs up what comes from a stream as a snapshot of one file called `name`.
    ///
    /// # Errors
    /// As [`Client::put`]; and if the stream fails: then there is no snapshot.
    pub async fn put_stream(
        &mut self,
        name: &str,
        from: impl Read + Send + 'static,
        options: &PutOptions,
    ) -> Result<PutOutcome, ClientError> {
        check_labels(name, options)?;
        let entry = stream_entry(name, self.env.now())?;
        let origin = Origin { name: name.to_owned(), paths: Vec::new(), before: None };
        let reader = reader_options(self)?;
        let expected = Expected::new(Vec::new(), options, self)?;
        let done =
            self.put_what_is_read(origin, options, expected, || Ok(read_stream(from, entry, reader))).await;
        self.remember_deeds();
        done
    }

    async fn put_what_is_read(
        &mut self,
        origin: Origin,
        options: &PutOptions,
        expected: Expected,
        start: impl FnOnce() -> Result<Readings, ClientError>,
    ) -> Result<PutOutcome, ClientError> {
        let caught = self.catch_up().await?;
        check_chains(&caught)?;
        let now = self.env.now();
        let keep_for = if options.accept_short { KEEP_FOR_SHORT } else { KEEP_FOR };
        let standard = Standard::new(options.scheme, keep_for, now);
        let (roster, placement) = self.choose_providers(options, keep_for).await?;
        let newcomers = placement.newcomers();
        let uploader =
            Uploader::new(placement, standard.keep_until, self.exchange.clone(), self.monitor.clone())
                .journaled(self.vault.unfinished());
        let sweep = self.sweep(&roster, &caught).await?;
        self.publish_what_was_left(&caught, &uploader, &roster, &standard).await?;
        let Origin { name, paths, before } = origin;
        let together = before.as_ref().map(|before| self.vault.needs(&before.id)).transpose()?;
        let confirmer = Confirmer::new(standard, together.unwrap_or_default()).mending_with(uploader.clone());
        let store = SegmentStore::new(options.scheme, &uploader, confirmer);
        // Recorded also if it fails or is told to stop: the next put goes on from there.
        let (ledger, stop) = (store.ledger(), self.stop.clone());
        let gather = Gather::new(store, Before::new(before.as_ref(), &self.vault), &roster, self)?;
        let gathering = Box::pin(gather.all(start()?, self));
        let gathered = stop.unless_told(expected.told_during(gathering)).await;
        ledger.record(Vec::new(), &self.vault)?;
        let Gathered { stored, root, mut items, update, counts, troubles } = gathered?;

        if root == Refs::Direct(Vec::new())
            && let Some(trouble) = troubles.first.first()
        {
            let source = std::io::Error::other(trouble.why.to_string());
            return Err(ClientError::File { path: trouble.path.clone(), source });
        }
        self.check_again(now, &stored.needs, &standard, &roster).await?;
        self.renew_other_manifests(&caught, &standard, &roster).await;
        let id = SnapshotId::new(self.env.random_bytes());
        let (host, labels) = (options.host.clone(), options.tags.clone());
        let Counts { files, bytes, unchanged } = counts;
        let record =
            Snapshot { id, name: name.clone(), made_at: now, host, labels, paths, root, files, bytes };
        items.push(ContentItem::Snapshot(record));
        let needs = self.vault.needs_items(id, &stored.needs, before.as_ref().map(|it| &it.id))?;
        self.vault.append(&needs, &items)?;
        self.publish_head(&uploader, &roster, &standard).await?;
        sweep.finish_soon(self).await;
        // The snapshot stands; without this the next put reads more than it has to.
        if let Err(error) = self.vault.remember_seen(update) {
            self.monitor.note(&format!("what was read cannot be remembered: {error}"));
        }

        let mut failures = roster.failures;
        failures.extend(uploader.failures());
        let (packs, stored) = (stored.packs, uploader.tally());
        Ok(PutOutcome {
            snapshot: id,
            name,
            files,
            bytes,
            unchanged,
            packs,
            stored,
            troubles,
            failures,
            newcomers,
        })
    }

    /// The latest snapshot of the same name from the same machine; else the latest of the same paths from it.
    fn snapshot_before(
        &self,
        name: &str,
        paths: &[Vec<u8>],
        host: &str,
    ) -> Result<Option<Snapshot>, ClientError> {
        let mut snapshots = self.vault.snapshots()?;
        snapshots.retain(|snapshot| snapshot.host == host);
        let named = snapshots.iter().rposition(|snapshot| snapshot.name == name);
        let index = named.or_else(|| snapshots.iter().rposition(|snapshot| snapshot.paths == paths));
        Ok(index.map(|index| snapshots.swap_remove(index)))
    }

    /// Finds the providers of this put: enough that answered, qualify, and promise for long enough.
    async fn choose_providers(
        &self,
        options: &PutOptions,
        keep_for: Duration,
    ) -> Result<(Roster, Placement), ClientError> {
        let spread = usize::from(options.scheme.total());
        if let Some(banned) =
            self.vault.settings().banned_providers().find(|id| options.providers.contains(id))
        {
            return Err(ClientError::Banned { provider: banned });
        }
        let mut roster = if options.providers.is_empty() {
            Roster::discover(self, spread).await?
        } else {
            Roster::named(self, &options.providers, spread).await?
        };
        roster.members.retain(|_, member| member.is_usable());
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
}

/// The file that a stream becomes: of this person, and private.
fn stream_entry(name: &str, now: Timestamp) -> Result<Entry, ClientError> {
    let name = name.as_bytes().to_vec();
    if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
        let path = PathBuf::from(OsString::from_vec(name));
        return Err(ClientError::Destination { path, why: "is no file name" });
    }
    let empty = File { len: 0, sha256: [0; 32], holes: Vec::new(), content: Refs::Direct(Vec::new()) };
    Ok(Entry {
        name,
        mode: 0o600,
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        user: String::new(),
        group: String::new(),
        mtime: i64::try_from(now.0).unwrap_or(i64::MAX),
        mtime_nanos: 0,
        xattrs: Vec::new(),
        link_group: 0,
        kind: EntryKind::File(empty),
    })
}

/// Finds out before anything is stored whether the snapshot can be recorded.
fn check_labels(name: &str, options: &PutOptions) -> Result<(), ClientError> {
    if options.tags.len() > SNAPSHOT_LABEL_COUNT_MAX {
        let (count, max) = (options.tags.len() as u64, SNAPSHOT_LABEL_COUNT_MAX as u64);
        return Err(FormatError::TooMany { what: "tags of a snapshot", count, max }.into());
    }
    let labels = options.tags.iter().map(String::as_str).chain([name, &options.host]);
    for text in labels {
        if text.len() > LABEL_LEN_MAX {
            return Err(ClientError::LabelTooLong { text: text.to_owned(), max: LABEL_LEN_MAX });
        }
    }
    Ok(())
}
