//! Packs that are mostly dead: what lives in them is stored anew, in new packs and under new keys.
//!
//! Everything is stored anew, also what lies in another pack too. Two devices that repack at once could else each rely
//! on the copy that the other one gives up (docs/format.md, "Release").

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::client::base::Client;
use crate::client::catch_up::condemnations;
use crate::client::confirm::Confirmer;
use crate::client::crew::Crew;
use crate::client::error::ClientError;
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::put::SegmentStore;
use crate::env::off_thread;
use crate::erasure::Scheme;
use crate::format::segment::Plaintext;
use crate::format::{Needs, PlacementItem, Release, Segment, segment};
use crate::types::limits::{CONDEMNED_SNAPSHOT_COUNT_MAX, NEED_COUNT_MAX};
use crate::types::{PackId, SnapshotId, Tag};

use super::flow::PruneOutcome;
use super::moves::{Fresh, Moved, Moves};
use super::reach::Reach;

/// Packs that stay decoded: a segment may run over two, and neighbours share one.
const DECODED_KEPT: usize = 4;

/// Packs that are mostly dead, and what lives in them.
#[derive(Debug, Default)]
pub(super) struct Victims {
    pub(super) packs: BTreeSet<PackId>,
    /// Segments that are to be stored anew, by the coding that they are to get.
    living: BTreeMap<Scheme, BTreeSet<Tag>>,
}

impl Victims {
    /// Providers that it takes to store them anew.
    pub(super) fn spread(&self) -> u8 {
        self.living.keys().map(|scheme| scheme.total()).max().unwrap_or(1)
    }
}

/// Packs as they were decoded last.
struct Decoded {
    fetcher: Fetcher,
    kept: VecDeque<(PackId, Bytes)>,
}

impl Client {
    /// Needed packs of which more than `dead_percent_max` percent of the sealed bytes is reached by no live snapshot.
    pub(super) fn mostly_dead(
        &self,
        needed: &BTreeSet<PackId>,
        dead_percent_max: u8,
    ) -> Result<Victims, ClientError> {
        let mut reach = Reach::default();
        for snapshot in self.vault.snapshots()? {
            reach.add(&snapshot.root, &self.vault)?;
        }
        let mut living: BTreeMap<PackId, (u64, Vec<Tag>)> = BTreeMap::new();
        for tag in &reach.segments {
            for piece in self.vault.segments(tag)?.iter().flat_map(|segment| &segment.pieces) {
                let (bytes, tags) = living.entry(piece.pack).or_default();
                *bytes += u64::from(piece.len);
                tags.push(*tag);
            }
        }
        let mut victims = Victims::default();
        for pack in needed {
            let Some(entry) = self.vault.pack(pack)? else { continue };
            let (bytes, tags) = living.remove(pack).unwrap_or_default();
            let sealed_len = u64::from(entry.pack.coding.sealed_len);
            if bytes * 100 < sealed_len * u64::from(100_u8.saturating_sub(dead_percent_max)) {
                victims.packs.insert(*pack);
                if !tags.is_empty() {
                    victims.living.entry(entry.pack.coding.scheme).or_default().extend(tags);
                }
            }
        }
        Ok(victims)
    }

    /// Stores anew what lives in the victims, and releases the snapshots from them. A pack that cannot be read is told
    /// of, and everything stays as it was.
    pub(super) async fn repack(
        &mut self,
        victims: Victims,
        crew: &Crew,
        outcome: &mut PruneOutcome,
    ) -> Result<(), ClientError> {
        let mut fresh = Fresh::new();
        for (scheme, tags) in &victims.living {
            match self.store_anew(*scheme, tags, crew).await {
                Ok(stored) => fresh.extend(stored),
                Err(ClientError::TooFewShards { pack, failures, .. }) => {
                    let pack = pack.short();
                    self.monitor.note(&format!("nothing is repacked: pack {pack} cannot be read"));
                    outcome.repacked = 0;
                    outcome.failures.extend(failures);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let items = self.moved(&victims, &fresh)?;
        self.vault.append(&items, &[])?;
        Ok(())
    }

    /// Stores segments in new packs. Returns the packs of each.
    async fn store_anew(
        &mut self,
        scheme: Scheme,
        tags: &BTreeSet<Tag>,
        crew: &Crew,
    ) -> Result<Fresh, ClientError> {
        let (exchange, monitor) = (self.exchange.clone(), self.monitor.clone());
        let fetcher = Fetcher::new(&crew.roster, BTreeSet::new(), exchange, monitor);
        let mut decoded = Decoded { fetcher, kept: VecDeque::new() };
        let confirmer = Confirmer::trusting_nothing(crew.standard);
        let mut store = SegmentStore::new(scheme, &crew.uploader, confirmer);
        for tag in tags {
            let plain = self.open_any(tag, &mut decoded).await?;
            store.take(Plaintext::copy_of(&plain), *tag, self, &crew.roster).await?;
        }
        let stored = store.finish(self).await?;
        let mut fresh = Fresh::new();
        for tag in tags {
            let packs = |segment: &Segment| segment.pieces.iter().map(|piece| piece.pack).collect();
            let of_this_run = |packs: &BTreeSet<PackId>| packs.is_subset(&stored.needs);
            let packs = self.vault.segments(tag)?.iter().map(packs).find(of_this_run);
            fresh.insert(*tag, packs.expect("a segment that was stored is recorded"));
        }
        Ok(fresh)
    }

    /// The segment's plaintext, from any record of it that can be read.
    async fn open_any(&self, tag: &Tag, decoded: &mut Decoded) -> Result<BytesMut, ClientError> {
        let mut failed = None;
        for stored in self.vault.segments(tag)? {
            match self.open_one(&stored, decoded).await {
                Ok(plain) => return Ok(BytesMut::from(&plain[..])),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let dangling = || ClientError::Dangling { what: format!("segment {}", tag.short()) };
        Err(failed.unwrap_or_else(dangling))
    }

    async fn open_one(&self, stored: &Segment, decoded: &mut Decoded) -> Result<Bytes, ClientError> {
        let mut sealed = Vec::with_capacity(stored.sealed_len() as usize);
        for piece in &stored.pieces {
            sealed.extend_from_slice(piece.of(&self.decoded(piece.pack, decoded).await?)?);
        }
        Ok(segment::open(stored, sealed)?)
    }

    async fn decoded(&self, id: PackId, decoded: &mut Decoded) -> Result<Bytes, ClientError> {
        if let Some((_, bytes)) = decoded.kept.iter().find(|(kept, _)| *kept == id) {
            return Ok(bytes.clone());
        }
        let entry = self.vault.pack(&id)?;
        let entry = entry.ok_or_else(|| ClientError::Dangling { what: format!("pack {}", id.short()) })?;
        let holders: Vec<Holder> =
            entry.promises.iter().map(|(shard, provider, _)| (*shard, *provider)).collect();
        let coding = entry.pack.coding;
        let shards = decoded.fetcher.shards(id, &coding, &holders).await?;
        let bytes = off_thread(move || coding.decode(&shards)).await.expect("decoding does not panic")?;
        let bytes = Bytes::from(bytes);
        decoded.kept.push_back((id, bytes.clone()));
        if decoded.kept.len() > DECODED_KEPT {
            decoded.kept.pop_front();
        }
        Ok(bytes)
    }

    /// What is to be recorded: new needs first, then releases, then condemnations, so that what a crash leaves of it is
    /// never too little.
    fn moved(&self, victims: &Victims, fresh: &Fresh) -> Result<Vec<PlacementItem>, ClientError> {
        let mut touched = victims.packs.clone();
        for tag in fresh.keys() {
            let segments = self.vault.segments(tag)?;
            touched.extend(segments.iter().flat_map(|segment| &segment.pieces).map(|piece| piece.pack));
        }
        for pack in fresh.values().flatten() {
            touched.remove(pack);
        }
        let mut concerned = touched.clone();
        concerned.extend(fresh.values().flatten());
        let snapshots = self.vault.snapshots()?;
        let ids = snapshots.iter().map(|snapshot| snapshot.id).collect();
        let needs = self.vault.needs_among(&ids, &concerned)?;
        let mut moves = Moves::new(&self.vault, fresh, &touched);
        let mut items = Vec::new();
        let mut released: BTreeMap<PackId, Vec<SnapshotId>> = BTreeMap::new();
        let mut still_needed = BTreeSet::new();
        for snapshot in snapshots {
            let needs = needs.of(&snapshot.id);
            if needs.is_disjoint(&touched) {
                continue;
            }
            let Moved { new, kept } = moves.below(&snapshot.root)?;
            let new: Vec<_> = new.difference(&needs).copied().collect();
            items.extend(
                new.chunks(NEED_COUNT_MAX)
                    .map(|part| PlacementItem::Needs(Needs { snapshot: snapshot.id, packs: part.to_vec() })),
            );
            for pack in needs {
                if touched.contains(&pack) && !kept.contains(&pack) {
                    released.entry(pack).or_default().push(snapshot.id);
                } else {
                    still_needed.insert(pack);
                }
            }
        }
        // One that was condemned before is condemned again, so that it is due only after the whole time.
        let removals = self.vault.removals()?;
        let is_gone =
            |pack: &PackId| !still_needed.contains(pack) || removals.condemned_since(pack).is_some();
        let gone: BTreeSet<_> = released.keys().copied().filter(is_gone).collect();
        for (pack, mut snapshots) in released {
            snapshots.sort_unstable();
            items.extend(
                snapshots
                    .chunks(CONDEMNED_SNAPSHOT_COUNT_MAX)
                    .map(|part| PlacementItem::Release(Release { pack, snapshots: part.to_vec() })),
            );
        }
        items.extend(condemnations(&gone, self.env.now()));
        Ok(items)
    }
}
