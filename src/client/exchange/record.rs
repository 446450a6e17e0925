//! What providers did in this run, until it is written down.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::base::Client;
use crate::client::exchange::drive::now;
use crate::client::exchange::link::Link;
use crate::client::exchange::{Exchange, ExchangeError};
use crate::types::ProviderId;
use crate::vault::{Deed, ProviderRecord};
use crate::wire::ErrorCode;

/// The records of one run.
#[derive(Default)]
pub(super) struct Records(Mutex<BTreeMap<ProviderId, ProviderRecord>>);

impl Records {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderId, ProviderRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// Takes in what somebody found out about a provider. What the exchange itself sees is counted already.
    pub fn note(&self, provider: ProviderId, deed: Deed) {
        // Only those that were added: nobody else can make this grow.
        if self.link(provider).is_ok() {
            self.records().lock().entry(provider).or_default().take(deed);
        }
    }

    /// The provider was late at something that was asked of it at `since`. If nothing at all was heard from it since,
    /// it counts as silent.
    pub(crate) fn late(&self, provider: ProviderId, since: Instant) {
        if self.link(provider).is_ok_and(|link| link.hush_unless_heard(since)) {
            self.note(provider, Deed::Silent);
        }
    }

    /// True if the provider was late, and nothing was heard from it since.
    pub(crate) fn is_quiet(&self, provider: ProviderId) -> bool {
        self.link(provider).is_ok_and(|link| link.is_quiet())
    }

    /// How long the provider's answers take in this run; zero before the first.
    pub(crate) fn usual_latency(&self, provider: ProviderId) -> Duration {
        self.link(provider).ok().and_then(|link| link.latency()).unwrap_or_default()
    }

    /// Takes what was noted since the last call.
    pub fn take_records(&self) -> BTreeMap<ProviderId, ProviderRecord> {
        std::mem::take(&mut *self.records().lock())
    }

    /// Notes how a request ended that began at `started`; `deed` makes a good answer's deed of the time it took.
    pub(super) fn judge<T>(
        &self,
        link: &Link,
        started: Instant,
        outcome: &Result<T, ExchangeError>,
        deed: impl FnOnce(Duration) -> Deed,
    ) {
        let took = now() - started;
        let deed = match outcome {
            Ok(_) => deed(took),
            Err(error) if error.code() == Some(&ErrorCode::FileNotFound) => Deed::Answered { took },
            Err(ExchangeError::Refused { .. }) => Deed::Refused,
            Err(ExchangeError::Silent { .. }) => Deed::Silent,
            Err(ExchangeError::Corrupt { .. }) => Deed::Corrupt,
            // The relays' doing, or our own.
            Err(_) => return,
        };
        self.note(link.id, deed);
    }
}

impl Client {
    /// Writes down what providers did since the last call: at the end of a run, however it ended. Of those that were
    /// only looked at nothing is kept: a crowd of newcomers must not push others out.
    pub fn remember_deeds(&self) {
        self.remember_passages();
        let records = self.exchange.take_records();
        if records.is_empty() {
            return;
        }
        let (history, now) = (self.vault.providers_with_history().unwrap_or_default(), self.env.now());
        let remembered = self.vault.update_settings(|settings| {
            for (provider, run) in &records {
                let is_known = history.contains(provider) || settings.providers.contains_key(provider);
                if is_known || run.is_dealing() {
                    let name = self.exchange.terms(*provider).map(|terms| terms.name).unwrap_or_default();
                    settings.remember_provider(*provider, run, &name, now);
                }
            }
        });
        if let Err(error) = remembered {
            tracing::warn!(%error, "what providers did is not remembered");
        }
    }
}
