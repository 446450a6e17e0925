//! Looking deeper than a provider's word: shards are fetched and compared, or audited by random samples.

use std::collections::BTreeSet;

use rand::seq::index::sample;
use tokio::task::JoinSet;

use crate::client::base::Client;
use crate::client::error::Failure;
use crate::client::exchange::ExchangeError;
use crate::client::health::state::Found;
use crate::client::health::survey::Examined;
use crate::wire::ErrorCode;

/// Shards that are being fetched at a time; the exchange's windows bound their bytes.
const FETCHES_MAX: usize = 32;

impl Client {
    /// Fetches `percent` percent of the shards that are said to be there, chosen at random, and compares each with its
    /// hash. Returns the bytes that were moved.
    pub(crate) async fn read_shards(
        &self,
        examined: &mut [Examined],
        percent: u8,
        failures: &mut Vec<Failure>,
    ) -> u64 {
        let mut spots = Vec::new();
        for (index, one) in examined.iter().enumerate() {
            let there = one.sights.iter().enumerate().filter(|(_, sight)| is_worth_reading(sight.found));
            spots.extend(there.map(|(place, _)| (index, place)));
        }
        let wanted = (spots.len() * usize::from(percent)).div_ceil(100).min(spots.len());
        let chosen = sample(&mut self.env.rng(), spots.len(), wanted);
        let len_of = |(index, _): &(usize, usize)| u64::from(examined[*index].pack.coding.shard_len());
        self.monitor.expect(chosen.iter().map(|at| len_of(&spots[at])).sum());
        let mut moved = 0;
        let mut fetches = JoinSet::new();
        let mut silent = BTreeSet::new();
        let mut chosen = chosen.into_iter();
        loop {
            while fetches.len() < FETCHES_MAX
                && let Some(at) = chosen.next()
            {
                let (index, place) = spots[at];
                let one = &examined[index];
                let sight = one.sights[place];
                let Some(hash) = one.hash(&sight) else { continue };
                if silent.contains(&sight.provider) {
                    continue;
                }
                let (exchange, len) = (self.exchange.clone(), u64::from(one.pack.coding.shard_len()));
                fetches.spawn(async move {
                    let fetched = exchange.fetch(sight.provider, hash, Some(len)).await;
                    (index, place, fetched.map(|blob| blob.len() as u64))
                });
            }
            let Some(done) = fetches.join_next().await else { return moved };
            let (index, place, fetched) = done.expect("a fetch neither panics nor is aborted here");
            let one = &mut examined[index];
            let len = u64::from(one.pack.coding.shard_len());
            let recorded = one.pack.promised[place].expires;
            let (pack, sight) = (one.pack.id, &mut one.sights[place]);
            match fetched {
                Ok(found) => {
                    moved += found;
                    self.monitor.advance(found);
                    sight.found = match sight.found {
                        _ if found != len => Found::Corrupt,
                        Found::Good { expires } => Found::Good { expires },
                        // It could not be asked about, or was held against the provider; but here are the bytes.
                        _ => Found::Good { expires: recorded },
                    };
                }
                Err(error) => {
                    sight.found = found_by(&error);
                    if sight.found == Found::Unknown && silent.insert(sight.provider) {
                        let failure = Failure::new(sight.provider, Some(pack), &error);
                        self.monitor.failed(&failure);
                        failures.push(failure);
                    }
                }
            }
        }
    }
}

/// Whether reading could tell more.
fn is_worth_reading(found: Found) -> bool {
    matches!(found, Found::Good { .. } | Found::Unknown | Found::Corrupt)
}

/// What a failed retrieve says about the blob.
fn found_by(error: &ExchangeError) -> Found {
    match (error, error.code()) {
        (ExchangeError::Corrupt { .. }, _) | (_, Some(ErrorCode::IntegrityFailed)) => Found::Corrupt,
        (_, Some(ErrorCode::FileNotFound | ErrorCode::ChunkMissing)) => Found::Missing,
        _ => Found::Unknown,
    }
}
