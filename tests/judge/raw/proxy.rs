//! A proxy before a relay, in both directions: it records what crosses, withholds large events, slips messages in, or
//! forges chunks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::raw::kind;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{accept_async, connect_async_with_config};

/// What a proxy does with what crosses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// Passes everything on.
    Pass,
    /// Keeps a copy of every message.
    Record,
    /// Loses `EVENT` messages of more than so many bytes, without a word, as many relays do.
    Lose(usize),
    /// Hands over a forged chunk before every true one: the same event, with other bytes.
    ForgeChunks,
}

/// A proxy that runs until this is dropped.
pub(crate) struct Proxy {
    /// Where it listens, as a relay's URL.
    pub(crate) url: String,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    upstream: String,
    rule: Rule,
    tape: Mutex<Vec<Utf8Bytes>>,
    forged_count: AtomicU64,
    slipped_in: broadcast::Sender<String>,
}

impl Proxy {
    /// Starts before the relay `upstream`.
    pub(crate) async fn start(upstream: &str, rule: Rule) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).await.expect("a port is free");
        let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
        let (slipped_in, _) = broadcast::channel(1_024);
        let upstream = upstream.to_owned();
        let (tape, forged_count) = Default::default();
        let shared = Shared { upstream, rule, tape, forged_count, slipped_in };
        let shared = Arc::new(shared);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, _task: task }
    }

    /// Everything that crossed so far.
    pub(crate) fn tape(&self) -> Vec<Utf8Bytes> {
        self.shared.tape.lock().unwrap().clone()
    }

    /// How many forged chunks it has handed over.
    pub(crate) fn forged_count(&self) -> u64 {
        self.shared.forged_count.load(Ordering::Relaxed)
    }

    /// Hands an event's text to every client under each of its subscriptions, as a relay that verifies nothing would.
    pub(crate) fn slip_in(&self, event: String) {
        self.shared.slipped_in.send(event).expect("somebody is connected");
    }

    /// Messages that were slipped in and not yet handed over by the slowest connection.
    pub(crate) fn backlog(&self) -> usize {
        self.shared.slipped_in.len()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(forward(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Passes messages both ways until either side ends.
async fn forward(stream: TcpStream, shared: Arc<Shared>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let (mut to_client, mut from_client) = accept_async(stream).await?.split();
    let (server, _) = connect_async_with_config(&shared.upstream, None, true).await?;
    let (mut to_server, mut from_server) = server.split();
    let subscriptions: Mutex<Vec<Value>> = Mutex::default();
    let mut slipped_in = shared.slipped_in.subscribe();
    let up = async {
        while let Some(message) = from_client.next().await {
            let message = message?;
            if let Some(name) = subscription(&message) {
                subscriptions.lock().unwrap().push(name);
            }
            if shared.passes(&message) {
                to_server.send(message).await?;
            }
        }
        Ok(())
    };
    let down = async {
        loop {
            tokio::select! {
                biased;
                message = from_server.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let message = message?;
                    if let Some(forged) = shared.forged(&message) {
                        to_client.send(forged).await?;
                    }
                    if shared.passes(&message) {
                        to_client.send(message).await?;
                    }
                }
                event = slipped_in.recv() => {
                    let event = match event {
                        Ok(event) => event,
                        Err(RecvError::Lagged(_)) => continue,
                        Err(RecvError::Closed) => return Ok(()),
                    };
                    let names = subscriptions.lock().unwrap().clone();
                    for name in names {
                        to_client.send(Message::text(format!(r#"["EVENT",{name},{event}]"#))).await?;
                    }
                }
            }
        }
    };
    tokio::select! { biased; result = up => result, result = down => result }
}

/// The name of the subscription that a message opens.
fn subscription(message: &Message) -> Option<Value> {
    let text = message.to_text().ok().filter(|text| text.starts_with(r#"["REQ""#))?;
    let value: Value = serde_json::from_str(text).ok()?;
    Some(json!(value[1]))
}

impl Shared {
    fn passes(&self, message: &Message) -> bool {
        let Message::Text(text) = message else { return true };
        match self.rule {
            Rule::Pass | Rule::ForgeChunks => true,
            Rule::Record => {
                self.tape.lock().unwrap().push(text.clone());
                true
            }
            Rule::Lose(limit) => !(text.starts_with(r#"["EVENT""#) && text.len() > limit),
        }
    }

    fn forged(&self, message: &Message) -> Option<Message> {
        let text = message.to_text().ok().filter(|_| matches!(self.rule, Rule::ForgeChunks))?;
        let mut value: Value = serde_json::from_str(text).ok()?;
        let event = value.get_mut(2)?;
        if ![kind::CHUNK, kind::UPLOAD].contains(&event["kind"].as_u64()?) {
            return None;
        }
        // The first three bytes are others, and as many.
        let content = event["content"].as_str()?;
        let start = if content.starts_with("AAAA") { "BBBB" } else { "AAAA" };
        event["content"] = json!(format!("{start}{}", content.get(4..)?));
        self.forged_count.fetch_add(1, Ordering::Relaxed);
        Some(Message::text(value.to_string()))
    }
}
