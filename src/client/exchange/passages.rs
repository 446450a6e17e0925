//! How long chunks the relays pass: what is known of each, and what was found out in this run.
//!
//! Never assumed: a relay of which nothing is known gets chunks of the base protocol, which pass everywhere. Once this run
//! moves much over it, it is measured, over a connection of its own and beside the transfers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::RelayUrl;
use tokio::task::JoinSet;

use crate::client::base::Client;
use crate::client::exchange::{Exchange, measure};
use crate::env::Env;
use crate::transport::Carrier;
use crate::types::{ChunkLen, Timestamp};
use crate::vault::Passage;

/// What was measured counts for so long.
const GOOD_FOR: Duration = Duration::from_secs(30 * 86_400);
/// A relay that lost long chunks gets none for so long, and is then measured again.
const LOSSY_FOR: Duration = Duration::from_secs(86_400);
/// Relays are measured by runs that move so many bytes over them: less is not worth it.
const WORTH_LEN: u64 = 1024 * 1024;

/// What is known of the relays.
#[derive(Default)]
pub(super) struct Passages {
    state: Mutex<State>,
    measurements: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct State {
    known: BTreeMap<RelayUrl, Passage>,
    /// Found out in this run, and not remembered yet.
    news: BTreeSet<RelayUrl>,
    /// Measured in this run, or being measured.
    begun: BTreeSet<RelayUrl>,
    moved_len: u64,
}

impl Passages {
    /// Takes in what earlier runs found out.
    pub(super) fn learn(&self, known: BTreeMap<RelayUrl, Passage>) {
        self.lock().known = known;
    }

    /// The longest chunks that all of these relays pass, as far as is known; `len` bytes are about to go over them.
    pub(super) fn chunk_len(
        self: &Arc<Self>,
        len: u64,
        relays: &[RelayUrl],
        carrier: &Arc<dyn Carrier>,
        env: &Env,
    ) -> ChunkLen {
        let mut state = self.lock();
        state.moved_len = state.moved_len.saturating_add(len);
        let is_worth_it = state.moved_len >= WORTH_LEN;
        let due: Vec<_> =
            relays.iter().filter(|relay| is_worth_it && state.begin(relay, env.now())).collect();
        for relay in due {
            self.measure(relay.clone(), carrier.clone(), env.clone());
        }
        relays.iter().map(|relay| state.chunk_len(relay)).min().unwrap_or_default()
    }

    /// Chunks longer than the base protocol's were lost between here and a provider, and those of the base were not.
    pub(super) fn lost(&self, relays: &[RelayUrl], now: Timestamp) {
        let passage = Passage { chunk_len: ChunkLen::BASE.bytes(), at: now, is_lossy: true };
        self.shorten(relays, passage, "long chunks are lost on their way: short ones from now on");
    }

    /// Connections broke under chunks longer than the base protocol's: there are none of them before the relays are measured
    /// again.
    pub(super) fn doubt(&self, relays: &[RelayUrl]) {
        let measured_long_ago = Timestamp(0);
        let passage = Passage { chunk_len: ChunkLen::BASE.bytes(), at: measured_long_ago, is_lossy: false };
        let why = "the connection broke under long chunks: short ones until it is measured again";
        self.shorten(relays, passage, why);
    }

    fn shorten(&self, relays: &[RelayUrl], passage: Passage, why: &str) {
        let mut state = self.lock();
        for relay in relays {
            tracing::info!(%relay, "{why}");
            state.note(relay, passage);
        }
    }

    fn measure(self: &Arc<Self>, relay: RelayUrl, carrier: Arc<dyn Carrier>, env: Env) {
        let passages = Arc::downgrade(self);
        let mut measurements = self.measurements.lock().unwrap_or_else(PoisonError::into_inner);
        measurements.spawn(async move {
            let measured = measure::longest_chunks(&*carrier, relay.clone(), &env).await;
            let (Some(passages), Some(chunk_len)) = (passages.upgrade(), measured) else { return };
            tracing::debug!(%relay, %chunk_len, "measured how long chunks a relay passes");
            let passage = Passage { chunk_len: chunk_len.bytes(), at: env.now(), is_lossy: false };
            passages.lock().note(&relay, passage);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn chunk_len(&self, relay: &RelayUrl) -> ChunkLen {
        self.known.get(relay).map_or(ChunkLen::BASE, |passage| ChunkLen::at_most(passage.chunk_len))
    }

    /// Whether it is time to measure the relay, which begins with that.
    fn begin(&mut self, relay: &RelayUrl, now: Timestamp) -> bool {
        let is_known = self.known.get(relay).is_some_and(|passage| {
            let good_for = if passage.is_lossy { LOSSY_FOR } else { GOOD_FOR };
            // What is from the future is from another clock.
            passage.at <= now && now < passage.at.saturating_add(good_for)
        });
        !is_known && self.begun.insert(relay.clone())
    }

    fn note(&mut self, relay: &RelayUrl, passage: Passage) {
        self.known.insert(relay.clone(), passage);
        self.news.insert(relay.clone());
    }
}

impl Exchange {
    /// Takes in what earlier runs found out about how long chunks relays pass.
    pub fn learn_passages(&self, known: BTreeMap<RelayUrl, Passage>) {
        self.passages().learn(known);
    }

    /// How long chunks relays pass, as far as this run found out; each answer once.
    pub fn take_passages(&self) -> BTreeMap<RelayUrl, Passage> {
        let mut state = self.passages().lock();
        let news = std::mem::take(&mut state.news);
        news.into_iter().filter_map(|relay| Some((relay.clone(), *state.known.get(&relay)?))).collect()
    }
}

/// Measures now how long chunks these relays pass, for who cannot wait until it is worth it. Of one that passes none
/// nothing is said.
pub async fn measure_relays(carrier: &dyn Carrier, env: &Env) -> BTreeMap<RelayUrl, Passage> {
    let mut measured = BTreeMap::new();
    for relay in carrier.relays() {
        if let Some(chunk_len) = measure::longest_chunks(carrier, relay.clone(), env).await {
            let (chunk_len, is_lossy) = (chunk_len.bytes(), false);
            measured.insert(relay, Passage { chunk_len, at: env.now(), is_lossy });
        }
    }
    measured
}

impl Client {
    /// Writes down how long chunks relays pass, as far as this run found out.
    pub(super) fn remember_passages(&self) {
        let news = self.exchange.take_passages();
        if news.is_empty() {
            return;
        }
        let remembered = self.vault.update_settings(|settings| {
            for (relay, passage) in &news {
                settings.remember_passage(relay, *passage);
            }
        });
        if let Err(error) = remembered {
            tracing::warn!(%error, "what relays pass is not remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(name: &str) -> RelayUrl {
        RelayUrl::parse(&format!("wss://{name}.example")).unwrap()
    }

    #[test]
    fn relay_is_measured_once_a_run_when_nothing_that_counts_is_known() {
        let mut state = State::default();
        let now = Timestamp(1_790_000_000);
        assert!(state.begin(&relay("new"), now) && !state.begin(&relay("new"), now));
        let day = Duration::from_secs(86_400);
        for (is_lossy, days, is_due) in
            [(false, 29, false), (false, 30, true), (true, 0, false), (true, 1, true)]
        {
            let mut state = State::default();
            let passage = Passage { chunk_len: 65_536, at: now, is_lossy };
            state.known.insert(relay("old"), passage);
            assert_eq!(
                state.begin(&relay("old"), now.saturating_add(day * days)),
                is_due,
                "{is_lossy} {days}"
            );
            assert_eq!(
                state.chunk_len(&relay("old")).bytes(),
                65_536,
                "it counts until there is another answer"
            );
        }
        state
            .known
            .insert(relay("later"), Passage { chunk_len: 65_536, at: Timestamp(u64::MAX), is_lossy: false });
        assert!(state.begin(&relay("later"), now), "an answer from the future");
        assert_eq!(state.chunk_len(&relay("unknown")), ChunkLen::BASE);
    }
}
