//! A vault that was made for a while takes back everything that it has stored.

use futures_util::future::join_all;
use nostr::Tag;

use crate::client::base::Client;
use crate::client::directory::Directory;
use crate::client::error::{ClientError, Failure};
use crate::client::exchange::ExchangeError;
use crate::client::head::find;
use crate::types::ProviderId;
use crate::types::limits::LISTED_COUNT_MAX;
use crate::wire::{Draft, tags};

/// Asks relays to forget events (NIP-09).
const DELETION_KIND: u16 = 5;

impl Client {
    /// Drops every claim of this vault at `providers`, and asks the relays to forget its head, which some do. Nothing of
    /// the vault can be restored after that. Who failed, and keeps what it has until its promises lapse.
    ///
    /// # Errors
    /// What keeps it from asking at all.
    pub async fn withdraw(&self, providers: &[ProviderId]) -> Result<Vec<Failure>, ClientError> {
        let directory = Directory::by_ids(&*self.carrier, providers, self.patience).await;
        for terms in directory.providers.into_values() {
            let keys = self.pseudonym(&terms.id);
            self.exchange.add_provider(terms, keys).await?;
        }
        let dropping = providers.iter().map(|provider| async move {
            let dropped = self.drop_claims(*provider).await;
            dropped.err().map(|error| Failure::new(*provider, None, &error))
        });
        let failures = join_all(dropping).await.into_iter().flatten().collect();
        if let Some(end) = self.vault.chain_position() {
            let actor = self.vault.access().actor();
            let name = find::draft(&[], &end.device, actor);
            let author = actor.head_author();
            let named = name.tags.iter().filter_map(Tag::content).map(|name| {
                tags::tag([
                    "a",
                    &format!("{}:{}:{name}", crate::format::head::HEAD_EVENT_KIND, author.public_key()),
                ])
            });
            let draft = Draft { kind: DELETION_KIND, content: String::new(), tags: named.collect() };
            // Nobody can do more than ask.
            let event = draft.sign(&author, self.env.now());
            let _answers = self.carrier.publish_acknowledged(event, self.patience).await;
        }
        Ok(failures)
    }

    async fn drop_claims(&self, provider: ProviderId) -> Result<(), ExchangeError> {
        let claims = self.exchange.list(provider, LISTED_COUNT_MAX).await?;
        let hashes: Vec<_> = claims.iter().map(|claim| claim.hash).collect();
        if !hashes.is_empty() {
            self.exchange.delete(provider, &hashes).await?;
        }
        Ok(())
    }
}
