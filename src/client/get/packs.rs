//! Packs in the order in which their segments are wanted, several of them on their way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::client::error::{ClientError, Failure};
use crate::client::get::demand::{Demand, pack_entry};
use crate::client::get::fetch::{Fetcher, Holder};
use crate::env::off_thread;
use crate::format::{Pack, PackBytes, Piece};
use crate::types::limits::DOWNLOAD_BYTES_MAX;
use crate::types::{PackId, ShardIndex};
use crate::vault::Vault;

/// Packs that stay decoded: a segment may run over two, and neighbours share one.
const KEPT: usize = 4;

/// The packs that a restore will want, in order; the same pack may come again.
pub(crate) struct PackStream {
    fetcher: Fetcher,
    /// What is wanted; its order has what is not asked for yet.
    demand: Demand,
    on_the_way: VecDeque<(PackId, Fetch)>,
    bytes_on_the_way: u64,
    /// Decoded, most recently wanted last.
    kept: VecDeque<(PackId, PackBytes)>,
    /// Packs that could not be had: nobody is asked for them again.
    lost: BTreeMap<PackId, Loss>,
}

/// Why a pack could not be had.
#[derive(Clone)]
struct Loss {
    have: usize,
    need: usize,
    failures: Vec<Failure>,
}

/// A fetch that ends when it is dropped.
struct Fetch {
    task: JoinHandle<Result<PackBytes, ClientError>>,
    bytes: u64,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetch {
    async fn done(mut self) -> Result<PackBytes, ClientError> {
        (&mut self.task).await.expect("a fetch neither panics nor is aborted here")
    }
}

impl PackStream {
    /// Starts with what will be wanted.
    pub(crate) fn new(demand: Demand, fetcher: Fetcher) -> Self {
        let (on_the_way, bytes_on_the_way, kept, lost) = Default::default();
        Self { fetcher, demand, on_the_way, bytes_on_the_way, kept, lost }
    }

    /// Bytes of a pack, with those of `piece` among them.
    pub(crate) async fn get(&mut self, piece: &Piece, vault: &Vault) -> Result<PackBytes, ClientError> {
        self.demand.include(piece, vault)?;
        self.fill(vault)?;
        if let Some(bytes) = self.kept(piece)? {
            return Ok(bytes);
        }
        while self.is_upcoming(&piece.pack) {
            let Some((pack, fetch)) = self.on_the_way.pop_front() else { break };
            self.bytes_on_the_way -= fetch.bytes;
            let done = fetch.done().await;
            self.take_in(pack, done)?;
            self.fill(vault)?;
            if pack == piece.pack {
                break;
            }
        }
        if let Some(bytes) = self.kept(piece)? {
            return Ok(bytes);
        }
        // Wanted again after it was let go, or not foreseen.
        let done = self.start(piece.pack, vault)?.done().await;
        self.take_in(piece.pack, done)?;
        self.kept(piece)?
            .ok_or_else(|| ClientError::Dangling { what: format!("pack {}", piece.pack.short()) })
    }

    /// The pack with these bytes, if it was kept.
    ///
    /// # Errors
    /// It is lost.
    fn kept(&self, piece: &Piece) -> Result<Option<PackBytes>, ClientError> {
        if let Some(Loss { have, need, failures }) = self.lost.get(&piece.pack).cloned() {
            return Err(ClientError::TooFewShards { pack: piece.pack, have, need, failures });
        }
        let is_it = |(pack, bytes): &&(PackId, PackBytes)| *pack == piece.pack && bytes.has(piece);
        Ok(self.kept.iter().find(is_it).map(|(_, bytes)| bytes.clone()))
    }

    /// Keeps a pack that has come, or why it has not.
    fn take_in(&mut self, pack: PackId, done: Result<PackBytes, ClientError>) -> Result<(), ClientError> {
        match done {
            Ok(bytes) => self.keep(pack, bytes),
            Err(ClientError::TooFewShards { have, need, failures, .. }) => {
                self.lost.insert(pack, Loss { have, need, failures });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_upcoming(&self, pack: &PackId) -> bool {
        self.on_the_way.iter().any(|(id, _)| id == pack) || self.demand.is_upcoming(pack)
    }

    fn keep(&mut self, pack: PackId, bytes: PackBytes) {
        self.kept.retain(|(kept, _)| *kept != pack);
        self.kept.push_back((pack, bytes));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Sends more fetches on their way, up to the window.
    fn fill(&mut self, vault: &Vault) -> Result<(), ClientError> {
        while self.on_the_way.is_empty() || self.bytes_on_the_way < DOWNLOAD_BYTES_MAX {
            let Some(next) = self.demand.next() else { break };
            let fetch = self.start(next, vault)?;
            self.bytes_on_the_way += fetch.bytes;
            self.on_the_way.push_back((next, fetch));
        }
        Ok(())
    }

    fn start(&self, id: PackId, vault: &Vault) -> Result<Fetch, ClientError> {
        let entry = pack_entry(&id, vault)?;
        let holders: Vec<Holder> =
            entry.promises.iter().map(|(shard, provider, _)| (*shard, *provider)).collect();
        let wanted = self.demand.shards(&id).map(|shards| shards.iter().copied().collect());
        let task = tokio::spawn(fetch(wanted, Arc::new(entry.pack), holders, self.fetcher.clone()));
        Ok(Fetch { task, bytes: self.demand.bytes_of(&id) })
    }
}

async fn fetch(
    wanted: Option<BTreeSet<ShardIndex>>,
    pack: Arc<Pack>,
    holders: Vec<Holder>,
    fetcher: Fetcher,
) -> Result<PackBytes, ClientError> {
    let shards = match wanted {
        Some(wanted) => fetcher.some_shards(&wanted, pack.id, &pack.coding, &holders).await?,
        None => fetcher.shards(pack.id, &pack.coding, &holders).await?,
    };
    let decoded = off_thread(move || pack.coding.bytes_of(&shards)).await;
    Ok(decoded.expect("decoding does not panic")?)
}
