//! The carrier over real relays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, select_ok};
use nostr::{Event, EventId, Filter, RelayUrl, SubscriptionId};
use nostr_sdk::{RelayPool, RelayPoolOptions};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::link::{Link, Links};
use super::room::QueueError;
use super::session;
use super::socket::Sockets;
use crate::env::Env;
use crate::transport::outlet::Outlet;
use crate::transport::{Carrier, Route, Subscription, TransportError};
use crate::types::limits::MESSAGE_LEN_MAX;
use crate::wire::nip01;

/// How long a new subscription waits for the relays to confirm it, before it is handed out all the same.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(2);
/// How long an event waits for room at a relay that is slower than the others, before it goes to the others only.
const SLOW_RELAY_WAIT: Duration = Duration::from_secs(1);
/// How long the relays that are slower to connect than the first one are waited for.
const SLOW_CONNECT_WAIT: Duration = Duration::from_millis(500);

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// How long to wait for the first relay.
    pub deadline: Duration,
    /// Where the jitter between attempts comes from.
    pub env: Env,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), env: Env::system() }
    }
}

/// Connections to a set of relays, each of which is kept up until this is dropped.
pub struct Relays {
    members: Vec<Member>,
    /// What the SDK's pool finds the links by; gone with this.
    _links: Arc<Links>,
    name_next: AtomicU64,
    env: Env,
    /// One for each link; they end with this.
    _tasks: JoinSet<()>,
}

struct Member {
    link: Arc<Link>,
    /// Whether the relay had no room for too long, so that it is not waited for until it has.
    is_congested: AtomicBool,
}

impl Relays {
    /// Connects to all of the relays, and returns when the first one is there and the others had a moment.
    ///
    /// # Errors
    /// [`TransportError::NoRelay`] with what was wrong with each.
    pub async fn connect(urls: &[RelayUrl], options: ConnectOptions) -> Result<Self, TransportError> {
        let links = urls.iter().map(|url| (url.clone(), Arc::new(Link::new(url.clone())))).collect();
        let links: Arc<Links> = Arc::new(links);
        let pool = pool(&links);
        let mut tasks = JoinSet::new();
        for link in links.values() {
            tasks.spawn(session::run(pool.clone(), link.clone(), options.env.clone()));
        }
        let member = |link: &Arc<Link>| Member { link: link.clone(), is_congested: AtomicBool::new(false) };
        let members = links.values().map(member).collect();
        let relays =
            Self { members, _links: links, name_next: AtomicU64::new(0), env: options.env, _tasks: tasks };
        relays.wait_for_first(options.deadline).await?;
        Ok(relays)
    }

    async fn wait_for_first(&self, deadline: Duration) -> Result<(), TransportError> {
        let tried = |member: &Member| member.link.session().is_some() || member.link.trouble().is_some();
        let connected = |member: &Member| member.link.session().is_some();
        let first = self.wait_until(|| self.members.iter().any(connected) || self.members.iter().all(tried));
        // At the deadline the relays are taken as they are.
        let _ = timeout(deadline, first).await;
        if self.members.iter().any(connected) {
            let _ = timeout(SLOW_CONNECT_WAIT, self.wait_until(|| self.members.iter().all(tried))).await;
            return Ok(());
        }
        let why =
            |link: &Link| link.trouble().unwrap_or_else(|| format!("no connection within {deadline:?}"));
        let tried = self.members.iter().map(|member| (member.link.url.clone(), why(&member.link)));
        Err(TransportError::NoRelay { tried: tried.collect() })
    }

    /// Returns when the condition holds; it is asked again whenever a link has changed.
    async fn wait_until(&self, condition: impl Fn() -> bool) {
        let mut changes: Vec<_> = self.members.iter().map(|member| member.link.changes()).collect();
        while !condition() {
            let changed = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
            if changed.len() == 0 {
                return;
            }
            // The senders live in the links, so this never fails.
            let _ = futures_util::future::select_all(changed).await.0;
        }
    }

    fn name(&self, prefix: char) -> SubscriptionId {
        SubscriptionId::new(format!("{prefix}{}", self.name_next.fetch_add(1, Ordering::Relaxed)))
    }

    fn on_route<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| match route {
            Route::All => true,
            Route::Only(urls) => urls.contains(&member.link.url),
            Route::First(url) => *url == member.link.url,
        })
    }

    /// Puts a message into the queues of the relays on the route; one that has room, or has it soon, is enough.
    async fn hand_out(&self, message: &Utf8Bytes, route: &Route) -> Result<(), TransportError> {
        let mut is_sent = false;
        let mut full: Vec<&Member> = Vec::new();
        for member in self.on_route(route) {
            match member.try_send(message) {
                Ok(()) => is_sent = true,
                Err(QueueError::Full) => full.push(member),
                Err(QueueError::Closed) => {}
            }
        }
        if !is_sent && let Some(index) = first_with_room(&full, message).await {
            full.swap_remove(index);
            is_sent = true;
        }
        if !is_sent {
            return Err(TransportError::NotConnected { configured_count: self.members.len() });
        }
        join_all(full.iter().map(|member| member.send_in_time(message))).await;
        Ok(())
    }
}

impl Member {
    /// Puts the message into the relay's queue if there is room now.
    fn try_send(&self, message: &Utf8Bytes) -> Result<(), QueueError> {
        let sent = self.link.session().map_or(Err(QueueError::Closed), |session| session.try_send(message));
        if sent.is_ok() {
            self.is_congested.store(false, Ordering::Relaxed);
        }
        sent
    }

    /// Waits for room in the relay's queue, as long as the session lasts.
    async fn send(&self, message: &Utf8Bytes) -> Result<(), QueueError> {
        match self.link.session() {
            Some(session) => session.send(message).await,
            None => Err(QueueError::Closed),
        }
    }

    /// Waits for room only so long, so that one slow relay does not hold up the others, which have the message.
    async fn send_in_time(&self, message: &Utf8Bytes) {
        if self.is_congested.load(Ordering::Relaxed) {
            return;
        }
        if timeout(SLOW_RELAY_WAIT, self.send(message)).await.is_err() {
            tracing::warn!(relay = %self.link.url, "relay takes events too slowly and is left out for now");
            self.is_congested.store(true, Ordering::Relaxed);
        }
    }
}

impl Carrier for Relays {
    fn relays(&self) -> Vec<RelayUrl> {
        self.members.iter().map(|member| member.link.url.clone()).collect()
    }

    fn connected(&self) -> Vec<RelayUrl> {
        let connected = self.members.iter().filter(|member| member.link.session().is_some());
        connected.map(|member| member.link.url.clone()).collect()
    }

    fn publish(&self, event: Event, route: Route) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            let message = message_of(&event)?;
            drop(event);
            // While there is room nothing below waits: a task that publishes much must let its readers run all the same.
            consume_budget().await;
            match (self.hand_out(&message, &route).await, route) {
                (Err(_), Route::First(_)) => self.hand_out(&message, &Route::All).await,
                (handed_out, _) => handed_out,
            }
        })
    }

    fn publish_acknowledged(
        &self,
        event: Event,
        deadline: Duration,
    ) -> BoxFuture<'_, BTreeMap<RelayUrl, Result<(), String>>> {
        Box::pin(async move {
            let message = match message_of(&event) {
                Ok(message) => message,
                Err(error) => {
                    return self.relays().into_iter().map(|url| (url, Err(error.to_string()))).collect();
                }
            };
            let until = Instant::now() + deadline;
            let publishing = self.members.iter().map(|member| {
                let (link, message) = (&member.link, &message);
                async move { (link.url.clone(), acknowledged(link, event.id, message, until).await) }
            });
            join_all(publishing).await.into_iter().collect()
        })
    }

    fn query(&self, filter: Filter, deadline: Duration) -> BoxFuture<'_, BTreeMap<RelayUrl, Vec<Event>>> {
        Box::pin(async move {
            let until = Instant::now() + deadline;
            let asking = self.members.iter().map(|member| {
                let (link, name, filter) = (&member.link, self.name('q'), filter.clone());
                async move {
                    let mut events = link.ask(name, filter)?.until(until).await?;
                    events.sort();
                    Some((link.url.clone(), events))
                }
            });
            join_all(asking).await.into_iter().flatten().collect()
        })
    }

    fn subscribe(&self, filters: Vec<Filter>) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            let (feed, subscription) = Subscription::channel();
            let (outlet, filters, name) =
                (Arc::new(Outlet::new(feed)), Arc::<[Filter]>::from(filters), self.name('s'));
            for member in &self.members {
                member.link.listen(name.clone(), filters.clone(), outlet.clone());
            }
            // What is published right after this returns should find the subscription there. A relay that does not
            // confirm is not waited for: the link asks it again.
            let settled = self.wait_until(|| self.members.iter().all(|member| member.link.is_settled(&name)));
            let _ = timeout(SUBSCRIBE_WAIT, settled).await;
            Ok(subscription)
        })
    }

    fn apart(&self, relay: RelayUrl) -> BoxFuture<'_, Result<Arc<dyn Carrier>, TransportError>> {
        let options = ConnectOptions { env: self.env.clone(), ..ConnectOptions::default() };
        Box::pin(async move { Ok(Arc::new(Self::connect(&[relay], options).await?) as Arc<dyn Carrier>) })
    }
}

/// A pool that keeps nothing, signs nothing and connects only when told to. It ends, with all connections, when the
/// last clone of it is dropped.
fn pool(links: &Arc<Links>) -> RelayPool {
    RelayPool::builder()
        .websocket_transport(Sockets { links: Arc::downgrade(links) })
        .opts(RelayPoolOptions::new().automatic_authentication(false).notification_channel_size(1))
        .build()
}

/// Waits until the first of these takes the message; which it was, unless all are gone.
async fn first_with_room(full: &[&Member], message: &Utf8Bytes) -> Option<usize> {
    let waiting = full.iter().enumerate().map(|(index, member)| {
        let sending = member.send(message);
        async move { sending.await.map(|()| index) }.boxed()
    });
    let waiting: Vec<_> = waiting.collect();
    if waiting.is_empty() { None } else { select_ok(waiting).await.ok().map(|(index, _others)| index) }
}

/// The message that publishes the event, encoded once for all relays.
fn message_of(event: &Event) -> Result<Utf8Bytes, TransportError> {
    let message = nip01::publishing(event);
    if message.len() > MESSAGE_LEN_MAX {
        return Err(TransportError::EventTooLarge { len: message.len(), len_max: MESSAGE_LEN_MAX });
    }
    Ok(message.into())
}

async fn acknowledged(link: &Link, id: EventId, message: &Utf8Bytes, until: Instant) -> Result<(), String> {
    let trouble = |otherwise: &str| Err(link.trouble().unwrap_or_else(|| otherwise.to_owned()));
    let answer = link.acknowledgement(id);
    let Some(session) = link.session() else { return trouble("not connected") };
    if !matches!(timeout_at(until, session.send(message)).await, Ok(Ok(()))) {
        return trouble("no room in the send queue before the deadline");
    }
    answer.until(until).await.unwrap_or_else(|| trouble("no answer before the deadline"))
}
