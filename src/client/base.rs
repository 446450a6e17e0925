//! What every operation of the client stands on: a vault, a way to the relays, and a watcher.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nostr::Keys;

use crate::client::error::ClientError;
use crate::client::exchange::{CarrierChoice, Exchange, ExchangeOptions};
use crate::client::monitor::Monitor;
use crate::client::placement::Standing;
use crate::client::stop::Stop;
use crate::env::Env;
use crate::transport::Carrier;
use crate::types::{ChunkLen, ProviderId};
use crate::vault::Vault;

/// The client of one vault.
pub struct Client {
    /// The vault.
    pub vault: Vault,
    /// Events to and from relays.
    pub(crate) carrier: Arc<dyn Carrier>,
    /// Requests to and answers from providers.
    pub(crate) exchange: Exchange,
    /// Clock and randomness.
    pub(crate) env: Env,
    /// Whoever watches.
    pub(crate) monitor: Arc<dyn Monitor>,
    /// How long anything may go without progress.
    pub(crate) patience: Duration,
    /// Whoever wants it to stop.
    pub(crate) stop: Stop,
}

impl Client {
    /// A client of `vault` that speaks over `carrier`; nothing goes without progress for longer than `patience`.
    pub fn new(
        vault: Vault,
        carrier: Arc<dyn Carrier>,
        monitor: Arc<dyn Monitor>,
        patience: Duration,
        env: Env,
    ) -> Self {
        let options = ExchangeOptions { stall_timeout: patience, ..ExchangeOptions::default() };
        let exchange = Exchange::new(carrier.clone(), options, env.clone());
        exchange.learn_passages(vault.settings().passages.clone());
        Self { vault, carrier, exchange, env, monitor, patience, stop: Stop::default() }
    }

    /// The same client, whose blobs go this way, over relays in chunks of at most this length.
    #[must_use]
    pub fn going(self, carrier: CarrierChoice, chunk_len_max: ChunkLen) -> Self {
        let options = ExchangeOptions {
            stall_timeout: self.patience,
            carrier,
            chunk_len_max,
            ..ExchangeOptions::default()
        };
        let exchange = Exchange::new(self.carrier.clone(), options, self.env.clone());
        exchange.learn_passages(self.vault.settings().passages.clone());
        Self { exchange, ..self }
    }

    /// The same client, which heeds `stop`.
    #[must_use]
    pub fn heeding(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The keys that speak to `provider` for this vault.
    pub(crate) fn pseudonym(&self, provider: &ProviderId) -> Keys {
        self.vault.access().actor().pseudonym(provider)
    }

    /// Providers that this vault knows: trusted or banned by the user, or keeping something for it.
    pub(crate) fn known_providers(&self) -> Result<BTreeMap<ProviderId, Standing>, ClientError> {
        let history = self.vault.providers_with_history()?;
        let mut known: BTreeMap<_, _> = history.into_iter().map(|id| (id, Standing::Known)).collect();
        let settings = self.vault.settings();
        known.extend(settings.trusted_providers().map(|id| (id, Standing::Trusted)));
        known.extend(settings.banned_providers().map(|id| (id, Standing::Banned)));
        Ok(known)
    }
}
