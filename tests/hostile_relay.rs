//! What the carrier makes of relays that lie, say nothing, or say too much: a scripted WebSocket in a relay's place.

use std::time::Duration;

use blobdvm::transport::{Carrier, ConnectOptions, Relays, Route, Subscription, TransportError};
use futures_util::{SinkExt, StreamExt};
use nostr::{Event, EventBuilder, Filter, JsonUtil, Keys, Kind, RelayUrl};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const CHUNK: Kind = Kind::Custom(24_212);
const WAIT: Duration = Duration::from_secs(10);

/// A relay that a test plays itself.
struct Script {
    listener: TcpListener,
    url: RelayUrl,
}

impl Script {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = RelayUrl::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        Self { listener, url }
    }

    async fn accept(&self) -> WebSocketStream<TcpStream> {
        tokio_tungstenite::accept_async(self.listener.accept().await.unwrap().0).await.unwrap()
    }

    /// A carrier that is connected to it, and the relay's end.
    async fn connected(&self) -> (Relays, WebSocketStream<TcpStream>) {
        let urls = [self.url.clone()];
        let (carrier, socket) =
            tokio::join!(Relays::connect(&urls, ConnectOptions::default()), self.accept());
        (carrier.unwrap(), socket)
    }
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> serde_json::Value {
    let message = timeout(WAIT, socket.next()).await.expect("the carrier says something").unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: String) {
    socket.send(Message::text(text)).await.unwrap();
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(WAIT, subscription.next()).await.expect("an event comes").expect("the carrier is there").event
}

fn event(content: &str) -> Event {
    EventBuilder::new(CHUNK, content).sign_with_keys(&Keys::generate()).unwrap()
}

/// A carrier with one confirmed subscription for chunks, its name there, and the relay's end.
async fn subscribed(script: &Script) -> (Relays, Subscription, String, WebSocketStream<TcpStream>) {
    let (carrier, mut socket) = script.connected().await;
    let subscribing = carrier.subscribe(vec![Filter::new().kind(CHUNK)]);
    let confirming = async {
        let request = heard(&mut socket).await;
        assert_eq!(request[0], "REQ");
        let name = request[1].as_str().unwrap().to_owned();
        say(&mut socket, format!(r#"["EOSE","{name}"]"#)).await;
        name
    };
    let (subscription, name) = tokio::join!(subscribing, confirming);
    (carrier, subscription.unwrap(), name, socket)
}

#[tokio::test]
async fn only_what_verifies_and_was_asked_for_is_handed_over() {
    let script = Script::new().await;
    let (_carrier, mut subscription, name, mut socket) = subscribed(&script).await;
    let (first, second, last) = (event("first"), event("second"), event("last"));
    let with = |event: &Event, change: fn(&mut Event)| {
        let mut changed = event.clone();
        change(&mut changed);
        changed
    };
    let unasked = EventBuilder::new(Kind::TextNote, "").sign_with_keys(&Keys::generate()).unwrap();
    let sent = [
        // Under an id that was not seen before: must not keep the true event of that id out.
        with(&first, |event| event.content = "forged".into()),
        first.clone(),
        // Under an id that was verified before.
        with(&first, |event| event.content = "forged".into()),
        with(&second, |event| event.sig = other_signature()),
        second.clone(),
        unasked,
        first.clone(),
        last.clone(),
    ];
    for event in &sent {
        say(&mut socket, format!(r#"["EVENT","{name}",{}]"#, event.as_json())).await;
        say(&mut socket, format!(r#"["EVENT","another",{}]"#, event.as_json())).await;
        say(&mut socket, r#"["EVENT","#.into()).await;
    }
    for expected in [first, second, last] {
        assert_eq!(next(&mut subscription).await, expected);
    }
    assert_eq!(subscription.try_next(), None);
}

/// A signature, of something else.
fn other_signature() -> nostr::secp256k1::schnorr::Signature {
    event("else").sig
}

#[tokio::test]
async fn relay_that_confirms_nothing_and_answers_no_ok_is_used_all_the_same() {
    let script = Script::new().await;
    let (carrier, mut socket) = script.connected().await;
    let started = Instant::now();
    let mut subscription = carrier.subscribe(vec![Filter::new().kind(CHUNK)]).await.unwrap();
    assert!(started.elapsed() < WAIT);
    let name = heard(&mut socket).await[1].as_str().unwrap().to_owned();
    let published = event("out");
    carrier.publish(published.clone(), Route::All).await.unwrap();
    assert_eq!(heard(&mut socket).await, serde_json::json!(["EVENT", published]));
    let received = event("in");
    say(&mut socket, format!(r#"["EVENT","{name}",{}]"#, received.as_json())).await;
    assert_eq!(next(&mut subscription).await, received);
    let deadline = Duration::from_millis(50);
    assert!(carrier.query(Filter::new(), deadline).await.is_empty());
    let answers = carrier.publish_acknowledged(event("head"), deadline).await;
    assert!(answers[&script.url].is_err());
}

#[tokio::test]
async fn refusal_is_told_in_the_words_of_the_relay() {
    let script = Script::new().await;
    let (carrier, mut socket) = script.connected().await;
    let head = event("head");
    let refusing = async {
        heard(&mut socket).await;
        say(&mut socket, format!(r#"["OK","{}",false,"blocked: not you"]"#, head.id)).await;
    };
    let (answers, ()) = tokio::join!(carrier.publish_acknowledged(head.clone(), WAIT), refusing);
    assert_eq!(answers[&script.url], Err("blocked: not you".into()));
}

#[tokio::test]
async fn dropped_subscription_is_closed_at_the_relay() {
    let script = Script::new().await;
    let (_carrier, subscription, name, mut socket) = subscribed(&script).await;
    drop(subscription);
    assert_eq!(heard(&mut socket).await, serde_json::json!(["CLOSE", name]));
}

#[tokio::test]
async fn relay_that_takes_nothing_holds_up_the_others_only_once() {
    let (stuck, working) = (Script::new().await, Script::new().await);
    let urls = [stuck.url.clone(), working.url.clone()];
    let (carrier, _unread, socket) =
        tokio::join!(Relays::connect(&urls, ConnectOptions::default()), stuck.accept(), working.accept());
    let carrier = carrier.unwrap();
    let mut reading = JoinSet::new();
    reading.spawn(async move { socket.count().await });
    let started = Instant::now();
    let large = event(&"x".repeat(1024 * 1024));
    for _ in 0..40 {
        carrier.publish(large.clone(), Route::All).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn no_relay_names_each_and_why() {
    let closed = Script::new().await;
    let urls = [closed.url.clone(), RelayUrl::parse("ws://127.0.0.1:1").unwrap()];
    drop(closed);
    let Err(TransportError::NoRelay { tried }) = Relays::connect(&urls, ConnectOptions::default()).await
    else {
        panic!("there is no relay");
    };
    assert_eq!(tried.keys().collect::<Vec<_>>(), [&urls[1], &urls[0]]);
    assert!(tried.values().all(|why| !why.is_empty()));
}

#[tokio::test]
async fn relay_that_speaks_no_tls_is_no_relay() {
    let script = Script::new().await;
    let url = RelayUrl::parse(&script.url.as_str().replace("ws:", "wss:")).unwrap();
    let urls = [url];
    let plain = async {
        let mut stream = script.listener.accept().await.unwrap().0;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let (connected, ()) = tokio::join!(Relays::connect(&urls, ConnectOptions::default()), plain);
    let Err(TransportError::NoRelay { tried }) = connected else { panic!("there is no relay") };
    assert!(!tried[&urls[0]].contains("no connection within"), "{tried:?}");
}

#[tokio::test]
async fn endless_answer_is_cut() {
    let script = Script::new().await;
    let (carrier, mut socket) = script.connected().await;
    let flood = async {
        let name = heard(&mut socket).await[1].as_str().unwrap().to_owned();
        let large = event(&"x".repeat(4 * 1024 * 1024)).as_json();
        for _ in 0..12 {
            say(&mut socket, format!(r#"["EVENT","{name}",{large}]"#)).await;
        }
        say(&mut socket, format!(r#"["EOSE","{name}"]"#)).await;
        // The carrier has said that it wants no more.
        assert_eq!(heard(&mut socket).await, serde_json::json!(["CLOSE", name]));
    };
    let (found, ()) = tokio::join!(carrier.query(Filter::new(), WAIT), flood);
    assert!(found.is_empty());
}
