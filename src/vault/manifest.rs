//! The manifest on disk: the logs of all devices that the home has, and the catalog that is derived from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypt::{Access, DeviceClass, Layer};
use crate::env::{Env, file_step};
use crate::format::chain::{Chain, ChainKeys, Items, RecordFault};
use crate::format::codec::Reader;
use crate::format::{Body, ChainEnd, ContentItem, Device, Place, PlacementItem, Record};
use crate::types::DeviceId;
use crate::types::limits::{CHAIN_COUNT_MAX, VERIFY_CHAIN_LEN_MAX};
use crate::vault::catalog::{Catalog, ChainRow, Word};
use crate::vault::log::ChainLog;
use crate::vault::opened::OpenedRecords;
use crate::vault::{VaultError, files};

/// Bytes of records that are brought in with one commit.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;

/// What an import of records brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Records that the home did not have before.
    pub added: u64,
    /// Records of the chain up to the last one that was given.
    pub given: u64,
    /// Records that the chain has now.
    pub count: u64,
}

/// All chains of a vault that this home has.
pub(crate) struct Manifest {
    pub(super) folder: PathBuf,
    pub(super) keys: ChainKeys,
    /// The verify device that this home is; `None` of a full one.
    own_verify: Option<DeviceId>,
    /// Bytes of a verify device's chain.
    pub(super) verify_len_max: u64,
    pub(super) catalog: Catalog,
    pub(super) opened: OpenedRecords,
    chains: Mutex<BTreeMap<DeviceId, OpenChain>>,
}

/// One chain, its file, and how long that is.
struct OpenChain {
    chain: Chain,
    log: Arc<ChainLog>,
    len: u64,
    /// A write failed: what is in the file is not known.
    failed: bool,
}

impl Manifest {
    /// Opens all logs of the home, cuts off what was never acknowledged, and brings the catalog up to date.
    ///
    /// # Errors
    /// A record that was acknowledged once is damaged or missing.
    pub(crate) fn open(home: &Path, access: &Access) -> Result<Self, VaultError> {
        let keys = ChainKeys::of(access);
        let own_verify = access.verify_device().map(|(device, _)| device);
        let folder = home.join("manifest");
        files::make_private_folder(&folder)?;
        let mut logs = BTreeMap::new();
        for device in ChainLog::devices(&folder)? {
            logs.insert(device, Arc::new(ChainLog::open(&folder, device)?));
        }
        let path = Catalog::path(home);
        let mut catalog = Catalog::open(&path, keys.vault)?;
        let rows = match fitting_rows(&catalog, &logs) {
            Ok(Some(rows)) => rows,
            Ok(None) | Err(_) => {
                tracing::info!("the catalog does not fit the manifest and is rebuilt");
                drop(catalog);
                catalog = Catalog::create(&path, keys.vault)?;
                BTreeMap::new()
            }
        };
        let mut chains = BTreeMap::new();
        for (device, log) in logs {
            let (chain, len) = catch_up(device, &log, rows.get(&device), &catalog, &keys, own_verify)?;
            chains.insert(device, OpenChain { chain, log, len, failed: false });
        }
        let (opened, chains) = (OpenedRecords::default(), Mutex::new(chains));
        let verify_len_max = VERIFY_CHAIN_LEN_MAX;
        Ok(Self { folder, keys, own_verify, verify_len_max, catalog, opened, chains })
    }

    /// The end of a chain; `None` if the home has no record of it.
    pub(crate) fn end(&self, device: DeviceId) -> Option<ChainEnd> {
        self.lock().get(&device).and_then(|open| open.chain.end())
    }

    /// The device that a chain describes itself as.
    pub(crate) fn device(&self, device: DeviceId) -> Option<Device> {
        self.lock().get(&device).and_then(|open| open.chain.device().cloned())
    }

    /// The ends of all chains.
    pub(crate) fn ends(&self) -> Vec<ChainEnd> {
        self.lock().values().filter_map(|open| open.chain.end()).collect()
    }

    /// The log of a chain.
    pub(super) fn log(&self, device: DeviceId) -> Option<Arc<ChainLog>> {
        self.lock().get(&device).map(|open| Arc::clone(&open.log))
    }

    /// # Errors
    /// [`VaultError::ContentsSealed`] in a home without the content layer's key.
    pub(crate) fn require_contents(&self) -> Result<(), VaultError> {
        self.keys.content.as_ref().map(drop).ok_or(VaultError::ContentsSealed)
    }

    /// Seals, signs and chains the items, makes them durable, and brings them into the catalog, in this order.
    ///
    /// Placement comes first, so what a crash leaves of it is packs that nothing refers to yet. The first append of a
    /// device begins its chain, and says that it goes on from the ends of all others that the home has then.
    pub(crate) fn append(
        &self,
        placement: &[PlacementItem],
        content: &[ContentItem],
        device: DeviceId,
        access: &Access,
        env: &Env,
    ) -> Result<(), VaultError> {
        let mut bodies = Body::of(placement)?;
        bodies.extend(Body::of(content)?);
        if bodies.is_empty() {
            return Ok(());
        }
        let mut chains = self.lock();
        let mut chain = chains.get(&device).map_or_else(|| Chain::new(device), |open| open.chain.clone());
        if chain.count() == 0 {
            let others = chains.values().filter_map(|open| open.chain.end()).collect();
            let genesis = Device::of(access, device, env.now(), others);
            bodies.splice(0..0, Body::of(&[PlacementItem::Device(genesis)])?);
        }
        let device_keys = access.actor().device_keys(&device);
        let mut records = Vec::with_capacity(bodies.len());
        for body in bodies {
            let place = Place { device, sequence: chain.count(), previous: chain.last_hash() };
            let layer_key = match body.layer() {
                Layer::Content => self.keys.content.as_ref().ok_or(VaultError::ContentsSealed)?,
                Layer::Placement | Layer::None => &self.keys.placement,
            };
            let record = Record::seal(&body, place, self.keys.vault, layer_key, &device_keys, &mut env.rng());
            // Nothing is written that would not be accepted when it is read.
            let items = chain.accept(&record, &self.keys).map_err(|fault| damaged(place, 0, fault))?;
            records.push((record, items));
        }
        self.write(&mut chains, chain, &records)
    }

    /// Takes over records of `device` that were made elsewhere: end to end, beginning anywhere up to the end of those
    /// that the home has. What it has already must be the same.
    ///
    /// Where a record is found wrong, those before it are kept.
    pub(crate) fn import(&self, device: DeviceId, bytes: &[u8]) -> Result<Imported, VaultError> {
        let mut chains = self.lock();
        let mut chain = chains.get(&device).map_or_else(|| Chain::new(device), |open| open.chain.clone());
        let before = chain.count();
        let mut input = Reader::new(bytes, "a chain");
        let (mut pending, mut pending_bytes) = (Vec::new(), 0);
        let mut given = 0;
        let outcome = loop {
            if input.remaining() == 0 {
                break Ok(());
            }
            let offset = (bytes.len() - input.remaining()) as u64;
            let (device, sequence) = (chain.id(), chain.count());
            let wrong = |fault| VaultError::DamagedRecord { device, sequence, offset, fault };
            let record = match Record::read(&mut input) {
                Ok(record) => record,
                Err(error) => break Err(wrong(error.into())),
            };
            let first = record.place().sequence;
            if first > chain.count() {
                break Err(VaultError::ChainGap { device, known: chain.count(), first });
            }
            if first < before {
                self.compare(&chains, &record)?;
                given = first + 1;
                continue;
            }
            match chain.accept(&record, &self.keys) {
                Ok(items) => {
                    given = chain.count();
                    pending_bytes += record.as_bytes().len() as u64;
                    pending.push((record, items));
                }
                Err(fault) => break Err(wrong(fault)),
            }
            if pending_bytes > COMMIT_BYTES {
                self.write(&mut chains, chain.clone(), &pending)?;
                (pending, pending_bytes) = (Vec::new(), 0);
            }
        };
        let count = chain.count();
        if !pending.is_empty() {
            self.write(&mut chains, chain, &pending)?;
        }
        outcome.map(|()| Imported { added: count - before, given, count })
    }

    /// Checks that `record`, which stands at a place that the home has, is the one that it has.
    fn compare(&self, chains: &BTreeMap<DeviceId, OpenChain>, record: &Record) -> Result<(), VaultError> {
        let place = record.place();
        let forks = VaultError::ChainForks { device: place.device, sequence: place.sequence };
        let Some(open) = chains.get(&place.device) else { return Err(forks) };
        let known = self.catalog.record(place.device, place.sequence)?;
        let known = known.ok_or(VaultError::DamagedCatalog { what: "it lacks a record" })?;
        let len = record.as_bytes().len();
        if known.len as usize == len && open.log.read(known.offset, len)? == record.as_bytes() {
            Ok(())
        } else {
            Err(forks)
        }
    }

    /// Makes records durable, then known to the catalog. They bring a chain to where `chain` is.
    fn write(
        &self,
        chains: &mut BTreeMap<DeviceId, OpenChain>,
        chain: Chain,
        records: &[(Record, Items)],
    ) -> Result<(), VaultError> {
        let device = chain.id();
        if !chains.contains_key(&device) {
            if chains.len() >= CHAIN_COUNT_MAX {
                return Err(VaultError::TooManyChains { max: CHAIN_COUNT_MAX });
            }
            let log = Arc::new(ChainLog::open(&self.folder, device)?);
            chains.insert(device, OpenChain { chain: Chain::new(device), log, len: 0, failed: false });
        }
        let open = chains.get_mut(&device).expect("it was inserted if it was not there");
        if open.failed {
            return Err(VaultError::NeedsReopen);
        }
        let bytes: Vec<u8> = records.iter().flat_map(|(record, _)| record.as_bytes()).copied().collect();
        let is_verify = chain.device().is_some_and(|device| device.class == DeviceClass::Verify);
        if is_verify && open.len + bytes.len() as u64 > self.verify_len_max {
            return Err(VaultError::ChainTooLong { device, max: self.verify_len_max });
        }
        open.failed = true;
        open.log.append(&bytes, open.len)?;
        file_step().map_err(VaultError::io("write to the catalog in", &self.folder))?;
        let mut writer = self.catalog.writer()?;
        for (record, items) in records {
            writer.add(record, items, word_of(&chain, self.own_verify))?;
        }
        writer.commit()?;
        open.chain = chain;
        open.len += bytes.len() as u64;
        open.failed = false;
        Ok(())
    }

    /// Has the disk refuse every write to a chain's log from now on.
    #[cfg(test)]
    pub(super) fn break_log(&self, device: DeviceId) {
        let mut chains = self.lock();
        let open = chains.get_mut(&device).expect("a chain");
        open.log = Arc::new(open.log.unwritable());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, OpenChain>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the records of a chain count for in a home.
fn word_of(chain: &Chain, own_verify: Option<DeviceId>) -> Word {
    let is_full = chain.device().is_some_and(|device| device.class == DeviceClass::Full);
    if is_full || own_verify == Some(chain.id()) { Word::Believed } else { Word::Hearsay }
}

fn damaged(place: Place, offset: u64, fault: RecordFault) -> VaultError {
    VaultError::DamagedRecord { device: place.device, sequence: place.sequence, offset, fault }
}

/// Up to where each chain is in the catalog; `None` if it does not describe these logs.
fn fitting_rows(
    catalog: &Catalog,
    logs: &BTreeMap<DeviceId, Arc<ChainLog>>,
) -> Result<Option<BTreeMap<DeviceId, ChainRow>>, VaultError> {
    let rows: BTreeMap<_, _> = catalog.chains()?.into_iter().collect();
    for (device, row) in &rows {
        let Some(log) = logs.get(device) else { return Ok(None) };
        let Some(place) =
            row.count.checked_sub(1).map(|last| catalog.record(*device, last)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        if place.offset + u64::from(place.len) != row.len || log.len()? < row.len {
            return Ok(None);
        }
        let last = log.read(place.offset, place.len as usize)?;
        if !Record::decode(&last).is_ok_and(|record| record.hash() == row.last_hash) {
            return Ok(None);
        }
    }
    Ok(Some(rows))
}

/// Checks what the catalog does not know of a log, brings it in, and cuts off what was never acknowledged.
fn catch_up(
    device: DeviceId,
    log: &ChainLog,
    row: Option<&ChainRow>,
    catalog: &Catalog,
    keys: &ChainKeys,
    own_verify: Option<DeviceId>,
) -> Result<(Chain, u64), VaultError> {
    let (len, synced) = (log.len()?, log.synced_len()?);
    if len < synced {
        return Err(VaultError::TruncatedLog { device, len, synced });
    }
    let mut chain = Chain::new(device);
    let mut scan = log.scan(0);
    let mut writer = catalog.writer()?;
    loop {
        let offset = scan.offset();
        let fault = match scan.next()? {
            None => break,
            Some(Err(fault)) => fault,
            Some(Ok(record)) => match chain.accept(&record, keys) {
                Ok(items) => {
                    match row {
                        // The first record says whose chain it is; the others were checked when they came in.
                        Some(row) if chain.count() == 1 => {
                            chain.skip_to(row.count, row.last_hash);
                            scan = log.scan(row.len);
                        }
                        _ => writer.add(&record, &items, word_of(&chain, own_verify))?,
                    }
                    if writer.bytes() > COMMIT_BYTES {
                        writer.commit()?;
                        writer = catalog.writer()?;
                    }
                    continue;
                }
                Err(fault) => fault,
            },
        };
        if offset < synced {
            return Err(VaultError::DamagedRecord { device, sequence: chain.count(), offset, fault });
        }
        tracing::warn!(device = device.short(), bytes = len - offset, %fault, "an unfinished write is cut off");
        log.cut(offset)?;
        writer.commit()?;
        return Ok((chain, offset));
    }
    let end = scan.offset();
    if end > synced {
        log.cut(end)?;
    }
    writer.commit()?;
    Ok((chain, end))
}
