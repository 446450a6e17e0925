//! Shards that were found missing or wrong are remembered, so that they are healed.

use std::collections::BTreeSet;

use crate::client::base::Client;
use crate::client::get::fetch::Fetcher;
use crate::vault::{Blemish, Deed};

impl Client {
    /// Remembers what `fetcher` met, blames who lost what they still promise, and says what heals it.
    pub(super) fn note_blemishes(&self, fetcher: &Fetcher) {
        let blemishes = fetcher.blemishes();
        if blemishes.is_empty() {
            return;
        }
        for blemish in blemishes.iter().filter(|blemish| !blemish.is_corrupt && self.is_promised(blemish)) {
            self.exchange.note(blemish.provider, Deed::Lost);
        }
        if let Err(error) = self.vault.note_blemishes(&blemishes) {
            tracing::warn!(%error, "what is to be healed is not remembered");
        }
        let providers: BTreeSet<_> = blemishes.iter().map(|blemish| blemish.provider).collect();
        self.monitor.note(&format!(
            "{} found missing or wrong at {}: `blobdvm repair` restores them",
            counted(blemishes.len(), "shard"),
            counted(providers.len(), "provider"),
        ));
    }

    /// Whether the promise has not lapsed.
    fn is_promised(&self, blemish: &Blemish) -> bool {
        let now = self.env.now();
        let Ok(Some(entry)) = self.vault.pack(&blemish.pack) else { return false };
        entry.promises.iter().any(|(shard, provider, expires)| {
            (*shard, *provider) == (blemish.shard, blemish.provider) && *expires >= now
        })
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
