//! The providers that a plain command speaks to.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cli::context::Context;
use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::names::{npub, provider};
use crate::cli::plain::key;
use crate::client::{
    Acquaintance, CarrierChoice, ClientError, Directory, Exchange, ExchangeError, ExchangeOptions,
    ProviderTerms,
};
use crate::transport::Carrier;
use crate::types::limits::DIRECTORY_COUNT_MAX;
use crate::types::{BlobHash, ProviderId};
use crate::wire::ErrorCode;

/// How long relays may take to list announcements.
pub(super) const DISCOVERY_DEADLINE: Duration = Duration::from_secs(3);
/// How long a provider may take to show that it is there.
const PROBE_DEADLINE: Duration = Duration::from_secs(4);
/// Providers that are asked whether they are there; the newest announcements come first.
const PROBE_COUNT_MAX: usize = 50;

/// Providers, and a way to them.
pub(super) struct Servers {
    pub(super) exchange: Exchange,
    /// Those that may be used, best first.
    pub(super) terms: Vec<ProviderTerms>,
}

impl Servers {
    /// The named provider, or all that announce themselves and answer, the fastest first.
    ///
    /// # Errors
    /// No relay can be reached, or nobody answers.
    pub(super) async fn find(server: Option<&str>, context: &Context) -> Result<Self, CliError> {
        let named = server.map(provider).transpose()?;
        let keys = key::open_or_make(&context.home, &context.env)?;
        let carrier = context.connect(&[]).await?;
        let candidates = candidates(&carrier, named).await;
        let (stall_timeout, carrier_choice) = (context.timeout, context.carrier);
        let options =
            ExchangeOptions { stall_timeout, carrier: carrier_choice, ..ExchangeOptions::default() };
        let exchange = Exchange::new(carrier, options, context.env.clone());
        for terms in &candidates {
            let knowing = if named.is_some() { Acquaintance::Named } else { Acquaintance::Stranger };
            exchange.add(terms.clone(), keys.clone(), knowing).await.map_err(|error| failed(&error))?;
        }
        if context.carrier == CarrierChoice::Direct
            && !candidates.is_empty()
            && candidates.iter().all(|terms| terms.endpoints.is_empty())
        {
            return Err(ClientError::NoEndpoints { found: candidates.len() }.into());
        }
        let terms = if named.is_some() { candidates } else { answering(&exchange, candidates).await };
        if terms.is_empty() {
            let remedy = "name another relay with --relay URL, or run a provider with `blobdvm serve`";
            return Err(CliError::new(Exit::TooFewProviders, "no provider answers on these relays", remedy));
        }
        Ok(Self { exchange, terms })
    }
}

/// The named provider, with the terms of the base protocol where nobody has its announcement; otherwise everybody.
async fn candidates(carrier: &Arc<dyn Carrier>, named: Option<ProviderId>) -> Vec<ProviderTerms> {
    let Some(id) = named else {
        let directory = Directory::discover(&**carrier, DISCOVERY_DEADLINE).await;
        let mut all: Vec<_> = directory.providers.into_values().collect();
        all.sort_by_key(|terms| std::cmp::Reverse(terms.announced_at));
        all.truncate(PROBE_COUNT_MAX.min(DIRECTORY_COUNT_MAX));
        return all;
    };
    let mut directory = Directory::by_ids(&**carrier, &[id], DISCOVERY_DEADLINE).await;
    vec![directory.providers.remove(&id).unwrap_or_else(|| ProviderTerms::base(id))]
}

/// Those that answer, in the order in which their answers come.
async fn answering(exchange: &Exchange, candidates: Vec<ProviderTerms>) -> Vec<ProviderTerms> {
    let mut probes = JoinSet::new();
    for terms in candidates {
        let exchange = exchange.clone();
        probes.spawn(async move { exchange.probe(terms.id, PROBE_DEADLINE).await.is_ok().then_some(terms) });
    }
    let mut found = Vec::new();
    // Whoever takes ten times as long as the first is not worth waiting for.
    let started = tokio::time::Instant::now();
    let mut patience = PROBE_DEADLINE;
    while let Ok(Some(probe)) = tokio::time::timeout_at(started + patience, probes.join_next()).await {
        let Ok(Some(terms)) = probe else { continue };
        if found.is_empty() {
            patience = (started.elapsed() * 10).clamp(PROBE_DEADLINE / 8, PROBE_DEADLINE);
        }
        found.push(terms);
    }
    found
}

/// A blob's hash from the command line.
pub(super) fn blob_hash(text: &str) -> Result<BlobHash, CliError> {
    BlobHash::parse(text.trim())
        .map_err(|error| CliError::new(Exit::Usage, error, "give the hash as `blobdvm upload` printed it"))
}

/// An exchange's failure at the surface.
pub(in crate::cli) fn failed(error: &ExchangeError) -> CliError {
    let (exit, remedy) = match error {
        ExchangeError::Refused { code: ErrorCode::FileNotFound, .. } => {
            (Exit::NotFound, "name the provider that has it with --server PUBKEY")
        }
        ExchangeError::Corrupt { .. } => (Exit::Integrity, "use another provider with --server PUBKEY"),
        ExchangeError::NotCarried { .. } => {
            (Exit::Failure, "use a relay that passes large events, or a provider that takes chunks")
        }
        ExchangeError::Silent { .. } => {
            (Exit::TooFewProviders, "try again later, or use another provider with --server PUBKEY")
        }
        ExchangeError::NoEndpoint { .. } | ExchangeError::Direct { .. } => {
            (Exit::TooFewProviders, "leave out --carrier direct to go over relays, or use another provider")
        }
        ExchangeError::Transport(_) => (Exit::NoRelay, "name a relay that can be reached with --relay URL"),
        _ => (Exit::Failure, "use another provider with --server PUBKEY"),
    };
    CliError::new(exit, chain(error), remedy)
}

/// One provider's failure, to go into a list.
pub(super) fn failed_at(provider: ProviderId, error: &ExchangeError) -> String {
    format!("{}: {}", npub(&provider), chain(error))
}
