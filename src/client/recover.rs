//! Recovery: a vault comes back from its key, by the heads on the relays or, where no relay has one, by what providers
//! list (invariant I7).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use nostr::RelayUrl;

use crate::client::base::Client;
use crate::client::error::{ClientError, Failure};
use crate::client::head::find;
use crate::client::roster::Roster;
use crate::format::Head;
use crate::types::limits::{HEAD_LEN_CLASSES, HEAD_TRIAL_COUNT_MAX, LISTED_COUNT_MAX};
use crate::types::{BlobHash, DeviceId, ProviderId};

/// What a recovery has done.
#[derive(Debug)]
pub struct RecoverOutcome {
    /// Devices whose manifests came back, and how many records each.
    pub devices: BTreeMap<DeviceId, u64>,
    /// Devices whose manifests could not be brought back, and why.
    pub lost: Vec<(DeviceId, ClientError)>,
    /// Relays that offer an older head than another: its device, its counter, and the newest counter.
    pub behind: Vec<(RelayUrl, DeviceId, u64, u64)>,
    /// True if no relay had a head and those that providers keep were taken.
    pub from_providers: bool,
    /// Providers that failed; others made up for them.
    pub failures: Vec<Failure>,
}

impl Client {
    /// Brings back the manifests of all devices of this vault. The vault goes on as a new device.
    ///
    /// `providers` are looked at, besides those that announce themselves, where no relay has a head.
    pub async fn recover(&self, providers: &BTreeSet<ProviderId>) -> Result<RecoverOutcome, ClientError> {
        let done = self.recover_devices(providers).await;
        self.remember_deeds();
        done
    }

    async fn recover_devices(&self, providers: &BTreeSet<ProviderId>) -> Result<RecoverOutcome, ClientError> {
        self.vault.keys()?;
        let access = self.vault.access();
        let found = find::on_relays(&*self.carrier, &find::Authors::full(access)?, access).await?;
        let mut behind = Vec::new();
        let mut heads = Vec::new();
        for (device, offered) in found.devices {
            let newest = offered.newest.counter;
            behind
                .extend(offered.behind.into_iter().map(|(relay, counter)| (relay, device, counter, newest)));
            heads.push(offered.newest);
        }
        let from_providers = heads.is_empty();
        if from_providers {
            heads = self.heads_at_providers(providers, found.relays.len()).await?;
        }
        let mut outcome = RecoverOutcome {
            devices: BTreeMap::new(),
            lost: Vec::new(),
            behind,
            from_providers,
            failures: Vec::new(),
        };
        for head in &heads {
            match self.bring_back(head, &mut outcome.failures).await {
                Ok(records) => {
                    outcome.devices.insert(head.device, records);
                }
                Err(error) => outcome.lost.push((head.device, error)),
            }
        }
        if outcome.devices.is_empty() {
            let (_, error) = outcome.lost.swap_remove(0);
            return Err(error);
        }
        if from_providers || !outcome.behind.is_empty() {
            self.publish_again(&heads).await?;
        }
        Ok(outcome)
    }

    /// Heads that providers keep: the newest of each device.
    pub(crate) async fn heads_at_providers(
        &self,
        named: &BTreeSet<ProviderId>,
        relays: usize,
    ) -> Result<Vec<Head>, ClientError> {
        let mut roster = Roster::discover(self, usize::MAX).await?;
        let missing: BTreeSet<_> =
            named.iter().filter(|id| !roster.members.contains_key(id)).copied().collect();
        if !missing.is_empty() {
            roster.members.extend(Roster::of(self, &missing, missing.len()).await?.members);
        }
        let looks = roster.members.keys().map(|provider| self.heads_at(*provider));
        let mut newest: BTreeMap<DeviceId, Head> = BTreeMap::new();
        for head in join_all(looks).await.into_iter().flatten() {
            if newest.get(&head.device).is_none_or(|known| known.counter < head.counter) {
                newest.insert(head.device, head);
            }
        }
        if newest.is_empty() {
            return Err(ClientError::NoHead { relays, providers: roster.members.len() });
        }
        Ok(newest.into_values().collect())
    }

    /// Opens what could be heads among the blobs that `provider` keeps for this vault: those of a head's lengths,
    /// latest promises first.
    async fn heads_at(&self, provider: ProviderId) -> Vec<Head> {
        let mut claims = match self.exchange.list(provider, LISTED_COUNT_MAX).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::info!(provider = %provider.short(), %error, "lists nothing");
                return Vec::new();
            }
        };
        let is_head_len = |size: u64| HEAD_LEN_CLASSES.iter().any(|class| *class as u64 == size);
        claims.retain(|claim| is_head_len(claim.size));
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.expires));
        let mut heads = Vec::new();
        for claim in claims.into_iter().take(HEAD_TRIAL_COUNT_MAX) {
            heads.extend(self.head_in(provider, claim.hash, claim.size).await);
        }
        heads
    }

    pub(crate) async fn head_in(&self, provider: ProviderId, hash: BlobHash, size: u64) -> Option<Head> {
        let sealed = self.exchange.fetch(provider, hash, Some(size)).await.ok()?;
        find::open_sealed(&sealed, self.vault.access()).ok()
    }

    /// Publishes heads to the relays that lost them or have older ones, as far as this device may sign for them.
    pub(crate) async fn publish_again(&self, heads: &[Head]) -> Result<(), ClientError> {
        for head in heads {
            let Some(actor) = self.vault.access().actor_of(head.class, &head.device) else { continue };
            let draft = find::draft(&self.seal(head, &actor)?, &head.device, &actor);
            let event = draft.sign(&actor.head_author(), head.made_at);
            self.carrier.publish_acknowledged(event, self.patience).await;
        }
        Ok(())
    }
}
