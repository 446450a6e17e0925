//! One provider, as the client speaks to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr::{Event, Filter, Keys, Kind, PublicKey, RelayUrl};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::client::ProviderTerms;
use crate::client::exchange::direct::{DirectWay, Means};
use crate::client::exchange::drive::now;
use crate::client::exchange::passages::Passages;
use crate::client::exchange::switch::Switch;
use crate::client::exchange::window::Window;
use crate::client::exchange::{Acquaintance, ExchangeError, ExchangeOptions};
use crate::env::Env;
use crate::session::Pace;
use crate::transport::direct::Nearness;
use crate::transport::{Carrier, Incoming, Route, TransportError};
use crate::types::limits::EVENT_LEN_MAX;
use crate::types::{AuditNonce, ChunkLen, ProviderId, Timestamp};
use crate::wire::{
    AUDIT_KIND, Action, CHUNK_KIND, Draft, Extension, RESPONSE_KIND, Request, RequestNumber, STATUS_KIND,
    carries_chunk, nip01,
};

/// Shortest wait before a first retry: less is not worth an event.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait before a first retry: on a narrow line answers wait behind much else.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A retry waits for so many times what exchanges with this provider usually take.
const RETRY_LATENCIES: u32 = 4;

/// Whoever is asked in haste is silent if it has not answered after so many times what exchanges with it take,
const HASTY_LATENCIES: u32 = 10;
/// and not before that,
const HASTY_MIN: Duration = Duration::from_millis(900);
/// and at the latest after that.
const HASTY_MAX: Duration = Duration::from_secs(5);
/// Or after that, if it was late at something else before.
const HASTY_QUIET: Duration = Duration::from_millis(250);
/// Shortest wait before a retry of such a question: it has to come in time.
const HASTY_RETRY_MIN: Duration = Duration::from_millis(200);

/// A provider that sends chunks is known to be there by one of them in such a time.
const HEAR_EVERY: Duration = Duration::from_millis(100);

/// How far a provider is known, and how near its endpoints may lead.
pub(super) type Knowing = (Acquaintance, Nearness);

/// One provider: who speaks to it, how much is under way, and what is known of the way there.
pub(super) struct Link {
    pub(super) id: ProviderId,
    pub(super) terms: ProviderTerms,
    knowing: Knowing,
    pub(super) switch: Arc<Switch>,
    /// Room for bytes under way.
    pub(super) window: Arc<Window>,
    keys: Keys,
    carrier: Arc<dyn Carrier>,
    passages: Arc<Passages>,
    env: Env,
    options: ExchangeOptions,
    way: Arc<Mutex<Way>>,
    direct: DirectWay,
    /// Chunks of a plain provider name no requester: they are subscribed to when the first fetch needs them.
    chunks: OnceCell<()>,
    readers: Mutex<JoinSet<()>>,
    is_heard: AtomicBool,
}

/// What is known of the way to a provider.
#[derive(Default)]
struct Way {
    /// The relay that brought its last answer.
    heard_on: Option<RelayUrl>,
    /// What exchanges over relays take, smoothed.
    latency: Option<Duration>,
    /// What they take over connections.
    direct_latency: Option<Duration>,
    /// When anything was last heard from it.
    heard_at: Option<Instant>,
    /// It was late, and nothing was heard since.
    is_quiet: bool,
}

impl Link {
    /// A provider that nobody listens to yet.
    pub(super) fn new(
        (terms, knowing): (ProviderTerms, Knowing),
        keys: Keys,
        (carrier, passages): (Arc<dyn Carrier>, Arc<Passages>),
        env: Env,
        options: ExchangeOptions,
        means: Means,
    ) -> Self {
        let way = Arc::<Mutex<Way>>::default();
        let heard = way.clone();
        let direct = DirectWay::new(
            (&terms, knowing.1),
            options.carrier,
            (keys.clone(), env.clone()),
            Arc::new(move || hear(&mut lock(&heard))),
            means,
        );
        Self {
            id: terms.id,
            terms,
            knowing,
            switch: Arc::default(),
            window: Window::new(options.provider_window_bytes),
            keys,
            carrier,
            passages,
            env,
            options,
            way,
            direct,
            chunks: OnceCell::new(),
            readers: Mutex::default(),
            is_heard: AtomicBool::new(false),
        }
    }

    /// Begins to listen to the provider, by a subscription of its own; `token` is held as long as that lasts.
    pub(super) async fn listen_alone(&self, token: Arc<()>) -> Result<(), ExchangeError> {
        let kinds = [RESPONSE_KIND, STATUS_KIND, CHUNK_KIND, AUDIT_KIND].map(Kind::from_u16);
        let mine = self.its_events().kinds(kinds).pubkey(self.keys.public_key());
        self.read(mine, Some(token)).await
    }

    /// Somebody listens, for this link and others.
    pub(super) fn set_heard(&self) {
        self.is_heard.store(true, Ordering::Relaxed);
    }

    /// Whether somebody listens for this link and others.
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// The key that speaks to the provider.
    pub(super) fn public_key(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// Takes in an event that was heard for this link.
    pub(super) fn take(&self, incoming: Incoming) {
        take(incoming, &self.switch, &self.way, self.id);
    }

    /// Whether this link speaks with these keys under these terms, to a provider that is known no better meanwhile.
    pub(super) fn is_same(&self, terms: &ProviderTerms, keys: &Keys, knowing: Knowing) -> bool {
        let is_known_as_well = self.knowing.0 >= knowing.0 && self.knowing.1 >= knowing.1;
        self.terms == *terms && self.keys == *keys && is_known_as_well
    }

    /// Whether the provider was never used. Only where there is no other way its endpoints are dialled to see who answers.
    pub(super) fn is_stranger(&self) -> bool {
        self.knowing.0 == Acquaintance::Stranger && !self.direct.is_only()
    }

    /// Makes sure that chunks without a requester come in as well.
    pub(super) async fn hear_plain_chunks(&self) -> Result<(), ExchangeError> {
        let filter = self.its_events().kind(Kind::from_u16(CHUNK_KIND));
        self.chunks.get_or_try_init(|| self.read(filter, None)).await?;
        Ok(())
    }

    /// A request to this provider; its tries share a number where the provider knows what that is.
    pub(super) fn request(&self, action: Action) -> Request {
        let is_numbered = !self.terms.is_plain();
        let number = is_numbered.then(|| RequestNumber(self.random()));
        let (relays, chunk_len) = (self.carrier.connected(), ChunkLen::BASE);
        Request { provider: self.id, relays, number, chunk_len, action }
    }

    /// Moves a blob of `len` bytes by `transfer`, in chunks as long as can be; where those fail, in chunks of the base
    /// protocol.
    pub(super) async fn in_chunks<T, F>(
        &self,
        len: u64,
        transfer: impl Fn(ChunkLen, Pace) -> F,
    ) -> Result<T, ExchangeError>
    where
        F: Future<Output = Result<T, ExchangeError>>,
    {
        let chunk_len = self.chunk_len(len);
        if chunk_len == ChunkLen::BASE {
            return transfer(chunk_len, self.pace(EVENT_LEN_MAX)).await;
        }
        let failed = match transfer(chunk_len, self.half_pace()).await {
            Err(error) if error.may_be_for_length() => error,
            outcome => return outcome,
        };
        if matches!(failed, ExchangeError::Transport(_)) || self.carrier.connected().is_empty() {
            // Until there is a connection again may take a while.
            self.passages.doubt(&self.carrier.relays());
            return transfer(ChunkLen::BASE, self.pace(EVENT_LEN_MAX)).await;
        }
        let outcome = transfer(ChunkLen::BASE, self.half_pace()).await;
        if outcome.is_ok() && matches!(failed, ExchangeError::Silent { .. }) {
            self.passages.lost(&self.carrier.connected(), self.env.now());
        }
        outcome
    }

    /// How long the chunks are that a blob of `len` bytes travels in. It may go over any relay that is connected.
    fn chunk_len(&self, len: u64) -> ChunkLen {
        let most = self.terms.chunk_len_max.min(self.options.chunk_len_max);
        if most == ChunkLen::BASE || !self.terms.speaks(Extension::Larger) {
            return ChunkLen::BASE;
        }
        let relays = self.carrier.connected();
        self.passages.chunk_len(len, &relays, &self.carrier, &self.env).min(most)
    }

    /// Sends an event: to the relay that the provider was last heard on, or to all.
    pub(super) async fn send(&self, event: Event, is_to_all: bool) -> Result<(), TransportError> {
        let preferred = self.way().heard_on.clone().filter(|_| !is_to_all);
        self.carrier.publish(event, preferred.map_or(Route::All, Route::First)).await
    }

    /// Signs a draft as an event of its own: no two tries have the same id.
    pub(super) fn sign(&self, draft: Draft) -> Event {
        draft.with_nonce(self.random()).sign(&self.keys, self.env.now())
    }

    /// The waits of a conversation that moves so many bytes in one event.
    pub(super) fn pace(&self, event_len: usize) -> Pace {
        let usual = Pace::default();
        let latency = self.way().latency.map_or(usual.retry_first, |latency| latency * RETRY_LATENCIES);
        let retry_first = latency.clamp(RETRY_MIN, RETRY_MAX);
        let stall_timeout = self.options.stall_timeout;
        if event_len <= EVENT_LEN_MAX {
            return Pace { retry_first, retry_max: usual.retry_max.max(retry_first), stall_timeout };
        }
        // A whole blob in one event takes its time on a slow line, and each retry moves all of it again.
        let slow = Duration::from_millis(event_len as u64 / 256);
        let retry_first = retry_first.max(stall_timeout / 3) + slow;
        Pace { retry_first, retry_max: retry_first * 2, stall_timeout: stall_timeout + slow * 2 }
    }

    /// The waits of a conversation that has longer chunks to fall back from, and of the one that follows it: together no
    /// longer than that of others.
    fn half_pace(&self) -> Pace {
        let pace = self.pace(EVENT_LEN_MAX);
        Pace { stall_timeout: pace.stall_timeout / 2, ..pace }
    }

    /// The waits of a question that others depend on: whoever answers at all has answered by then.
    pub(super) fn hasty_pace(&self) -> Pace {
        let latency = self.latency().unwrap_or(HASTY_MAX);
        let retry_first = (latency * 3).clamp(HASTY_RETRY_MIN, RETRY_MAX);
        let usual = (latency * HASTY_LATENCIES).clamp(HASTY_MIN, HASTY_MAX);
        let stall_timeout = if self.is_quiet() { HASTY_QUIET } else { usual }.min(self.options.stall_timeout);
        Pace { retry_first, retry_max: retry_first, stall_timeout }
    }

    /// What exchanges take now, smoothed.
    pub(super) fn latency(&self) -> Option<Duration> {
        let is_direct = self.direct.is_open();
        let way = self.way();
        if is_direct { way.direct_latency.or(way.latency) } else { way.latency }
    }

    /// Counts the provider as quiet, unless it was heard after `since`. Whether it was not quiet before.
    pub(super) fn hush_unless_heard(&self, since: Instant) -> bool {
        let mut way = self.way();
        let is_heard = way.heard_at.is_some_and(|heard| heard > since);
        let is_news = !is_heard && !way.is_quiet;
        way.is_quiet |= !is_heard;
        is_news
    }

    /// True if the provider was late, and nothing was heard from it since.
    pub(super) fn is_quiet(&self) -> bool {
        self.way().is_quiet
    }

    /// Takes in what an exchange over relays took.
    pub(super) fn learn_latency(&self, took: Duration) {
        smooth(&mut self.way().latency, took);
    }

    /// Takes in what an exchange over a connection took. On relays the same takes longer, and is not to be asked twice.
    pub(super) fn learn_direct_latency(&self, took: Duration) {
        smooth(&mut self.way().direct_latency, took);
    }

    /// A random number, for nonces, request numbers and the jitter of retries.
    pub(super) fn random(&self) -> u64 {
        u64::from_le_bytes(self.env.random_bytes())
    }

    /// Random bytes that nobody has seen.
    pub(super) fn audit_nonce(&self) -> AuditNonce {
        AuditNonce::new(self.env.random_bytes())
    }

    /// What time it is by this machine's clock.
    pub(super) fn wall_time(&self) -> Timestamp {
        self.env.now()
    }

    /// The way without relays.
    pub(super) fn direct_way(&self) -> &DirectWay {
        &self.direct
    }

    /// The settings of the exchange.
    pub(super) fn options(&self) -> &ExchangeOptions {
        &self.options
    }

    /// The carrier that events go by.
    pub(super) fn carrier(&self) -> &Arc<dyn Carrier> {
        &self.carrier
    }

    fn its_events(&self) -> Filter {
        // `limit` is about what a relay has stored; these events are not to be stored, but some relays do.
        Filter::new().author(PublicKey::from_byte_array(*self.id.as_bytes())).limit(1)
    }

    async fn read(&self, filter: Filter, token: Option<Arc<()>>) -> Result<(), ExchangeError> {
        let mut subscription = self.carrier.subscribe(vec![filter]).await?;
        let (switch, way, id) = (self.switch.clone(), self.way.clone(), self.id);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.spawn(async move {
            // Ends with the link, which owns the task, or with the carrier.
            while let Some(incoming) = subscription.next().await {
                take(incoming, &switch, &way, id);
            }
            drop(token);
        });
        Ok(())
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        lock(&self.way)
    }
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn smooth(latency: &mut Option<Duration>, took: Duration) {
    *latency = Some(latency.map_or(took, |latency| (latency * 7 + took) / 8));
}

/// Whether nothing was heard from the provider for a moment, or it is said to be quiet.
fn is_unheard(way: &Mutex<Way>) -> bool {
    let way = lock(way);
    way.is_quiet || way.heard_at.is_none_or(|heard| now() >= heard + HEAR_EVERY)
}

/// Something was heard from the provider just now.
fn hear(way: &mut Way) {
    (way.heard_at, way.is_quiet) = (Some(now()), false);
}

/// Hands an event to the conversation that it is for.
fn take(incoming: Incoming, switch: &Switch, way: &Mutex<Way>, id: ProviderId) {
    // The filter says so too, but relays are trusted for nothing.
    if incoming.event.pubkey.as_bytes() != id.as_bytes() {
        return;
    }
    let is_answer = !carries_chunk(incoming.event.kind);
    // Anybody can send chunks in any name: one is checked now and then, to know whether the provider is there.
    let is_proof = is_answer || (is_unheard(way) && nip01::verifies(&incoming.event));
    let is_wanted = switch.deliver(incoming.event);
    let mut way = lock(way);
    if is_proof {
        hear(&mut way);
    }
    if is_wanted && is_answer {
        way.heard_on = Some(incoming.relay);
    }
}
