//! From segments to receipts: what the vault has and its providers confirm is reused; the rest is sealed, laid into
//! packs, encoded and stored. Several packs are on their way at a time; their number bounds the memory.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use tokio::task::JoinSet;

use crate::client::base::Client;
use crate::client::confirm::Confirmer;
use crate::client::error::ClientError;
use crate::client::roster::Roster;
use crate::client::upload::{Kept, Shards, Uploader};
use crate::env::off_thread;
use crate::erasure::Scheme;
use crate::format::pack::{FilledPack, PackBuilder};
use crate::format::{ContentItem, Pack, PlacementItem, Promise, Promises, Segment, segment};
use crate::types::limits::UPLOAD_BYTES_MAX;
use crate::types::{PackId, ProviderId, Tag};

/// Packs whose records wait to be written together: one sync for all of them.
const RECORDED_TOGETHER: usize = 32;

/// Stores the segments of one put.
pub(crate) struct SegmentStore {
    scheme: Scheme,
    uploader: Uploader,
    confirmer: Confirmer,
    builder: PackBuilder,
    uploads: JoinSet<Result<(Pack, Vec<Kept>), ClientError>>,
    /// Segments of this put that were sealed in it.
    fresh: BTreeSet<Tag>,
    /// Sealed segments that are not recorded yet: some of their packs are on their way.
    unrecorded: Vec<Segment>,
    stored: Vec<(Pack, Vec<Kept>)>,
    stored_ids: BTreeSet<PackId>,
    /// Packs that the snapshot needs, old and new.
    needs: BTreeSet<PackId>,
    packs: u64,
}

/// What became of a put's segments.
pub(crate) struct Stored {
    pub(crate) needs: BTreeSet<PackId>,
    /// Packs stored in this run.
    pub(crate) packs: u64,
}

impl SegmentStore {
    pub(crate) fn new(scheme: Scheme, uploader: Uploader, confirmer: Confirmer) -> Self {
        Self {
            scheme,
            uploader,
            confirmer,
            builder: PackBuilder::new(scheme),
            uploads: JoinSet::new(),
            fresh: BTreeSet::new(),
            unrecorded: Vec::new(),
            stored: Vec::new(),
            stored_ids: BTreeSet::new(),
            needs: BTreeSet::new(),
            packs: 0,
        }
    }

    /// Takes the next segment.
    pub(crate) async fn take(
        &mut self,
        plain: BytesMut,
        tag: Tag,
        client: &mut Client,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        if self.fresh.contains(&tag) || self.reuse(&tag, client, roster).await? {
            return Ok(());
        }
        self.fresh.insert(tag);
        let plain_len = u32::try_from(plain.len()).expect("a segment is at most 4 MiB");
        let mut rng = client.env.rng();
        let sealed =
            off_thread(move || segment::seal(&plain, &mut rng)).await.expect("sealing does not panic");
        let pushed = self.builder.push(&sealed.bytes, &mut client.env.rng());
        self.unrecorded.push(Segment { tag, key: sealed.key, plain_len, pieces: pushed.pieces });
        for filled in pushed.filled {
            self.upload(filled, client).await?;
        }
        Ok(())
    }

    /// True if all these segments are there already, so that whoever has them need not be read.
    pub(crate) async fn has_all(
        &mut self,
        tags: &[Tag],
        client: &Client,
        roster: &Roster,
    ) -> Result<bool, ClientError> {
        for tag in tags {
            if !self.fresh.contains(tag) && !self.reuse(tag, client, roster).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Closes the last pack, and waits until everything is stored and recorded.
    pub(crate) async fn finish(mut self, client: &mut Client) -> Result<Stored, ClientError> {
        if let Some(filled) = self.builder.close(&mut client.env.rng()) {
            self.upload(filled, client).await?;
        }
        while self.uploads.join_next().await.map(|done| self.receipted(done)).transpose()?.is_some() {}
        self.record(client)?;
        assert!(self.unrecorded.is_empty(), "every segment lies in packs that were stored");
        Ok(Stored { needs: self.needs, packs: self.packs })
    }

    /// True if the vault has the segment and its packs were confirmed in this run.
    async fn reuse(&mut self, tag: &Tag, client: &Client, roster: &Roster) -> Result<bool, ClientError> {
        for known in client.vault.segments(tag)? {
            let packs: Vec<_> = known.pieces.iter().map(|piece| piece.pack).collect();
            if self.confirmer.all_there(&packs, client, roster).await? {
                self.needs.extend(packs);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a pack on its way; waits first while too many are.
    async fn upload(&mut self, filled: FilledPack, client: &mut Client) -> Result<(), ClientError> {
        let on_the_way_max = (UPLOAD_BYTES_MAX / filled.stored_len()).max(1);
        while self.uploads.len() as u64 >= on_the_way_max {
            let done = self.uploads.join_next().await.expect("the set is not empty");
            self.receipted(done)?;
        }
        if self.stored.len() >= RECORDED_TOGETHER {
            self.record(client)?;
        }
        self.packs += 1;
        self.needs.insert(filled.id);
        let uploader = self.uploader.clone();
        self.uploads.spawn(async move {
            let encoded = off_thread(|| filled.encode()).await.expect("encoding does not panic");
            let names = encoded.pack.coding.shards.iter().map(|shard| shard.hash);
            let blobs = names.zip(encoded.shards).collect();
            let kept = uploader.store(Shards { pack: encoded.pack.id, blobs }).await?;
            Ok((encoded.pack, kept))
        });
        Ok(())
    }

    fn receipted(
        &mut self,
        done: Result<Result<(Pack, Vec<Kept>), ClientError>, tokio::task::JoinError>,
    ) -> Result<(), ClientError> {
        let (pack, kept) = done.expect("an upload neither panics nor is aborted here")?;
        assert_eq!(kept.len(), usize::from(self.scheme.total()), "a pack is stored when all its shards are");
        self.stored_ids.insert(pack.id);
        self.stored.push((pack, kept));
        Ok(())
    }

    /// Writes down the packs that were stored, and the segments that lie in them. Even if the put fails later, the
    /// next one can go on from here.
    fn record(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let mut placement = Vec::new();
        let mut promises: BTreeMap<ProviderId, Vec<Promise>> = BTreeMap::new();
        for (pack, kept) in std::mem::take(&mut self.stored) {
            for shard in kept {
                let promise = Promise { pack: pack.id, shard: shard.shard, expires: shard.expires };
                promises.entry(shard.provider).or_default().push(promise);
            }
            placement.push(PlacementItem::Pack(pack));
        }
        let promised = promises.into_iter().map(|(provider, promises)| Promises { provider, promises });
        placement.extend(promised.chain(self.confirmer.take_heard()).map(PlacementItem::Promises));
        let is_stored =
            |segment: &Segment| segment.pieces.iter().all(|piece| self.stored_ids.contains(&piece.pack));
        let (ready, waiting) = std::mem::take(&mut self.unrecorded).into_iter().partition(is_stored);
        self.unrecorded = waiting;
        let ready: Vec<Segment> = ready;
        let content: Vec<_> = ready.into_iter().map(ContentItem::Segment).collect();
        if !placement.is_empty() || !content.is_empty() {
            client.vault.append(&placement, &content)?;
        }
        Ok(())
    }
}
