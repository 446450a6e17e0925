//! Audit: proof that blobs are here, one leaf of each (docs/protocol.md, "audit").

use std::sync::Arc;

use nostr::EventId;

use crate::provider::caller::{Caller, Refusal, Way};
use crate::provider::gate::Pass;
use crate::provider::server::Server;
use crate::store::StoreError;
use crate::types::limits::READ_LEN_MAX;
use crate::types::merkle::leaf_count;
use crate::types::{AuditNonce, BlobHash};
use crate::wire::{AuditAnswer, DirectMessage, ErrorCode, Proof, audit_position};

impl Server {
    /// Proves that blobs are here, to whoever may retrieve them.
    pub(super) async fn audit(
        self: &Arc<Self>,
        nonce: AuditNonce,
        hashes: &[BlobHash],
        caller: &Caller,
        pass: &Pass,
    ) {
        match self.samples(nonce, hashes, caller, pass).await {
            Ok(samples) => {
                let (requester, number) = (caller.client, caller.number);
                let answer = |request| AuditAnswer { request, requester, number, nonce, samples };
                match &caller.way {
                    Way::Relay { request, relay } => self.send(answer(*request).to_draft(), relay).await,
                    Way::Direct { id, .. } => {
                        let proofs = DirectMessage::proofs(*id, &answer(EventId::all_zeros()));
                        caller.way.send(proofs, None).await;
                    }
                }
            }
            Err(refusal) => self.answer(caller, Err(refusal)).await,
        }
    }

    /// Each sample reads its whole blob, so that what answers is never bytes that are not what was stored. One client waits
    /// for itself, all together take turns, and what is held in memory is counted, as with a retrieve.
    async fn samples(
        self: &Arc<Self>,
        nonce: AuditNonce,
        hashes: &[BlobHash],
        caller: &Caller,
        pass: &Pass,
    ) -> Result<Vec<Option<Proof>>, Refusal> {
        let _turn_of_client = pass.sends.acquire().await.map_err(|_| Refusal::internal())?;
        let len = |hash| self.visible(hash, caller).map_or(0, |entry| entry.len);
        if hashes.iter().map(len).fold(0, u64::saturating_add) > READ_LEN_MAX {
            let text = "blobs of more bytes than one request may ask for";
            return Err(Refusal::new(ErrorCode::InvalidRequest, text));
        }
        let mut samples = Vec::with_capacity(hashes.len());
        for (index, hash) in (0..).zip(hashes) {
            let proof = match self.visible(hash, caller) {
                Some(entry) => self.prove(nonce, index, *hash, entry.len).await?,
                None => None,
            };
            samples.push(proof);
        }
        Ok(samples)
    }

    /// The proof of one sample; none where the blob is gone or its bytes have not its hash any more.
    async fn prove(
        self: &Arc<Self>,
        nonce: AuditNonce,
        index: u32,
        hash: BlobHash,
        len: u64,
    ) -> Result<Option<Proof>, Refusal> {
        let _held = self.hold(len).await?;
        let _turn = self.turns.acquire().await.map_err(|_| Refusal::internal())?;
        let read = move |server: &Self| match server.store.get(&hash) {
            Ok(blob) => {
                let position = audit_position(&nonce, index, &hash, leaf_count(blob.len() as u64));
                Ok(position.and_then(|position| Proof::of(&blob, position)))
            }
            Err(StoreError::NotFound { .. } | StoreError::Integrity { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
        self.off_thread(read).await
    }
}
