//! A WebSocket to a relay, and the messages of NIP-01 on it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::event::Event;

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(60);

/// One connection. What comes is read at once, so that the relay never has to wait for the test.
pub(crate) struct Link {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    inbox: UnboundedReceiver<Value>,
    set_aside: VecDeque<Value>,
    _reader: JoinSet<()>,
}

impl Link {
    /// Connects.
    pub(crate) async fn open(url: &str) -> Self {
        let (stream, _) = connect_async_with_config(url, None, true).await.expect("the relay accepts");
        let (sink, mut source) = stream.split();
        let (sender, inbox) = unbounded_channel();
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                let Message::Text(text) = message else { continue };
                let value = serde_json::from_str(&text).expect("a relay speaks JSON");
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        Self { sink, inbox, set_aside: VecDeque::new(), _reader: reader }
    }

    /// Sends text as it is.
    pub(crate) async fn send(&mut self, text: String) {
        self.sink.send(Message::text(text)).await.expect("the relay reads");
    }

    /// Publishes an event, and does not wait for the relay's opinion.
    pub(crate) async fn publish(&mut self, event: &Event) {
        self.send(json!(["EVENT", event.json()]).to_string()).await;
    }

    /// Publishes an event; true if the relay says OK.
    pub(crate) async fn publish_acknowledged(&mut self, event: &Event) -> bool {
        self.publish(event).await;
        let answer = self.wait_for(|message| message[0] == "OK" && message[1] == event.id.as_str()).await;
        answer[2] == true
    }

    /// Subscribes, and returns what the relay has stored.
    pub(crate) async fn subscribe(&mut self, name: &str, filters: &[Value]) -> Vec<Event> {
        let mut message = vec![json!("REQ"), json!(name)];
        message.extend_from_slice(filters);
        self.send(json!(message).to_string()).await;
        let mut stored = Vec::new();
        loop {
            let answer = self.wait_for(|message| message[1] == name).await;
            match answer[0].as_str() {
                Some("EVENT") => stored.extend(Event::verified(&answer[2])),
                Some("EOSE") => return stored,
                _ => panic!("the relay answers {answer} to a subscription"),
            }
        }
    }

    /// Ends a subscription.
    pub(crate) async fn unsubscribe(&mut self, name: &str) {
        self.send(json!(["CLOSE", name]).to_string()).await;
    }

    /// The next event of any subscription.
    pub(crate) async fn next_event(&mut self) -> Event {
        let message = self.wait_for(|message| message[0] == "EVENT").await;
        Event::verified(&message[2]).expect("a relay passes only valid events on")
    }

    /// The next event of any subscription, however long it takes; `None` when the relay is gone.
    pub(crate) async fn next_event_ever(&mut self) -> Option<Event> {
        loop {
            let message = match self.set_aside.pop_front() {
                Some(message) => message,
                None => self.inbox.recv().await?,
            };
            if message[0] == "EVENT" {
                return Event::verified(&message[2]);
            }
        }
    }

    /// The first message that is wanted; events that come before it are set aside for their turn.
    async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.set_aside.iter().position(&wanted) {
            return self.set_aside.remove(index).expect("the index was just found");
        }
        loop {
            let received = timeout(WAIT, self.inbox.recv()).await.expect("the relay answers in time");
            let message = received.expect("the relay keeps the connection");
            if wanted(&message) {
                return message;
            }
            if message[0] == "EVENT" {
                self.set_aside.push_back(message);
            }
        }
    }
}
