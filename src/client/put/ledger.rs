//! What a put has receipts for and has not recorded yet. It is kept outside of the put's own future, so that it can
//! still be recorded when that is dropped or has failed.
//!
//! Every record costs a sync of the disk, so a few packs are recorded together, and a slow line's packs alone. What a
//! killed put sends again is at most what waits here and what was on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::error::ClientError;
use crate::client::upload::Kept;
use crate::format::{ContentItem, Pack, PlacementItem, Promise, Promises, Segment};
use crate::types::{PackId, ProviderId, Tag};
use crate::vault::Vault;

/// So many packs are recorded at once.
const PACK_COUNT: usize = 4;
/// The first of them waits no longer for the others.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Packs and segments that wait to be recorded. Clones are one and the same.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    /// Sealed segments: some of their packs may be on their way, or not even full.
    segments: Vec<Segment>,
    /// Their names.
    tags: BTreeSet<Tag>,
    /// Packs whose shards all have receipts.
    packs: Vec<(Pack, Vec<Kept>)>,
    /// When the first of them was stored.
    since: Option<Instant>,
    /// Packs that were stored, as far as a segment that waits may lie in one.
    stored: BTreeSet<PackId>,
}

impl Ledger {
    /// A segment was sealed.
    pub(crate) fn sealed(&self, segment: Segment) {
        let mut book = self.book();
        book.tags.insert(segment.tag);
        book.segments.push(segment);
    }

    /// Whether the segment was sealed, and waits to be recorded.
    pub(crate) fn is_waiting(&self, tag: &Tag) -> bool {
        self.book().tags.contains(tag)
    }

    /// A pack was stored.
    pub(crate) fn stored(&self, pack: Pack, kept: Vec<Kept>) {
        let mut book = self.book();
        book.stored.insert(pack.id);
        book.packs.push((pack, kept));
        book.since.get_or_insert_with(Instant::now);
    }

    /// When something is to be recorded; `None` while nothing waits for it.
    pub(crate) fn due(&self) -> Option<Instant> {
        let book = self.book();
        let since = book.since?;
        Some(if book.packs.len() < PACK_COUNT { since + WAIT_MAX } else { since })
    }

    /// True if that is now.
    pub(crate) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Records the packs that were stored, the segments that lie in them, and the promises that were heard besides. Even
    /// if the put fails later, the next one can go on from here.
    pub(crate) fn record(&self, heard: Vec<Promises>, vault: &Vault) -> Result<(), ClientError> {
        let (packs, segments) = self.book().take();
        let mut placement = Vec::new();
        let mut recorded = BTreeSet::new();
        let mut promises: BTreeMap<ProviderId, Vec<Promise>> = BTreeMap::new();
        for (pack, kept) in packs {
            for shard in kept {
                let promise = Promise { pack: pack.id, shard: shard.shard, expires: shard.expires };
                promises.entry(shard.provider).or_default().push(promise);
                recorded.insert((shard.provider, shard.hash));
            }
            placement.push(PlacementItem::Pack(pack));
        }
        let promised = promises.into_iter().map(|(provider, promises)| Promises { provider, promises });
        placement.extend(promised.chain(heard).map(PlacementItem::Promises));
        let content: Vec<_> = segments.into_iter().map(ContentItem::Segment).collect();
        if !placement.is_empty() || !content.is_empty() {
            vault.append(&placement, &content)?;
            vault.unfinished().settle(|sent| recorded.contains(&(sent.provider, sent.hash)));
        }
        Ok(())
    }

    /// True if nothing waits, nor is on its way.
    pub(crate) fn is_settled(&self) -> bool {
        let book = self.book();
        book.packs.is_empty() && book.segments.is_empty()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Takes out what can be recorded: all packs, and those segments that lie in stored ones with all their pieces.
    fn take(&mut self) -> (Vec<(Pack, Vec<Kept>)>, Vec<Segment>) {
        self.since = None;
        let is_stored =
            |segment: &mut Segment| segment.pieces.iter().all(|it| self.stored.contains(&it.pack));
        let ready: Vec<Segment> = self.segments.extract_if(.., is_stored).collect();
        for segment in &ready {
            self.tags.remove(&segment.tag);
        }
        // A segment is here before the first of its packs is stored: what no other one lies in is done with.
        let lain_in: BTreeSet<_> =
            self.segments.iter().flat_map(|segment| &segment.pieces).map(|piece| piece.pack).collect();
        self.stored.retain(|pack| lain_in.contains(pack));
        (std::mem::take(&mut self.packs), ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::SegmentKey;
    use crate::env::{Env, ManualClock};
    use crate::erasure::Scheme;
    use crate::format::Piece;
    use crate::format::pack::PackBuilder;
    use crate::types::{BlobHash, ShardIndex, Tag, Timestamp};
    use crate::vault::{Home, Part};

    fn env() -> Env {
        Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1))))
    }

    fn pack(env: &Env) -> Pack {
        let mut builder = PackBuilder::new(Scheme::new(2, 3).unwrap());
        builder.push(b"sealed", &mut env.rng());
        builder.close(&mut env.rng()).unwrap().encode().pack
    }

    fn kept(pack: &Pack) -> Vec<Kept> {
        let kept = |(shard, hash): (u8, BlobHash)| Kept {
            shard: ShardIndex(shard),
            provider: ProviderId::new([shard; 32]),
            hash,
            expires: Timestamp(9),
        };
        (0..).zip(pack.coding.shards.iter().map(|shard| shard.hash)).map(kept).collect()
    }

    fn store(pack: Pack, ledger: &Ledger) {
        let kept = kept(&pack);
        ledger.stored(pack, kept);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stored_waits_for_three_others_or_for_a_second() {
        let (ledger, env) = (Ledger::default(), env());
        assert_eq!(ledger.due(), None);
        let begun = Instant::now();
        for count in 1..=4 {
            tokio::time::advance(Duration::from_millis(200)).await;
            store(pack(&env), &ledger);
            assert_eq!(ledger.is_due(), count == 4);
        }
        let ledger = Ledger::default();
        store(pack(&env), &ledger);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(!ledger.is_due());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(ledger.is_due() && begun.elapsed() == Duration::from_millis(1_800));
    }

    #[tokio::test]
    async fn a_segment_is_recorded_with_the_last_of_its_packs_and_what_was_sent_is_settled() {
        let (ledger, env, folder) = (Ledger::default(), env(), tempfile::tempdir().unwrap());
        let vault = Home::init_fresh(&folder.path().join("home"), &env).unwrap();
        let (first, second, tag) = (pack(&env), pack(&env), Tag::new([7; 32]));
        let piece = |pack: &Pack| Piece { pack: pack.id, offset: 0, len: 20 };
        let pieces = vec![piece(&first), piece(&second)];
        ledger.sealed(Segment { tag, key: SegmentKey::new([1; 32]), plain_len: 40, pieces });
        for (pack, is_last) in [(first, false), (second, true)] {
            for shard in kept(&pack) {
                let part = Part::Shard { pack: pack.id, shard: shard.shard };
                vault.unfinished().note(part, shard.provider, shard.hash);
            }
            let id = pack.id;
            store(pack, &ledger);
            ledger.record(Vec::new(), &vault).unwrap();
            assert_eq!(vault.pack(&id).unwrap().unwrap().promises.len(), 3);
            assert_eq!((vault.has_segment(&tag).unwrap(), ledger.is_settled()), (is_last, is_last));
            assert_eq!(ledger.due(), None);
        }
        vault.unfinished().tidy().unwrap();
        drop(vault);
        let left = Home::open(&folder.path().join("home"), &env).unwrap().unfinished().left();
        assert!(left.is_empty(), "{left:?}");
        assert!(ledger.book().stored.is_empty() && ledger.book().tags.is_empty(), "nothing is held for ever");
    }
}
