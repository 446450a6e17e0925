//! Who can be used in this run: found by announcement or by name, and heard from.
//!
//! An announcement may be years old. A provider counts as there only after it answered in this run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::client::base::Client;
use crate::client::directory::{Directory, ProviderTerms};
use crate::client::error::{ClientError, Failure};
use crate::client::exchange::{Acquaintance, CarrierChoice};
use crate::client::placement::{Candidate, Score, Standing};
use crate::types::ProviderId;
use crate::vault::Settings;

/// How long discovery waits for relays to say what they have.
const DISCOVERY_DEADLINE: Duration = Duration::from_millis(1_500);
/// How long a provider may take to answer the first question.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_secs(2);
/// How much longer the others are waited for once enough have answered.
const PROBE_GRACE: Duration = Duration::from_millis(250);
/// Announcements of strangers that are probed at once.
const WAVE_LEN: usize = 64;
/// So often others are probed while too few answer: whoever floods a relay with announcements costs us no more.
const WAVE_COUNT_MAX: usize = 4;

/// The providers that answered, what they offer, and who failed.
#[derive(Debug, Default)]
pub struct Roster {
    /// Who answered, and how fast.
    pub members: BTreeMap<ProviderId, Member>,
    /// Who did not, and why.
    pub failures: Vec<Failure>,
    /// Who did not, and is waited for: what it promised counts as if it had answered.
    pub excused: BTreeSet<ProviderId>,
}

/// A provider that answered in this run.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it announces.
    pub terms: ProviderTerms,
    /// How long its answer took.
    pub latency: Duration,
    /// How far this vault knows it.
    pub standing: Standing,
    /// How good it is.
    pub score: Score,
    /// Who runs it, as the user says.
    pub operator: Option<String>,
}

impl Roster {
    /// Finds providers that anybody may use: those this vault knows, and those that announce themselves.
    /// Returns as soon as `enough` have answered and the others had a moment to. Of many strangers those that announced
    /// themselves last are asked first: a provider that is gone does so no more.
    pub async fn discover(client: &Client, enough: usize) -> Result<Self, ClientError> {
        let known = client.known_providers()?;
        let by_name = known.keys().copied().collect::<Vec<_>>();
        let (named, announced) = tokio::join!(
            Directory::by_ids(&*client.carrier, &by_name, DISCOVERY_DEADLINE),
            Directory::discover(&*client.carrier, DISCOVERY_DEADLINE),
        );
        let mut found = named.providers;
        let mut strangers: Vec<_> =
            announced.providers.into_values().filter(|terms| !found.contains_key(&terms.id)).collect();
        strangers.sort_by_key(|terms| Reverse(terms.announced_at));
        expect_endpoints(client, found.values().chain(&strangers))?;
        let mut waves = strangers.chunks(WAVE_LEN).take(WAVE_COUNT_MAX);
        found.extend(by_id(waves.next().unwrap_or_default()));
        let mut roster = Self::probe(client, found, (&known, &BTreeSet::new()), enough).await;
        for wave in waves {
            if roster.count_usable() >= enough {
                break;
            }
            let lacking = enough - roster.count_usable();
            let more = Self::probe(client, by_id(wave).collect(), (&known, &BTreeSet::new()), lacking).await;
            roster.members.extend(more.members);
            roster.failures.extend(more.failures);
        }
        Ok(roster)
    }

    /// Looks only at `providers`, and returns as [`discover`](Self::discover) does. One without an announcement is
    /// taken for a plain one.
    pub async fn of(
        client: &Client,
        providers: &BTreeSet<ProviderId>,
        enough: usize,
    ) -> Result<Self, ClientError> {
        Self::look_at(client, providers, &BTreeSet::new(), enough).await
    }

    /// As [`of`](Self::of), for providers that the user names.
    pub async fn named(
        client: &Client,
        providers: &BTreeSet<ProviderId>,
        enough: usize,
    ) -> Result<Self, ClientError> {
        Self::look_at(client, providers, providers, enough).await
    }

    async fn look_at(
        client: &Client,
        providers: &BTreeSet<ProviderId>,
        named: &BTreeSet<ProviderId>,
        enough: usize,
    ) -> Result<Self, ClientError> {
        let ids: Vec<_> = providers.iter().copied().collect();
        let mut found = Directory::by_ids(&*client.carrier, &ids, DISCOVERY_DEADLINE).await.providers;
        for id in ids {
            found.entry(id).or_insert_with(|| ProviderTerms::base(id));
        }
        let known = client.known_providers()?;
        expect_endpoints(client, found.values())?;
        Ok(Self::probe(client, found, (&known, named), enough).await)
    }

    /// Who could get shards.
    pub fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(provider, member): (&ProviderId, &Member)| Candidate {
            provider: *provider,
            standing: member.standing,
            score: member.score,
            operator: member.operator.clone(),
            relays: member.terms.relays.iter().cloned().collect(),
        };
        self.members.iter().filter(|(_, member)| member.is_usable()).map(candidate).collect()
    }

    /// True if the provider answered and may be stored at: what it keeps counts.
    pub fn can_use(&self, provider: &ProviderId) -> bool {
        self.members.get(provider).is_some_and(Member::is_usable)
    }

    async fn probe(
        client: &Client,
        found: BTreeMap<ProviderId, ProviderTerms>,
        (known, named): (&BTreeMap<ProviderId, Standing>, &BTreeSet<ProviderId>),
        enough: usize,
    ) -> Self {
        let mut probes = JoinSet::new();
        let mut waiting: BTreeSet<_> = found.keys().copied().collect();
        for terms in found.into_values() {
            let exchange = client.exchange.clone();
            let keys = client.pseudonym(&terms.id);
            let acquaintance = acquaintance(known.get(&terms.id), named.contains(&terms.id));
            probes.spawn(async move {
                let added = exchange.add(terms.clone(), keys, acquaintance).await;
                let answer = match added {
                    Ok(()) => exchange.probe(terms.id, PROBE_DEADLINE).await,
                    Err(error) => Err(error),
                };
                (terms, answer)
            });
        }
        let settings = client.vault.settings();
        let mut roster = Self::default();
        let mut deadline = Instant::now() + PROBE_DEADLINE;
        while let Ok(Some(done)) = timeout_at(deadline, probes.join_next()).await {
            let Ok((terms, answer)) = done else { continue };
            waiting.remove(&terms.id);
            match answer {
                Ok(latency) => {
                    let standing = known.get(&terms.id).copied().unwrap_or(Standing::Newcomer);
                    roster.members.insert(terms.id, Member::new(terms, latency, standing, &settings));
                }
                Err(error) => roster.failures.push(Failure::new(terms.id, None, &error)),
            }
            if roster.count_usable() >= enough {
                deadline = deadline.min(Instant::now() + PROBE_GRACE);
            }
        }
        let why = "did not answer in time".to_owned();
        let silent = |provider| Failure { provider, pack: None, why: why.clone(), corrupt: false };
        roster.failures.extend(waiting.into_iter().map(silent));
        roster
    }

    fn count_usable(&self) -> usize {
        self.members.values().filter(|member| member.is_usable()).count()
    }
}

fn by_id(terms: &[ProviderTerms]) -> impl Iterator<Item = (ProviderId, ProviderTerms)> {
    terms.iter().map(|terms| (terms.id, terms.clone()))
}

/// How far a provider's endpoints are believed. What a vault has used before, it has chosen by itself.
fn acquaintance(standing: Option<&Standing>, is_named: bool) -> Acquaintance {
    if is_named {
        return Acquaintance::Named;
    }
    match standing {
        Some(Standing::Trusted) => Acquaintance::Named,
        Some(Standing::Known) => Acquaintance::Known,
        Some(Standing::Newcomer | Standing::Banned) | None => Acquaintance::Stranger,
    }
}

/// Fails where relays may not be used, and nobody who was found can be reached without them.
fn expect_endpoints<'a>(
    client: &Client,
    mut found: impl Iterator<Item = &'a ProviderTerms> + Clone,
) -> Result<(), ClientError> {
    let is_direct = client.exchange.carrier_choice() == CarrierChoice::Direct;
    let count = found.clone().count();
    if is_direct && count > 0 && found.all(|terms| terms.endpoints.is_empty()) {
        return Err(ClientError::NoEndpoints { found: count });
    }
    Ok(())
}

impl Member {
    /// False if the user wants nothing stored there.
    pub fn is_usable(&self) -> bool {
        self.standing != Standing::Banned
    }

    fn new(terms: ProviderTerms, latency: Duration, standing: Standing, settings: &Settings) -> Self {
        let known = settings.providers.get(&terms.id);
        let record = known.map(|known| known.record).unwrap_or_default();
        let operator = known.and_then(|known| known.operator.clone());
        Self { terms, latency, standing, score: Score::of(&record, latency), operator }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nostr::Keys;

    use super::*;
    use crate::client::monitor::Unwatched;
    use crate::env::{Clock, Env, ManualClock};
    use crate::testing::{Net, NetOptions, RelayKind};
    use crate::transport::{Carrier, Route};
    use crate::types::limits::BLOB_LEN_MAX;
    use crate::types::{ChunkLen, Timestamp};
    use crate::vault::Home;
    use crate::wire::{Announcement, Extension};

    /// Announces providers that do not exist.
    async fn announce_nobody(carrier: &dyn Carrier, count: usize, at: Timestamp) {
        for _ in 0..count {
            let announcement = Announcement {
                name: String::new(),
                about: String::new(),
                max_file_size: BLOB_LEN_MAX,
                chunk_size: ChunkLen::BASE.bytes(),
                chunk_len_max: ChunkLen::BASE,
                retention: Duration::from_secs(100 * 24 * 3600),
                extensions: [Extension::Stat].into(),
                documentation: String::new(),
                relays: Vec::new(),
                endpoints: Vec::new(),
            };
            let event = announcement.to_draft().sign(&Keys::generate(), at);
            carrier.publish(event, Route::All).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn providers_are_found_behind_a_crowd_of_those_that_are_gone() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000)));
        let env = Env::seeded(1, clock.clone());
        let relay_kind = RelayKind::Memory(1);
        let options = NetOptions { relay_kind, provider_count: 3, env: env.clone(), ..NetOptions::default() };
        let net = Net::start(options).await;
        let carrier = net.carrier().await;
        let vault = Home::init_fresh(&net.home_dir("a"), &env).unwrap();
        let client = Client::new(vault, carrier.clone(), Arc::new(Unwatched), PROBE_DEADLINE, env);
        let later = clock.now().saturating_add(Duration::from_secs(1));
        announce_nobody(&*carrier, 2 * WAVE_LEN, later).await;
        let found = Roster::discover(&client, 3).await.unwrap();
        assert_eq!((found.members.len(), found.failures.len()), (3, 2 * WAVE_LEN));
        announce_nobody(&*carrier, WAVE_COUNT_MAX * WAVE_LEN, later).await;
        let found = Roster::discover(&client, 3).await.unwrap();
        assert_eq!(
            (found.members.len(), found.failures.len()),
            (0, WAVE_COUNT_MAX * WAVE_LEN),
            "it is bounded"
        );
    }

    #[test]
    fn only_whom_the_user_names_or_trusts_may_lead_anywhere() {
        for standing in [None, Some(Standing::Newcomer), Some(Standing::Known), Some(Standing::Banned)] {
            assert!(acquaintance(standing.as_ref(), false) < Acquaintance::Named, "{standing:?}");
            assert_eq!(acquaintance(standing.as_ref(), true), Acquaintance::Named);
        }
        assert_eq!(acquaintance(Some(&Standing::Trusted), false), Acquaintance::Named);
        assert_eq!(acquaintance(Some(&Standing::Known), false), Acquaintance::Known);
    }
}
