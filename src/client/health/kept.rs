//! Packs that are looked after: those that live snapshots need, and those of the manifests.

use std::collections::BTreeSet;

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::get::fetch::Fetcher;
use crate::client::head::run;
use crate::client::roster::Roster;
use crate::format::{Coding, Head};
use crate::types::{DeviceId, PackId, ProviderId, ShardIndex, Timestamp};
use crate::vault::Vault;

/// Packs that are asked about together: a multiple of what goes into one batch, so that none goes half empty.
pub(crate) const ASKED_TOGETHER: usize = 5_000;

/// A pack, and who has promised what of it.
pub(crate) struct KeptPack {
    pub(crate) id: PackId,
    pub(crate) coding: Coding,
    pub(crate) promised: Vec<PromisedShard>,
    /// The device whose manifest the pack is a part of; `None` for packs of files' bytes.
    pub(crate) manifest_of: Option<DeviceId>,
}

/// A shard, and until when a provider promised to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PromisedShard {
    pub(crate) shard: ShardIndex,
    pub(crate) provider: ProviderId,
    pub(crate) expires: Timestamp,
}

impl KeptPack {
    /// The pack of files' bytes with this id; `None` if it is not recorded.
    pub(crate) fn of_files(id: &PackId, vault: &Vault) -> Result<Option<Self>, ClientError> {
        let Some(entry) = vault.pack(id)? else { return Ok(None) };
        let promised = entry.promises.into_iter();
        let promised = promised.map(|(shard, provider, expires)| PromisedShard { shard, provider, expires });
        let (coding, promised) = (entry.pack.coding, promised.collect());
        Ok(Some(Self { id: *id, coding, promised, manifest_of: None }))
    }
}

impl Client {
    /// `packs` in the order in which they were recorded: read so, each record is opened once.
    pub(crate) fn in_order(&self, packs: &BTreeSet<PackId>) -> Result<Vec<PackId>, ClientError> {
        let mut ordered = Vec::with_capacity(packs.len());
        let mut last = None;
        loop {
            let part = self.vault.packs_after(last.as_ref(), ASKED_TOGETHER)?;
            let Some(end) = part.last() else { return Ok(ordered) };
            last = Some(*end);
            ordered.extend(part.into_iter().filter(|pack| packs.contains(pack)));
        }
    }

    /// The packs that hold the manifests to which `heads` lead.
    pub(crate) async fn manifest_packs(
        &self,
        heads: impl Iterator<Item = &Head>,
        roster: &Roster,
    ) -> Vec<KeptPack> {
        let fetcher = Fetcher::new(roster, BTreeSet::new(), self.exchange.clone(), self.monitor.clone());
        let mut packs = Vec::new();
        for head in heads {
            for run in &head.runs {
                packs.extend(run::kept(run, head, &fetcher).await);
            }
        }
        packs
    }

    /// Those of `ids` that are recorded.
    pub(crate) fn kept_packs(&self, ids: &[PackId]) -> Result<Vec<KeptPack>, ClientError> {
        let packs = ids.iter().map(|id| KeptPack::of_files(id, &self.vault));
        packs.filter_map(Result::transpose).collect()
    }
}
