//! From segments to receipts: what the vault has and its providers confirm is reused; the rest is sealed, laid into
//! packs, encoded and stored. Several packs are on their way at a time; their number bounds the memory.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::base::Client;
use crate::client::confirm::Confirmer;
use crate::client::error::ClientError;
use crate::client::put::ledger::Ledger;
use crate::client::roster::Roster;
use crate::client::upload::{Shards, Uploader};
use crate::env::off_thread;
use crate::erasure::Scheme;
use crate::format::pack::{FilledPack, PackBuilder};
use crate::format::segment::Plaintext;
use crate::format::{Segment, segment};
use crate::types::limits::UPLOAD_BYTES_MAX;
use crate::types::{PackId, Tag};

/// Stores the segments of one put.
pub(crate) struct SegmentStore {
    scheme: Scheme,
    uploader: Uploader,
    confirmer: Confirmer,
    builder: PackBuilder,
    uploads: JoinSet<Result<(), ClientError>>,
    ledger: Ledger,
    /// Packs that the snapshot needs: confirmed in this run, or stored in it, or on their way.
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
    pub(crate) fn new(scheme: Scheme, uploader: &Uploader, confirmer: Confirmer) -> Self {
        Self {
            scheme,
            uploader: uploader.for_packs(),
            confirmer,
            builder: PackBuilder::new(scheme),
            uploads: JoinSet::new(),
            ledger: Ledger::default(),
            needs: BTreeSet::new(),
            packs: 0,
        }
    }

    /// What waits to be recorded.
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Takes the next segment.
    pub(crate) async fn take(
        &mut self,
        plain: Plaintext,
        tag: Tag,
        client: &mut Client,
        roster: &Roster,
    ) -> Result<(), ClientError> {
        if self.ledger.is_waiting(&tag) || self.reuse(&tag, client, roster).await? {
            return Ok(());
        }
        let plain_len = u32::try_from(plain.len()).expect("a segment is at most 4 MiB");
        let mut rng = client.env.rng();
        let sealed = off_thread(move || segment::seal_in_place(plain, &mut rng))
            .await
            .expect("sealing does not panic");
        let pushed = self.builder.push(&sealed.bytes, &mut client.env.rng());
        // The packs hold a copy, and their uploads are waited for below.
        drop(sealed.bytes);
        self.ledger.sealed(Segment { tag, key: sealed.key, plain_len, pieces: pushed.pieces });
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
            if !self.ledger.is_waiting(tag) && !self.reuse(tag, client, roster).await? {
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
        while !self.uploads.is_empty() {
            self.tend(client).await?;
        }
        self.ledger.record(self.confirmer.take_heard(), &client.vault)?;
        assert!(self.ledger.is_settled(), "every segment lies in packs that were stored");
        Ok(Stored { needs: self.needs, packs: self.packs })
    }

    /// True if the vault has the segment, and its packs were confirmed or stored in this run.
    async fn reuse(&mut self, tag: &Tag, client: &Client, roster: &Roster) -> Result<bool, ClientError> {
        for known in client.vault.segments(tag)? {
            let packs: Vec<_> = known.pieces.iter().map(|piece| piece.pack).collect();
            if packs.iter().all(|pack| self.needs.contains(pack)) {
                return Ok(true);
            }
            if self.confirmer.all_there(&packs, client, roster).await? {
                self.needs.extend(packs);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for a pack that is on its way, or until something is to be recorded, and records it. While neither is to be
    /// expected this does not end. It may be dropped at any time.
    pub(crate) async fn tend(&mut self, client: &Client) -> Result<(), ClientError> {
        tokio::select! {
            biased;
            Some(done) = self.uploads.join_next() => {
                done.expect("an upload neither panics nor is aborted here")?;
            }
            () = until(self.ledger.due()) => {}
        }
        if self.ledger.is_due() {
            self.ledger.record(self.confirmer.take_heard(), &client.vault)?;
        }
        Ok(())
    }

    /// Sends a pack on its way; waits first while too many are.
    async fn upload(&mut self, filled: FilledPack, client: &Client) -> Result<(), ClientError> {
        let on_the_way_max = (UPLOAD_BYTES_MAX / filled.stored_len()).max(1);
        while self.uploads.len() as u64 >= on_the_way_max {
            self.tend(client).await?;
        }
        self.packs += 1;
        self.needs.insert(filled.id);
        let (uploader, ledger, total) = (self.uploader.clone(), self.ledger.clone(), self.scheme.total());
        self.uploads.spawn(async move {
            let encoded = off_thread(|| filled.encode()).await.expect("encoding does not panic");
            let names = encoded.pack.coding.shards.iter().map(|shard| shard.hash);
            let blobs = names.zip(encoded.shards).collect();
            let kept = uploader.store(Shards { pack: encoded.pack.id, blobs }).await?;
            assert_eq!(kept.len(), usize::from(total), "a pack is stored when all its shards are");
            ledger.stored(encoded.pack, kept);
            Ok(())
        });
        Ok(())
    }
}

/// Waits until then; forever where there is no such time.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
