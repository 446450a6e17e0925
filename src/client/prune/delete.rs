//! The blobs of packs, gone from their providers.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::roster::Roster;
use crate::types::{BlobHash, PackId, ProviderId};

/// What was deleted.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    /// Blobs that were there.
    pub(super) blobs: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Packs of which nobody keeps anything now who ever promised to.
    pub(super) packs: BTreeSet<PackId>,
    /// Providers that could not be reached, or refused; they are asked again by the next prune.
    pub(super) failures: Vec<Failure>,
}

/// A blob that is to go, and what it belongs to.
struct Doomed {
    hash: BlobHash,
    pack: PackId,
    len: u64,
}

impl Client {
    /// Deletes the blobs of `packs` at everybody who ever promised one. A provider that is away keeps a pack from
    /// being done, unless its promises have lapsed.
    pub(super) async fn delete_packs(
        &self,
        packs: &BTreeSet<PackId>,
        roster: &Roster,
    ) -> Result<Deleted, ClientError> {
        let now = self.env.now();
        let mut deleted = Deleted { packs: packs.clone(), ..Deleted::default() };
        let mut doomed: BTreeMap<ProviderId, Vec<Doomed>> = BTreeMap::new();
        for pack in packs {
            let Some(entry) = self.vault.pack(pack)? else { continue };
            let coding = &entry.pack.coding;
            for (shard, provider, expires) in &entry.promises {
                let Some(name) = coding.shards.get(shard.as_usize()) else { continue };
                if roster.members.contains_key(provider) {
                    let blob = Doomed { hash: name.hash, pack: *pack, len: coding.shard_len().into() };
                    doomed.entry(*provider).or_default().push(blob);
                } else if *expires >= now && deleted.packs.remove(pack) {
                    let why = "is away, and is asked again by the next prune".to_owned();
                    let failure = Failure { provider: *provider, pack: Some(*pack), why, corrupt: false };
                    deleted.failures.push(failure);
                }
            }
        }
        let deletes = doomed.into_iter().map(|(provider, blobs)| async move {
            let hashes: Vec<_> = blobs.iter().map(|blob| blob.hash).collect();
            (provider, self.exchange.delete(provider, &hashes).await, blobs)
        });
        for (provider, result, blobs) in join_all(deletes).await {
            match result {
                Ok(had_claims) => {
                    for blob in blobs.iter().zip(had_claims).filter_map(|(blob, had)| had.then_some(blob)) {
                        deleted.blobs += 1;
                        deleted.bytes += blob.len;
                    }
                }
                Err(error) => {
                    for blob in &blobs {
                        deleted.packs.remove(&blob.pack);
                    }
                    deleted.failures.push(Failure::new(provider, None, &error));
                }
            }
        }
        Ok(deleted)
    }
}
