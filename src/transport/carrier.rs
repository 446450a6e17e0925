//! The seam between everything that speaks the protocol and the relays that carry it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nostr::{Event, Filter, RelayUrl};

use crate::transport::Subscription;

/// An event and the relay that brought it. Its id is the hash of its content and its signature its author's, but for
/// chunks: those are verified by whoever puts them together ([`Attestation`](crate::wire::Attestation)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// The relay that was first to bring it.
    pub relay: RelayUrl,
}

/// Which relays an event goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// All that are connected.
    All,
    /// Those of these that are connected.
    Only(Vec<RelayUrl>),
    /// This one; all, should it not be connected.
    First(RelayUrl),
}

/// A connection to a set of relays. It never signs: whoever publishes signs with a key of its own.
///
/// All methods may be called from many tasks at once, and every returned future may be dropped at any point.
pub trait Carrier: Send + Sync + 'static {
    /// The relays that this carrier was told to use.
    fn relays(&self) -> Vec<RelayUrl>;

    /// Those of them that are connected now.
    fn connected(&self) -> Vec<RelayUrl>;

    /// Puts the event into the send queue of each relay on the route, waiting for room there; never for an OK.
    ///
    /// # Errors
    /// [`TransportError::NotConnected`] if no relay on the route is connected. Success says nothing about delivery.
    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Publishes to all relays and waits for their OKs until `deadline` from now; for heads and announcements.
    ///
    /// Each configured relay is in the answer: accepted, or why not as far as is known.
    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>>;

    /// The stored events that match, of each relay that answered completely before `deadline` from now.
    ///
    /// A relay that did not answer is not in the map; one that has nothing is there with an empty list.
    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>>;

    /// Live events that match any of the filters, from all relays, each once (chunks may come from several), until the
    /// subscription is dropped.
    ///
    /// It survives reconnects. Events that the relays have stored come as well, as the filters allow (`since`). The
    /// queue is bounded: a slow reader loses the oldest events, and can see how many.
    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>>;

    /// A carrier over a connection of its own to one of the relays: what happens to it touches nothing else. For trying out
    /// what the relay takes, since some close a connection over what they do not.
    ///
    /// # Errors
    /// [`TransportError::NoRelay`].
    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>>;
}

/// Why events cannot travel.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// None of the relays could be reached.
    #[error("no relay can be reached: {}", join(tried))]
    NoRelay {
        /// Each relay that was tried, and why it cannot be used.
        tried: BTreeMap<RelayUrl, String>,
    },
    /// None of the relays on a route is connected.
    #[error("no relay on the route is connected (of {configured_count} configured)")]
    NotConnected {
        /// How many relays the carrier was told to use.
        configured_count: usize,
    },
    /// An event that is larger than any relay message may be.
    #[error("event is too large to publish: {len} of at most {len_max} bytes")]
    EventTooLarge {
        /// Length of the event's JSON in bytes.
        len: usize,
        /// What is allowed.
        len_max: usize,
    },
}

impl TransportError {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NoRelay { .. } | Self::NotConnected { .. })
    }
}

fn join(tried: &BTreeMap<RelayUrl, String>) -> String {
    if tried.is_empty() {
        return "none was named".to_owned();
    }
    tried.iter().map(|(relay, why)| format!("{relay} ({why})")).collect::<Vec<_>>().join(", ")
}
