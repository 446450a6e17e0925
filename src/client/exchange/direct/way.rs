//! The connection to one provider: made when it is needed, by one for all, and not tried again at once where it failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use nostr::{Keys, RelayUrl};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::client::ProviderTerms;
use crate::client::exchange::direct::Channel;
use crate::client::exchange::direct::endpoints::{EndpointIndex, Endpoints};
use crate::client::exchange::drive::now;
use crate::client::exchange::options::{CarrierChoice, DirectStanding};
use crate::env::Env;
use crate::transport::direct::{DirectConnection, DirectError, Nearness, Target, dial, has_fast_aes};
use crate::types::limits::DIRECT_FETCH_LEN_MAX;
use crate::types::{ClientId, ProviderId};
use crate::wire::Extension;
use crate::wire::direct::DirectCipher;

/// How long whoever may take the relays waits for a connection, from when it is dialled the first time. It is made
/// meanwhile, for those who come next.
const PATIENCE: Duration = Duration::from_millis(800);
/// The next endpoint is dialled as well where one has not answered for so long.
const STAGGER: Duration = Duration::from_millis(250);
/// How long dialling may take in all.
const DIAL_MAX: Duration = Duration::from_secs(6);
/// An endpoint that failed is left alone for so long, then for twice as long, and so on up to a limit,
const REST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(900));
/// unless there is no other way.
const REST_OF_ONLY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));
/// A connection over which something was heard after so long has proved good.
const STEADY_AFTER: Duration = Duration::from_secs(5);

/// The connection to one provider, or why there is none.
pub(in crate::client::exchange) struct DirectWay {
    whom: Whom,
    choice: CarrierChoice,
    state: watch::Sender<State>,
    dialing: Mutex<JoinSet<()>>,
}

/// What all connections of an exchange share.
#[derive(Clone)]
pub(in crate::client::exchange) struct Means {
    /// For blobs that come, in KiB.
    pub(super) room: Arc<Semaphore>,
    /// How connections are made.
    pub(super) dial: Dial,
}

/// Connects to an endpoint of a provider, as the owner of some keys.
pub(super) type Dial = Arc<dyn Fn(Target, Keys, Env) -> Dialling + Send + Sync>;
pub(super) type Dialling = BoxFuture<'static, Result<DirectConnection, DirectError>>;

/// Who is connected to, by whom.
#[derive(Clone)]
struct Whom {
    endpoints: Arc<Endpoints>,
    provider: ProviderId,
    /// Where the endpoints may lead.
    nearest: Nearness,
    cipher: DirectCipher,
    keys: Keys,
    env: Env,
    means: Means,
    /// Told of everything that is heard.
    heard: Arc<dyn Fn() + Send + Sync>,
}

enum State {
    Idle,
    Dialing {
        since: Instant,
        /// Nothing has failed so far: it is worth a moment.
        is_hopeful: bool,
    },
    Open {
        channel: Arc<Channel>,
        endpoint: EndpointIndex,
        since: Instant,
    },
    Failed(DirectError),
}

impl Default for Means {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(DIRECT_FETCH_LEN_MAX / 1024));
        let dial: Dial =
            Arc::new(|target, keys, env| Box::pin(async move { dial(&target, &keys, &env).await }));
        Self { room, dial }
    }
}

impl DirectWay {
    /// No connection yet. The endpoints may lead as near as `nearest`; `heard` is told of everything that is heard.
    pub(in crate::client::exchange) fn new(
        (terms, nearest): (&ProviderTerms, Nearness),
        choice: CarrierChoice,
        (keys, env): (Keys, Env),
        heard: Arc<dyn Fn() + Send + Sync>,
        means: Means,
    ) -> Self {
        let rest = if choice == CarrierChoice::Direct { REST_OF_ONLY } else { REST };
        let endpoints = Arc::new(Endpoints::new(terms.endpoints.clone(), rest));
        let cipher = cipher(terms, has_fast_aes());
        let whom = Whom { endpoints, provider: terms.id, nearest, cipher, keys, env, means, heard };
        Self { whom, choice, state: watch::Sender::new(State::Idle), dialing: Mutex::default() }
    }

    /// Whether no relay may take over.
    pub(in crate::client::exchange) fn is_only(&self) -> bool {
        self.choice == CarrierChoice::Direct
    }

    /// Whether this way is to be taken where it can be.
    pub(super) fn is_wanted(&self) -> bool {
        self.choice != CarrierChoice::Relay && !self.whom.endpoints.is_empty()
    }

    /// Whether there is a connection.
    pub(in crate::client::exchange) fn is_open(&self) -> bool {
        matches!(&*self.state.borrow(), State::Open { channel, .. } if !channel.is_closed())
    }

    /// How it stands, for people.
    pub(in crate::client::exchange) fn standing(&self) -> DirectStanding {
        if self.whom.endpoints.is_empty() {
            return DirectStanding::Unannounced;
        }
        match &*self.state.borrow() {
            State::Open { channel, .. } if !channel.is_closed() => DirectStanding::Open,
            State::Failed(error) => DirectStanding::Failed { why: error.to_string() },
            State::Dialing { .. } => DirectStanding::Pending,
            State::Open { .. } => DirectStanding::Failed { why: DirectError::Broken.to_string() },
            State::Idle => DirectStanding::Untried,
        }
    }

    /// An open connection. Where there is no other way it is tried again and again, for `patience`.
    ///
    /// # Errors
    /// Why there is none now.
    pub(super) async fn channel(&self, patience: Duration) -> Result<Arc<Channel>, DirectError> {
        let deadline = now() + patience;
        loop {
            self.dial_if_needed();
            if let Some(until) = self.worth_waiting_until(deadline) {
                let mut states = self.state.subscribe();
                let settled = states.wait_for(|state| !matches!(state, State::Dialing { .. }));
                // The sender is our own.
                let _ = timeout_at(until.into(), settled).await;
            }
            let error = match &*self.state.borrow() {
                State::Open { channel, .. } => return Ok(channel.clone()),
                State::Failed(error) => error.clone(),
                State::Dialing { .. } | State::Idle => DirectError::Slow { seconds: PATIENCE.as_secs() },
            };
            // Whoever is somebody else stays so.
            let is_final = !self.is_only() || matches!(error, DirectError::WrongKey { .. });
            let next = self.whom.endpoints.next_due(now()).max(now() + STAGGER);
            if is_final || next >= deadline {
                return Err(error);
            }
            sleep_until(next.into()).await;
        }
    }

    /// The other side of this connection is silent: the next exchange is not to wait for it.
    pub(super) fn give_up(&self, given_up: &Arc<Channel>) {
        self.state.send_if_modified(|state| match state {
            State::Open { channel, endpoint, .. } if Arc::ptr_eq(channel, given_up) => {
                self.whom.endpoints.failed(*endpoint, now());
                *state = State::Failed(DirectError::Silent);
                true
            }
            _ => false,
        });
    }

    /// Until when an exchange waits for the connection that is being made, if it does.
    fn worth_waiting_until(&self, deadline: Instant) -> Option<Instant> {
        match &*self.state.borrow() {
            State::Dialing { .. } if self.is_only() => Some(deadline),
            State::Dialing { since, is_hopeful: true } => Some((*since + PATIENCE).min(deadline)),
            _ => None,
        }
    }

    /// A connection that has ended was good, or its endpoint has failed.
    fn notice_end(&self) {
        let endpoints = &self.whom.endpoints;
        self.state.send_if_modified(|state| {
            let State::Open { channel, endpoint, since } = state else { return false };
            if !channel.is_closed() {
                return false;
            }
            if channel.is_heard_since(*since + STEADY_AFTER) {
                endpoints.proved(*endpoint);
                *state = State::Idle;
            } else {
                endpoints.failed(*endpoint, now());
                *state = State::Failed(DirectError::Broken);
            }
            true
        });
    }

    fn dial_if_needed(&self) {
        self.notice_end();
        let due = self.whom.endpoints.due(now());
        let begins = !due.is_empty()
            && self.state.send_if_modified(|state| {
                let is_hopeful = match state {
                    State::Idle => true,
                    State::Failed(_) => false,
                    State::Dialing { .. } | State::Open { .. } => return false,
                };
                *state = State::Dialing { since: now(), is_hopeful };
                true
            });
        if !begins {
            return;
        }
        let (whom, state) = (self.whom.clone(), self.state.clone());
        let mut dialing = self.dialing.lock().unwrap_or_else(PoisonError::into_inner);
        while dialing.try_join_next().is_some() {}
        dialing.spawn(async move {
            let reached = match whom.connect(due).await {
                Ok((endpoint, channel)) => State::Open { channel, endpoint, since: now() },
                Err(error) => {
                    tracing::info!(provider = %whom.provider.short(), %error, "no direct connection");
                    State::Failed(error)
                }
            };
            state.send_replace(reached);
        });
    }
}

/// What seals a connection fastest: AES where both sides have instructions for it.
pub(super) fn cipher(terms: &ProviderTerms, has_fast_aes: bool) -> DirectCipher {
    if has_fast_aes && terms.speaks(Extension::Aes) {
        DirectCipher::Aes256Gcm
    } else {
        DirectCipher::ChaCha20Poly1305
    }
}

impl Whom {
    /// Connects to the endpoint that first answers rightly; the others are dialled meanwhile, one after the other.
    async fn connect(
        &self,
        due: Vec<(EndpointIndex, RelayUrl)>,
    ) -> Result<(EndpointIndex, Arc<Channel>), DirectError> {
        let deadline = now() + DIAL_MAX;
        let mut left: Vec<EndpointIndex> = due.iter().map(|(index, _)| *index).collect();
        let dial_one = |(turn, (index, endpoint)): (u32, (EndpointIndex, RelayUrl))| {
            let Self { provider, nearest, cipher, .. } = *self;
            let target = Target { provider, endpoint, nearest, cipher };
            let dialling = (self.means.dial)(target, self.keys.clone(), self.env.clone());
            async move {
                if turn > 0 {
                    sleep(STAGGER * turn).await;
                }
                (index, dialling.await)
            }
        };
        let mut dials: FuturesUnordered<_> = (0..).zip(due).map(dial_one).collect();
        let mut last = DirectError::Slow { seconds: DIAL_MAX.as_secs() };
        while let Ok(Some((index, dialled))) = timeout_at(deadline.into(), dials.next()).await {
            match dialled {
                Ok(connection) => {
                    tracing::debug!(provider = %self.provider.short(), index, cipher = ?self.cipher, "connected directly");
                    let client = ClientId::new(self.keys.public_key().to_bytes());
                    let room = self.means.room.clone();
                    return Ok((index, Channel::begin(connection, client, self.heard.clone(), room)));
                }
                Err(error) => {
                    self.endpoints.failed(index, now());
                    left.retain(|other| *other != index);
                    last = error;
                }
            }
        }
        for index in left {
            self.endpoints.failed(index, now());
        }
        Err(last)
    }
}
