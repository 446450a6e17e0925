//! The connection to one provider: made when it is needed, by one for all, and not tried again at once where it failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nostr::{Keys, RelayUrl};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::exchange::direct::Channel;
use crate::client::exchange::drive::now;
use crate::client::exchange::options::CarrierChoice;
use crate::env::Env;
use crate::transport::direct::{DirectError, dial};
use crate::types::ProviderId;

/// How long whoever may take the relays waits for a connection. It is made meanwhile, for those who come next.
const PATIENCE: Duration = Duration::from_millis(800);
/// An endpoint that failed is left alone for so long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The connection to one provider, or why there is none.
pub(in crate::client::exchange) struct DirectWay {
    whom: Whom,
    choice: CarrierChoice,
    state: watch::Sender<State>,
    dialing: Mutex<JoinSet<()>>,
}

/// Who is connected to, by whom.
#[derive(Clone)]
struct Whom {
    endpoints: Vec<RelayUrl>,
    provider: ProviderId,
    keys: Keys,
    env: Env,
    /// For blobs that come, in KiB.
    room: Arc<Semaphore>,
    /// Told of everything that is heard.
    heard: Arc<dyn Fn() + Send + Sync>,
}

enum State {
    Idle,
    Dialing,
    Open(Arc<Channel>),
    Failed(DirectError, Instant),
}

impl DirectWay {
    /// No connection yet. `heard` is told of everything that is heard; blobs take their room from `room`, in KiB.
    pub(in crate::client::exchange) fn new(
        (provider, endpoints): (ProviderId, Vec<RelayUrl>),
        choice: CarrierChoice,
        (keys, env): (Keys, Env),
        heard: Arc<dyn Fn() + Send + Sync>,
        room: Arc<Semaphore>,
    ) -> Self {
        let whom = Whom { endpoints, provider, keys, env, room, heard };
        Self { whom, choice, state: watch::Sender::new(State::Idle), dialing: Mutex::default() }
    }

    /// Whether no relay may take over.
    pub(super) fn is_only(&self) -> bool {
        self.choice == CarrierChoice::Direct
    }

    /// Whether this way is to be taken where it can be.
    pub(super) fn is_wanted(&self) -> bool {
        self.choice != CarrierChoice::Relay && !self.whom.endpoints.is_empty()
    }

    /// Whether there is a connection.
    pub(in crate::client::exchange) fn is_open(&self) -> bool {
        matches!(&*self.state.borrow(), State::Open(channel) if !channel.is_closed())
    }

    /// An open connection.
    ///
    /// # Errors
    /// Why there is none now.
    pub(super) async fn channel(&self) -> Result<Arc<Channel>, DirectError> {
        self.dial_if_needed();
        let mut states = self.state.subscribe();
        let settled = async {
            // The sender is our own.
            let _ = states.wait_for(|state| !matches!(state, State::Dialing)).await;
        };
        if self.is_only() {
            settled.await;
        } else {
            let _ = timeout(PATIENCE, settled).await;
        }
        match &*self.state.borrow() {
            State::Open(channel) => Ok(channel.clone()),
            State::Failed(error, _) => Err(error.clone()),
            State::Dialing | State::Idle => Err(DirectError::Slow { seconds: PATIENCE.as_secs() }),
        }
    }

    /// The other side of this connection is silent: the next exchange is not to wait for it.
    pub(super) fn give_up(&self, channel: &Arc<Channel>) {
        self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Open(open) if Arc::ptr_eq(open, channel));
            if is_it {
                *state = State::Failed(DirectError::Silent, now());
            }
            is_it
        });
    }

    fn dial_if_needed(&self) {
        let begins = self.state.send_if_modified(|state| {
            let is_needed = match state {
                State::Idle => true,
                State::Dialing => false,
                State::Open(channel) => channel.is_closed(),
                State::Failed(_, at) => now() >= *at + TRY_AGAIN_AFTER,
            };
            if is_needed {
                *state = State::Dialing;
            }
            is_needed
        });
        if !begins {
            return;
        }
        let (whom, state) = (self.whom.clone(), self.state.clone());
        let mut dialing = self.dialing.lock().unwrap_or_else(PoisonError::into_inner);
        while dialing.try_join_next().is_some() {}
        dialing.spawn(async move {
            let reached = match whom.connect().await {
                Ok(channel) => State::Open(channel),
                Err(error) => {
                    tracing::info!(provider = %whom.provider.short(), %error, "no direct connection");
                    State::Failed(error, now())
                }
            };
            state.send_replace(reached);
        });
    }
}

impl Whom {
    /// Connects to the first endpoint that answers rightly.
    async fn connect(&self) -> Result<Arc<Channel>, DirectError> {
        let mut last = DirectError::Broken;
        for endpoint in &self.endpoints {
            match dial(endpoint, self.provider, &self.keys, &self.env).await {
                Ok(connection) => {
                    tracing::debug!(provider = %self.provider.short(), %endpoint, "connected directly");
                    let client = crate::types::ClientId::new(self.keys.public_key().to_bytes());
                    return Ok(Channel::begin(connection, client, self.heard.clone(), self.room.clone()));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
