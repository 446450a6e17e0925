//! The embedded relay on real sockets: bursts, slow and hostile clients, restarts, clients that nobody here wrote.

use std::time::Duration;

use blobdvm::relay::{Relay, RelayMonitor, RelayOptions};
use blobdvm::transport::{Carrier, ConnectOptions, Relays, Route, Subscription};
use futures_util::{SinkExt, StreamExt};
use nostr::{Event, EventBuilder, Filter, JsonUtil, Keys, Kind, RelayUrl, Tag};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const CHUNK: Kind = Kind::Custom(24_212);
const HEAD: Kind = Kind::Custom(30_078);
const WAIT: Duration = Duration::from_secs(20);

/// A relay that runs until this is dropped.
struct Running {
    url: RelayUrl,
    monitor: RelayMonitor,
    _task: JoinSet<()>,
}

async fn start(options: RelayOptions) -> Running {
    let relay = Relay::bind(options).await.unwrap();
    let (url, monitor, mut task) = (relay.url(), relay.monitor(), JoinSet::new());
    task.spawn(relay.run_until(std::future::pending()));
    Running { url, monitor, _task: task }
}

fn anywhere() -> RelayOptions {
    RelayOptions { listen: ([127, 0, 0, 1], 0).into(), ..RelayOptions::default() }
}

async fn connect(url: &RelayUrl) -> Relays {
    Relays::connect(std::slice::from_ref(url), ConnectOptions::default()).await.unwrap()
}

fn event(kind: Kind, content: &str, keys: &Keys) -> Event {
    EventBuilder::new(kind, content).tag(Tag::identifier("d")).sign_with_keys(keys).unwrap()
}

/// Different events of about 44 KB, as chunks of 32 KiB make them.
fn burst(count: usize) -> Vec<Event> {
    let (keys, filling) = (Keys::generate(), "x".repeat(43_600));
    (0..count).map(|number| event(CHUNK, &format!("{number} {filling}"), &keys)).collect()
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(WAIT, subscription.next()).await.expect("an event comes").expect("the carrier is there").event
}

type Raw = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client without any code of ours.
async fn raw(url: &RelayUrl) -> Raw {
    tokio_tungstenite::connect_async(url.as_str()).await.unwrap().0
}

async fn ask(socket: &mut Raw, text: &str) -> String {
    socket.send(Message::text(text)).await.unwrap();
    timeout(WAIT, socket.next())
        .await
        .expect("an answer comes")
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn burst_reaches_every_reader_completely() {
    let relay = start(anywhere()).await;
    let (publisher, first, second) =
        (connect(&relay.url).await, connect(&relay.url).await, connect(&relay.url).await);
    let events = burst(2_000);
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let mut readers = JoinSet::new();
    for carrier in [first, second] {
        let (mut subscription, ids) =
            (carrier.subscribe(vec![Filter::new().kind(CHUNK)]).await.unwrap(), ids.clone());
        readers.spawn(async move {
            for id in ids {
                assert_eq!(next(&mut subscription).await.id, id);
            }
            drop(carrier);
        });
    }
    for event in events {
        publisher.publish(event, Route::All).await.unwrap();
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    assert_eq!(relay.monitor.counts().slow, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_does_not_read_is_disconnected_and_holds_up_nobody_for_long() {
    let relay = start(anywhere()).await;
    let (publisher, honest) = (connect(&relay.url).await, connect(&relay.url).await);
    let mut subscription = honest.subscribe(vec![Filter::new().kind(CHUNK)]).await.unwrap();
    let mut stuck = raw(&relay.url).await;
    assert_eq!(ask(&mut stuck, r#"["REQ","all",{}]"#).await, r#"["EOSE","all"]"#);
    // More than its queue and the buffers of two sockets take.
    for event in burst(600) {
        publisher.publish(event.clone(), Route::All).await.unwrap();
        assert_eq!(next(&mut subscription).await.id, event.id);
    }
    assert_eq!(relay.monitor.counts().slow, 1);
    let closed = async { while let Some(Ok(_)) = stuck.next().await {} };
    timeout(WAIT, closed).await.expect("the connection was ended");
}

#[tokio::test]
async fn hostile_messages_are_answered_and_honest_ones_served_after() {
    let relay = start(RelayOptions { message_len_max: 100_000, ..anywhere() }).await;
    let mut socket = raw(&relay.url).await;
    for text in
        ["", "{}", "[[[[", r#"["EVENT",{}]"#, r#"["REQ"]"#, r#"["CLOSE",7]"#, "\u{0}", r#"["DROP","x"]"#]
    {
        assert!(ask(&mut socket, text).await.starts_with(r#"["NOTICE","#), "{text}");
    }
    let mut forged = event(CHUNK, "true", &Keys::generate());
    forged.content = "false".into();
    let refusal = format!(r#"["OK","{}",false,"invalid: "#, forged.id);
    assert!(ask(&mut socket, &format!(r#"["EVENT",{}]"#, forged.as_json())).await.starts_with(&refusal));
    assert!(
        ask(&mut socket, r#"["REQ","a",{"kinds":["x"]}]"#).await.starts_with(r#"["CLOSED","a","invalid: "#)
    );
    for number in 0..64 {
        assert_eq!(
            ask(&mut socket, &format!(r#"["REQ","{number}",{{}}]"#)).await,
            format!(r#"["EOSE","{number}"]"#)
        );
    }
    assert!(ask(&mut socket, r#"["REQ","64",{}]"#).await.starts_with(r#"["CLOSED","64","error: "#));
    socket.send(Message::binary(vec![0; 10])).await.unwrap();
    socket.send(Message::text("x".repeat(200_000))).await.unwrap();
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(WAIT, ended).await.expect("a message beyond the limit ends the connection");
    assert_eq!(relay.monitor.counts().published, 0);
    let honest = event(CHUNK, "", &Keys::generate());
    let answer = ask(&mut raw(&relay.url).await, &format!(r#"["EVENT",{}]"#, honest.as_json())).await;
    assert_eq!(answer, format!(r#"["OK","{}",true,""]"#, honest.id));
}

#[tokio::test]
async fn request_that_is_no_websocket_is_answered_or_ended() {
    let relay = start(anywhere()).await;
    let address = relay.url.as_str().trim_start_matches("ws://").trim_end_matches('/').to_owned();
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nAccept: application/nostr+json\r\n\r\n".to_owned(), "max_message_length"),
        ("POST /x HTTP/1.0\r\n\r\n".to_owned(), "Nostr relay"),
        ("x".repeat(20_000), ""),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The relay may have ended the connection already.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(WAIT, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        assert!(String::from_utf8(answer).unwrap().contains(expected), "{request}");
    }
}

#[tokio::test]
async fn kept_events_are_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || RelayOptions { store: Some(folder.path().join("relay")), ..anywhere() };
    let head = event(HEAD, "head", &Keys::generate());
    let relay = start(options()).await;
    let answers = connect(&relay.url).await.publish_acknowledged(head.clone(), WAIT).await;
    assert_eq!(answers[&relay.url], Ok(()));
    drop(relay);
    let relay = start(options()).await;
    let found = connect(&relay.url).await.query(Filter::new().kind(HEAD), WAIT).await;
    assert_eq!(found[&relay.url], [head]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_survive_a_restart_of_the_relay() {
    let relay = start(anywhere()).await;
    let listen = relay.url.as_str().trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    let (publisher, reader) = (connect(&relay.url).await, connect(&relay.url).await);
    let mut subscription = reader.subscribe(vec![Filter::new().kind(CHUNK)]).await.unwrap();
    let keys = Keys::generate();
    publisher.publish(event(CHUNK, "before", &keys), Route::All).await.unwrap();
    assert_eq!(next(&mut subscription).await.content, "before");
    drop(relay);
    while !publisher.connected().is_empty() || !reader.connected().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(publisher.publish(event(CHUNK, "meanwhile", &keys), Route::All).await.is_err());
    let relay = start(RelayOptions { listen, ..RelayOptions::default() }).await;
    while publisher.connected().is_empty() || reader.connected().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while relay.monitor.counts().forwarded == 0 {
        publisher.publish(event(CHUNK, "after", &keys), Route::All).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(next(&mut subscription).await.content, "after");
}

#[tokio::test]
async fn closing_relay_says_goodbye() {
    let relay = Relay::bind(anywhere()).await.unwrap();
    let (url, (stop, stopped)) = (relay.url(), tokio::sync::oneshot::channel::<()>());
    let serving = tokio::spawn(relay.run_until(async {
        let _ = stopped.await;
    }));
    let mut socket = raw(&url).await;
    assert_eq!(ask(&mut socket, r#"["REQ","a",{}]"#).await, r#"["EOSE","a"]"#);
    stop.send(()).unwrap();
    let goodbye = timeout(WAIT, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(goodbye.is_close(), "{goodbye:?}");
    drop(socket);
    timeout(WAIT, serving).await.expect("the relay ends").unwrap();
}

#[tokio::test]
async fn foreign_client_is_served() {
    use nostr_sdk::{Client, RelayPoolNotification};
    let relay = start(anywhere()).await;
    let client = Client::default();
    client.add_relay(&relay.url).await.unwrap();
    client.connect().await;
    client.wait_for_connection(WAIT).await;
    let mut notifications = client.notifications();
    client.subscribe(Filter::new().kind(CHUNK), None).await.unwrap();
    let carrier = connect(&relay.url).await;
    let (head, chunk) = (event(HEAD, "head", &Keys::generate()), event(CHUNK, "chunk", &Keys::generate()));
    let output = client.send_event(&head).await.unwrap();
    assert!(output.success.contains(&relay.url), "{output:?}");
    assert_eq!(carrier.query(Filter::new(), WAIT).await[&relay.url], std::slice::from_ref(&head));
    assert_eq!(client.fetch_events(Filter::new().kind(HEAD), WAIT).await.unwrap().first(), Some(&head));
    carrier.publish(chunk.clone(), Route::All).await.unwrap();
    let received = async {
        loop {
            if let RelayPoolNotification::Event { event, .. } = notifications.recv().await.unwrap()
                && event.kind == CHUNK
            {
                return *event;
            }
        }
    };
    assert_eq!(timeout(WAIT, received).await.unwrap(), chunk);
}
