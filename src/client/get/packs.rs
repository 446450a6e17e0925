//! Packs in the order in which their segments are wanted, several of them on their way at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::client::error::ClientError;
use crate::client::get::fetch::{Fetcher, Holder};
use crate::format::Pack;
use crate::types::PackId;
use crate::types::limits::DOWNLOAD_BYTES_MAX;
use crate::vault::Vault;

/// Packs that stay decoded: a segment may run over two, and neighbours share one.
const KEPT: usize = 4;

/// The packs that a restore will want, in order; the same pack may come again.
pub(crate) struct PackStream {
    fetcher: Fetcher,
    /// Not asked for yet.
    upcoming: VecDeque<PackId>,
    on_the_way: VecDeque<(PackId, Fetch)>,
    bytes_on_the_way: u64,
    /// Decoded, most recently wanted last.
    kept: VecDeque<(PackId, Bytes)>,
}

/// A fetch that ends when it is dropped.
struct Fetch {
    task: JoinHandle<Result<Bytes, ClientError>>,
    bytes: u64,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PackStream {
    /// Starts with the packs that will be wanted, in that order.
    pub(crate) fn new(wanted: impl IntoIterator<Item = PackId>, fetcher: Fetcher) -> Self {
        let mut upcoming: VecDeque<PackId> = VecDeque::new();
        for pack in wanted {
            if !upcoming.iter().rev().take(KEPT).any(|recent| *recent == pack) {
                upcoming.push_back(pack);
            }
        }
        Self { fetcher, upcoming, on_the_way: VecDeque::new(), bytes_on_the_way: 0, kept: VecDeque::new() }
    }

    /// The sealed bytes of `pack`.
    pub(crate) async fn get(&mut self, pack: PackId, vault: &Vault) -> Result<Bytes, ClientError> {
        self.fill(vault)?;
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == pack) {
            return Ok(bytes.clone());
        }
        while let Some((id, mut fetch)) = self.on_the_way.pop_front() {
            let bytes = (&mut fetch.task).await.expect("a fetch neither panics nor is aborted here")?;
            self.bytes_on_the_way -= fetch.bytes;
            self.keep(id, bytes.clone());
            self.fill(vault)?;
            if id == pack {
                return Ok(bytes);
            }
        }
        // Wanted again after it was let go.
        let mut fetch = self.start(pack, vault)?;
        let bytes = (&mut fetch.task).await.expect("a fetch neither panics nor is aborted here")?;
        self.keep(pack, bytes.clone());
        Ok(bytes)
    }

    fn keep(&mut self, pack: PackId, bytes: Bytes) {
        self.kept.push_back((pack, bytes));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Sends more fetches on their way, up to the window.
    fn fill(&mut self, vault: &Vault) -> Result<(), ClientError> {
        while self.on_the_way.is_empty() || self.bytes_on_the_way < DOWNLOAD_BYTES_MAX {
            let Some(next) = self.upcoming.pop_front() else { break };
            let fetch = self.start(next, vault)?;
            self.bytes_on_the_way += fetch.bytes;
            self.on_the_way.push_back((next, fetch));
        }
        Ok(())
    }

    fn start(&self, id: PackId, vault: &Vault) -> Result<Fetch, ClientError> {
        let Some(entry) = vault.pack(&id)? else {
            return Err(ClientError::Dangling { what: format!("pack {}", id.short()) });
        };
        let holders: Vec<Holder> =
            entry.promises.iter().map(|(shard, provider, _)| (*shard, *provider)).collect();
        let pack = Arc::new(entry.pack);
        let bytes = u64::from(pack.coding.sealed_len);
        let fetcher = self.fetcher.clone();
        let task = tokio::spawn(fetch(pack, holders, fetcher));
        Ok(Fetch { task, bytes })
    }
}

async fn fetch(pack: Arc<Pack>, holders: Vec<Holder>, fetcher: Fetcher) -> Result<Bytes, ClientError> {
    let shards = fetcher.shards(pack.id, &pack.coding, &holders).await?;
    let decoded =
        spawn_blocking(move || pack.coding.decode(&shards)).await.expect("decoding does not panic")?;
    Ok(Bytes::from(decoded))
}
