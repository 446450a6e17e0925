//! Verifying the manifest: every chain from its first record on, and whether what records name is recorded.

use crate::crypt::DeviceClass;
use crate::format::chain::{Chain, Items, RecordFault};
use crate::format::{ContentItem, EntryKind, PlacementItem, Refs};
use crate::types::{DeviceId, Tag, Timestamp};
use crate::vault::manifest::Manifest;
use crate::vault::{Vault, VaultError};

/// What [`Vault::verify`] checked, and what it found.
#[derive(Debug)]
pub struct VerifyReport {
    /// The chains, by device.
    pub chains: Vec<ChainReport>,
}

/// What was checked of one chain.
#[derive(Debug)]
pub struct ChainReport {
    /// Whose chain it is.
    pub device: DeviceId,
    /// True if it is this home's device.
    pub is_own: bool,
    /// What the device may do and when it was made; `None` if its first record is not readable.
    pub described: Option<(DeviceClass, Timestamp)>,
    /// Records whose place, link, signature and seal were found good.
    pub record_count: u64,
    /// Bytes of these records.
    pub len: u64,
    /// What they hold.
    pub items: ItemCounts,
    /// Names in them that nothing in the home has: packs, segments, pages, lists.
    pub unresolved_count: u64,
    /// Why the check ended before the end of the chain, if it did.
    pub problem: Option<VaultError>,
}

/// How many items of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// Packs.
    pub packs: u64,
    /// Promises of providers, one for each shard.
    pub promises: u64,
    /// Segments.
    pub segments: u64,
    /// Tree pages and reference lists.
    pub tree_parts: u64,
    /// Snapshots.
    pub snapshots: u64,
}

impl VerifyReport {
    /// True if no chain has a problem and every name is known.
    pub fn is_sound(&self) -> bool {
        self.chains.iter().all(|chain| chain.problem.is_none() && chain.unresolved_count == 0)
    }
}

impl Vault {
    /// Reads the whole manifest again: for each record its place, link, signature and seal, for each chain its device's
    /// certificate and the ends of the chains it goes on from, for each name whether it is recorded.
    ///
    /// What is wrong with a chain goes into the report.
    ///
    /// # Errors
    /// What keeps it from looking at all, such as a disk that cannot be read.
    pub fn verify(&self) -> Result<VerifyReport, VaultError> {
        let own = self.device();
        let ends = self.manifest.ends();
        let chains = ends.iter().map(|end| self.manifest.verify_chain(end.device, end.device == own));
        Ok(VerifyReport { chains: chains.collect::<Result<_, _>>()? })
    }
}

impl Manifest {
    fn verify_chain(&self, device: DeviceId, is_own: bool) -> Result<ChainReport, VaultError> {
        let mut report = ChainReport {
            device,
            is_own,
            described: None,
            record_count: 0,
            len: 0,
            items: ItemCounts::default(),
            unresolved_count: 0,
            problem: None,
        };
        report.problem = self.check_records(device, &mut report).err();
        if let Some(VaultError::Io { .. }) = report.problem {
            return Err(report.problem.take().expect("it was there"));
        }
        Ok(report)
    }

    fn check_records(&self, device: DeviceId, report: &mut ChainReport) -> Result<(), VaultError> {
        let missing = VaultError::DamagedCatalog { what: "it names a chain that it lacks" };
        let (Some(log), Some(end)) = (self.log(device), self.end(device)) else { return Err(missing) };
        let mut chain = Chain::new(device);
        let mut scan = log.scan(0);
        while chain.count() <= end.sequence {
            let (sequence, offset) = (chain.count(), scan.offset());
            let damaged = |fault| VaultError::DamagedRecord { device, sequence, offset, fault };
            let record = scan.next()?.unwrap_or(Err(RecordFault::CutOff)).map_err(damaged)?;
            let items = chain.accept(&record, &self.keys).map_err(damaged)?;
            self.check_items(&items, report)?;
            report.record_count += 1;
            report.len += record.as_bytes().len() as u64;
        }
        if chain.last_hash() == end.hash {
            Ok(())
        } else {
            Err(VaultError::ChainForks { device, sequence: end.sequence })
        }
    }

    fn check_items(&self, items: &Items, report: &mut ChainReport) -> Result<(), VaultError> {
        match items {
            Items::Placement(items) => items.iter().try_for_each(|item| self.check_placement(item, report)),
            Items::Content(items) => items.iter().try_for_each(|item| self.check_content(item, report)),
            Items::Sealed => Ok(()),
        }
    }

    fn check_placement(&self, item: &PlacementItem, report: &mut ChainReport) -> Result<(), VaultError> {
        match item {
            PlacementItem::Device(device) => {
                report.described = Some((device.class, device.created));
                for end in &device.continues {
                    let here = self.record_hash(end.device, end.sequence)?;
                    report.unresolved_count += u64::from(here.is_none());
                    if here.is_some_and(|hash| hash != end.hash) {
                        return Err(VaultError::ChainForks { device: end.device, sequence: end.sequence });
                    }
                }
            }
            PlacementItem::Pack(_) => report.items.packs += 1,
            PlacementItem::Promises(promises) => report.items.promises += promises.promises.len() as u64,
            PlacementItem::Needs(needs) => {
                for pack in &needs.packs {
                    report.unresolved_count += u64::from(self.catalog.pack(pack)?.is_none());
                }
            }
            PlacementItem::NeedsAfter(needs) => {
                for pack in needs.without.iter().chain(&needs.with) {
                    report.unresolved_count += u64::from(self.catalog.pack(pack)?.is_none());
                }
            }
            // What is let go of may be what an unfinished put left, of which nothing else was recorded; and a device may
            // be granted or revoked that nothing was heard of yet.
            PlacementItem::Condemn(_)
            | PlacementItem::Release(_)
            | PlacementItem::Drop(_)
            | PlacementItem::Grant(_)
            | PlacementItem::Revoke(_) => {}
        }
        Ok(())
    }

    fn check_content(&self, item: &ContentItem, report: &mut ChainReport) -> Result<(), VaultError> {
        match item {
            ContentItem::Segment(segment) => {
                report.items.segments += 1;
                for piece in &segment.pieces {
                    report.unresolved_count += u64::from(self.catalog.pack(&piece.pack)?.is_none());
                }
            }
            ContentItem::RefList(list) => {
                report.items.tree_parts += 1;
                self.check_tags(&list.tags, report)?;
            }
            ContentItem::TreePage(page) => {
                report.items.tree_parts += 1;
                for entry in &page.entries {
                    match &entry.kind {
                        EntryKind::File(file) => self.check_refs(&file.content, report)?,
                        EntryKind::Dir { pages } => self.check_refs(pages, report)?,
                        _ => {}
                    }
                }
            }
            ContentItem::Snapshot(snapshot) => {
                report.items.snapshots += 1;
                self.check_refs(&snapshot.root, report)?;
            }
        }
        Ok(())
    }

    fn check_refs(&self, refs: &Refs, report: &mut ChainReport) -> Result<(), VaultError> {
        match refs {
            Refs::Direct(tags) | Refs::Lists(tags) => self.check_tags(tags, report),
        }
    }

    /// A tag names a segment, a page or a list; which of them, its place says, and the reader will insist on it.
    fn check_tags(&self, tags: &[Tag], report: &mut ChainReport) -> Result<(), VaultError> {
        for tag in tags {
            let is_known = !self.catalog.segment(tag)?.is_empty()
                || self.catalog.tree_page(tag)?.is_some()
                || self.catalog.ref_list(tag)?.is_some();
            report.unresolved_count += u64::from(!is_known);
        }
        Ok(())
    }
}
