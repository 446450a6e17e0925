//! What the carrier makes of relays that lie, say nothing, or say too much: a scripted WebSocket in a relay's place.

use std::time::Duration;

use blobdvm::transport::{Carrier, ConnectOptions, Relays, Route, Subscription, TransportError};
use futures_util::{SinkExt, StreamExt};
use nostr::{Event, EventBuilder, Filter, JsonUtil, Keys, Kind, RelayUrl, Tag};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const RESPONSE: Kind = Kind::Custom(24_211);
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
    loop {
        let message = timeout(WAIT, socket.next()).await.expect("the carrier says something");
        // Pings are answered below us.
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: String) {
    socket.send(Message::text(text)).await.unwrap();
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(WAIT, subscription.next()).await.expect("an event comes").expect("the carrier is there").event
}

fn event(content: &str) -> Event {
    EventBuilder::new(RESPONSE, content).sign_with_keys(&Keys::generate()).unwrap()
}

/// A carrier with one confirmed subscription, its name there, and the relay's end.
async fn subscribed(script: &Script) -> (Relays, Subscription, String, WebSocketStream<TcpStream>) {
    let (carrier, mut socket) = script.connected().await;
    let (subscription, name) = subscribe(&carrier, &mut socket).await;
    (carrier, subscription, name, socket)
}

/// A confirmed subscription, and its name.
async fn subscribe(carrier: &Relays, socket: &mut WebSocketStream<TcpStream>) -> (Subscription, String) {
    subscribe_to(RESPONSE, carrier, socket).await
}

async fn subscribe_to(
    kind: Kind,
    carrier: &Relays,
    socket: &mut WebSocketStream<TcpStream>,
) -> (Subscription, String) {
    let confirming = async {
        let request = heard(socket).await;
        assert_eq!(request[0], "REQ");
        let name = request[1].as_str().unwrap().to_owned();
        say(socket, format!(r#"["EOSE","{name}"]"#)).await;
        name
    };
    let (subscription, name) = tokio::join!(carrier.subscribe(vec![Filter::new().kind(kind)]), confirming);
    (subscription.unwrap(), name)
}

#[tokio::test]
async fn only_what_verifies_and_was_asked_for_is_handed_over() {
    let script = Script::new().await;
    let (_carrier, mut subscription, name, mut socket) = subscribed(&script).await;
    let (first, second, last) = (event("first"), event("second"), event("last"));
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

/// The SDK's pool remembers that an id was verified, and takes whatever comes under it for verified: a relay that
/// sends a good event opened the door to any other. So each event is verified once more where it is handed over.
#[tokio::test]
async fn forged_event_under_an_id_that_was_verified_before_reaches_nobody() {
    let script = Script::new().await;
    let (carrier, mut first, first_name, mut socket) = subscribed(&script).await;
    // Others, because one subscription takes no event of an id that it has had.
    let (mut second, second_name) = subscribe(&carrier, &mut socket).await;
    let (good, last) = (event("good"), event("last"));
    let forgeries = [
        with(&good, |event| event.content = "forged".into()),
        with(&good, |event| event.pubkey = Keys::generate().public_key()),
        with(&good, |event| event.sig = other_signature()),
    ];
    say(&mut socket, format!(r#"["EVENT","{first_name}",{}]"#, good.as_json())).await;
    assert_eq!(next(&mut first).await, good);
    for event in forgeries.iter().chain([&last]) {
        say(&mut socket, format!(r#"["EVENT","{second_name}",{}]"#, event.as_json())).await;
    }
    assert_eq!(next(&mut second).await, last);
    let answering = async {
        let name = heard(&mut socket).await[1].as_str().unwrap().to_owned();
        for event in forgeries.iter().chain([&good]) {
            say(&mut socket, format!(r#"["EVENT","{name}",{}]"#, event.as_json())).await;
        }
        say(&mut socket, format!(r#"["EOSE","{name}"]"#)).await;
    };
    let (found, ()) = tokio::join!(carrier.query(Filter::new(), WAIT), answering);
    assert_eq!(found[&script.url], [good]);
}

/// What chunks are worth, the hash of their blob says. A forged one must not keep the true one of its id out.
#[tokio::test]
async fn forged_chunk_comes_and_the_true_one_after_it() {
    let script = Script::new().await;
    let (carrier, mut socket) = script.connected().await;
    for kind in [24_212, 24_213].map(Kind::Custom) {
        let (mut subscription, name) = subscribe_to(kind, &carrier, &mut socket).await;
        let chunk = EventBuilder::new(kind, "AAAA").sign_with_keys(&Keys::generate()).unwrap();
        let forged = with(&chunk, |event| event.content = "BBBB".into());
        for event in [&forged, &chunk] {
            say(&mut socket, format!(r#"["EVENT","{name}",{}]"#, event.as_json())).await;
            assert_eq!(next(&mut subscription).await, *event);
        }
        let answering = async {
            let name = heard(&mut socket).await[1].as_str().unwrap().to_owned();
            for event in [&forged, &chunk] {
                say(&mut socket, format!(r#"["EVENT","{name}",{}]"#, event.as_json())).await;
            }
            say(&mut socket, format!(r#"["EOSE","{name}"]"#)).await;
        };
        let (found, ()) = tokio::join!(carrier.query(Filter::new(), WAIT), answering);
        assert_eq!(found[&script.url], [chunk], "what is asked for is verified");
        drop(subscription);
        assert_eq!(heard(&mut socket).await[0], "CLOSE");
    }
}

#[tokio::test]
async fn dropped_carrier_ends_its_connections_and_leaves_no_task() {
    let (script, metrics) = (Script::new().await, tokio::runtime::Handle::current().metrics());
    let before = metrics.num_alive_tasks();
    let (carrier, mut subscription, _, mut socket) = subscribed(&script).await;
    drop(carrier);
    assert_eq!(timeout(WAIT, subscription.next()).await, Ok(None));
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(WAIT, ended).await.expect("the connection is ended");
    let gone = async {
        while metrics.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, gone).await.expect("no task is left");
}

#[tokio::test]
async fn carrier_that_is_dropped_while_it_connects_leaves_no_task() {
    let (script, metrics) = (Script::new().await, tokio::runtime::Handle::current().metrics());
    let before = metrics.num_alive_tasks();
    let urls = [script.url.clone()];
    let connecting = Relays::connect(&urls, ConnectOptions::default());
    assert!(timeout(Duration::from_millis(50), connecting).await.is_err());
    let gone = async {
        while metrics.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, gone).await.expect("no task is left");
}

fn with(event: &Event, change: fn(&mut Event)) -> Event {
    let mut changed = event.clone();
    change(&mut changed);
    changed
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
    let mut subscription = carrier.subscribe(vec![Filter::new().kind(RESPONSE)]).await.unwrap();
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
    let started = Instant::now();
    let Err(TransportError::NoRelay { tried }) = Relays::connect(&urls, ConnectOptions::default()).await
    else {
        panic!("there is no relay");
    };
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
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
    const LEN: usize = 4 * 1024 * 1024;
    let tags = (0..1_000).map(|_| Tag::parse(["t".to_owned(), "x".repeat(LEN / 1_000)]).unwrap());
    let builder = EventBuilder::new(RESPONSE, "").tags(tags);
    for large in [event(&"x".repeat(LEN)), builder.sign_with_keys(&Keys::generate()).unwrap()] {
        let script = Script::new().await;
        let (carrier, mut socket) = script.connected().await;
        let flood = async {
            let name = heard(&mut socket).await[1].as_str().unwrap().to_owned();
            let large = large.as_json();
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
}
