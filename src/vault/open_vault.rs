//! An open vault: what the rest of the program works with.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::crypt::{Access, DeviceClass, VaultKeys};
use crate::env::Env;
use crate::format::{ChainEnd, ContentItem, Device, PlacementItem, RefList, Segment, Snapshot, TreePage};
use crate::types::{DeviceId, PackId, ProviderId, SnapshotId, Tag};
use crate::vault::lock::HomeLock;
use crate::vault::manifest::Manifest;
use crate::vault::{
    Home, Imported, PackEntry, SeenFiles, SeenUpdate, Settings, Unfinished, VaultError, settings,
};

/// A vault that this process has open. All methods may be called from several threads; those that write block on the
/// disk.
pub struct Vault {
    pub(super) home: Home,
    pub(super) access: Access,
    pub(super) manifest: Manifest,
    pub(super) env: Env,
    pub(super) unfinished: OnceLock<Arc<Unfinished>>,
    state: Mutex<State>,
    _lock: HomeLock,
}

struct State {
    device: DeviceId,
    settings: Settings,
}

impl Vault {
    pub(super) fn open(home: Home, lock: HomeLock, access: Access, env: &Env) -> Result<Self, VaultError> {
        let device = match access.verify_device() {
            Some((device, _)) => device,
            None => home.read_or_make_device(env)?,
        };
        let settings = settings::read(&home.file("settings"), &access)?;
        let manifest = Manifest::open(home.path(), &access)?;
        let state = Mutex::new(State { device, settings });
        Ok(Self { home, access, manifest, env: env.clone(), unfinished: OnceLock::new(), state, _lock: lock })
    }

    /// What this home can do in the vault: all that the placement layer needs.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The key schedule, with all that the vault's secret gives.
    ///
    /// # Errors
    /// [`VaultError::ContentsSealed`] in a home that was opened by a capability.
    pub fn keys(&self) -> Result<&VaultKeys, VaultError> {
        self.access.vault_keys().ok_or(VaultError::ContentsSealed)
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.state().device
    }

    /// What this device may do.
    pub fn class(&self) -> DeviceClass {
        self.access.class()
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// Changes the settings and writes them, if they are changed. Gives back what `change` does.
    pub fn update_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> Result<T, VaultError> {
        let mut state = self.state();
        let mut changed = state.settings.clone();
        let outcome = change(&mut changed);
        if changed != state.settings {
            settings::write(&self.home.file("settings"), &changed, &self.access, &self.env)?;
            state.settings = changed;
        }
        Ok(outcome)
    }

    /// Records items: sealed, signed and chained, durable when this returns, and found from then on.
    ///
    /// Placement is written before content. A crash within the call may keep a part: some of the records, from the
    /// first one on. The first call of a device also begins its chain, as going on from all chains in the home.
    pub fn append(&self, placement: &[PlacementItem], content: &[ContentItem]) -> Result<(), VaultError> {
        let device = self.device();
        self.manifest.append(placement, content, device, &self.access, &self.env)
    }

    /// Makes this home a new device (invariant I6). Its chain begins with the next [`Vault::append`].
    ///
    /// # Errors
    /// [`VaultError::ContentsSealed`] in a home that was opened by a capability: that is one device for good.
    pub fn start_new_device(&self) -> Result<DeviceId, VaultError> {
        self.keys()?;
        let device = DeviceId::new(self.env.random_bytes());
        let mut state = self.state();
        self.home.write_device(device)?;
        state.device = device;
        Ok(device)
    }

    /// Takes over the chain of `device` that was fetched from elsewhere: all its records from the first one on.
    ///
    /// # Errors
    /// It is shorter than what the home has, contradicts it, or a record is wrong; then the records before it are kept.
    pub fn import_chain(&self, device: DeviceId, records: &[u8]) -> Result<Imported, VaultError> {
        let imported = self.manifest.import(device, records)?;
        let Imported { given, count: known, .. } = imported;
        if given < known { Err(VaultError::ChainShorter { device, given, known }) } else { Ok(imported) }
    }

    /// Takes over a part of the chain of `device`, such as one run of a head: consecutive records, beginning anywhere
    /// up to the end of those that the home has.
    ///
    /// # Errors
    /// It contradicts what the home has, or a record is wrong; then the records before it are kept.
    pub fn import_records(&self, device: DeviceId, records: &[u8]) -> Result<Imported, VaultError> {
        self.manifest.import(device, records)
    }

    /// The end of this device's chain; `None` before its first record.
    pub fn chain_position(&self) -> Option<ChainEnd> {
        self.manifest.end(self.device())
    }

    /// The end of the chain of `device`; `None` if the home has no record of it.
    pub fn chain_end(&self, device: DeviceId) -> Option<ChainEnd> {
        self.manifest.end(device)
    }

    /// The ends of all chains that the home has.
    pub fn chain_ends(&self) -> Vec<ChainEnd> {
        self.manifest.ends()
    }

    /// A device as its chain describes it: key, class, certificate.
    pub fn device_record(&self, device: DeviceId) -> Option<Device> {
        self.manifest.device(device)
    }

    /// Records `first..=last` of a chain, end to end.
    pub fn record_bytes(&self, device: DeviceId, first: u64, last: u64) -> Result<Vec<u8>, VaultError> {
        let range = self.manifest.record_range(device, first, last)?;
        range.part(0, usize::MAX)
    }

    /// The newest record of a segment.
    pub fn segment(&self, tag: &Tag) -> Result<Option<Segment>, VaultError> {
        Ok(self.segments(tag)?.into_iter().next())
    }

    /// All records of a segment, newest first: it may have been stored anew, elsewhere and under another key.
    pub fn segments(&self, tag: &Tag) -> Result<Vec<Segment>, VaultError> {
        self.manifest.segments(tag)
    }

    /// True if there is a record of the segment. Cheaper than reading it.
    pub fn has_segment(&self, tag: &Tag) -> Result<bool, VaultError> {
        self.manifest.has_segment(tag)
    }

    /// A reference list.
    pub fn ref_list(&self, tag: &Tag) -> Result<Option<RefList>, VaultError> {
        self.manifest.ref_list(tag)
    }

    /// A tree page.
    pub fn tree_page(&self, tag: &Tag) -> Result<Option<TreePage>, VaultError> {
        self.manifest.tree_page(tag)
    }

    /// A pack with its promises.
    pub fn pack(&self, id: &PackId) -> Result<Option<PackEntry>, VaultError> {
        self.manifest.pack(id)
    }

    /// At most `limit` packs behind `after`, in the order in which they were recorded; from the first one on if it is
    /// `None`. Reading them in this order opens each record once.
    pub fn packs_after(&self, after: Option<&PackId>, limit: usize) -> Result<Vec<PackId>, VaultError> {
        self.manifest.catalog.packs_after(after, limit)
    }

    /// All snapshots that were not removed, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, VaultError> {
        self.manifest.snapshots()
    }

    /// True if a tree page or reference list of this tag is recorded. Cheaper than reading it.
    pub fn has_tree_item(&self, tag: &Tag) -> Result<bool, VaultError> {
        self.manifest.require_contents()?;
        let catalog = &self.manifest.catalog;
        Ok(catalog.tree_page(tag)?.is_some() || catalog.ref_list(tag)?.is_some())
    }

    /// How files stood when they were put before.
    pub fn seen_files(&self) -> SeenFiles {
        SeenFiles::open(&self.home.file("seen"))
    }

    /// Remembers how files stood that were put now.
    pub fn remember_seen(&self, update: SeenUpdate) -> Result<(), VaultError> {
        update.merge_into(&self.home.file("seen"))
    }

    /// The packs that a snapshot needs, whether it was removed or not; without those that it was released from.
    pub fn needs(&self, snapshot: &SnapshotId) -> Result<BTreeSet<PackId>, VaultError> {
        self.manifest.needs(snapshot)
    }

    /// Providers that ever promised this vault anything.
    pub fn providers_with_history(&self) -> Result<BTreeSet<ProviderId>, VaultError> {
        self.manifest.catalog.providers()
    }

    /// Providers that may keep something according to verify devices elsewhere. To be asked; they have no history by that.
    pub fn providers_heard_of(&self) -> Result<BTreeSet<ProviderId>, VaultError> {
        self.manifest.catalog.heard_providers()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("home", &self.home)
            .field("device", &self.device())
            .finish_non_exhaustive()
    }
}
