//! Segments of files: from the packs that they lie in to their plaintext.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::get::demand::Demand;
use crate::client::get::fetch::Fetcher;
use crate::client::get::packs::PackStream;
use crate::client::roster::Roster;
use crate::format::{Segment, segment};
use crate::types::{ProviderId, Tag};
use crate::vault::Vault;

/// Fetches and opens segments.
pub(crate) struct Segments<'a> {
    vault: &'a Vault,
    packs: PackStream,
    /// The last one: a hole in a file may part it.
    last: Option<(Tag, Bytes)>,
}

impl Client {
    /// Finds the providers of what is wanted, hears who answers, and begins to fetch. Where nothing is wanted, nobody is
    /// asked.
    pub(crate) async fn segments(
        &self,
        demand: Demand,
        preferred: BTreeSet<ProviderId>,
    ) -> Result<(Segments<'_>, Fetcher), ClientError> {
        self.monitor.expect(demand.bytes());
        let roster = if demand.is_empty() {
            Roster::default()
        } else {
            Roster::of(self, demand.providers(), demand.need_max()).await?
        };
        let fetcher = Fetcher::new(&roster, preferred, self.exchange.clone(), self.monitor.clone());
        let packs = PackStream::new(demand, fetcher.clone());
        Ok((Segments { vault: &self.vault, packs, last: None }, fetcher))
    }
}

impl Segments<'_> {
    /// The segment's plaintext, from where it was stored last; should that be lost, from where it was stored before.
    pub(crate) async fn open(&mut self, tag: &Tag) -> Result<Bytes, ClientError> {
        if let Some((last, plain)) = &self.last
            && last == tag
        {
            return Ok(plain.clone());
        }
        let mut lost = None;
        for stored in self.vault.segments(tag)? {
            match self.open_stored(&stored).await {
                Err(error @ ClientError::TooFewShards { .. }) => lost = lost.or(Some(error)),
                Err(error) => return Err(error),
                Ok(plain) => {
                    self.last = Some((*tag, plain.clone()));
                    return Ok(plain);
                }
            }
        }
        Err(lost.unwrap_or_else(|| dangling(tag)))
    }

    async fn open_stored(&mut self, segment: &Segment) -> Result<Bytes, ClientError> {
        let mut sealed = Vec::with_capacity(segment.sealed_len() as usize);
        for piece in &segment.pieces {
            self.packs.get(piece, self.vault).await?.append(piece, &mut sealed)?;
        }
        Ok(segment::open(segment, sealed)?)
    }
}

/// Where a segment was stored last.
pub(crate) fn newest(tag: &Tag, vault: &Vault) -> Result<Segment, ClientError> {
    vault.segments(tag)?.into_iter().next().ok_or_else(|| dangling(tag))
}

fn dangling(tag: &Tag) -> ClientError {
    ClientError::Dangling { what: format!("segment {}", tag.short()) }
}
