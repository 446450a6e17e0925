//! Laws of the direct path's connections, over pipes.

mod handshake;
pub(crate) mod pipes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use nostr::{Keys, RelayUrl};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use pipes::{Socket, connected_as, lenient, provider_of, room, sockets};

use super::noise::Channel;
use super::record::{Cutting, Joining};
use super::{
    DirectConnection, DirectError, DirectListener, Guest, Intake, Nearness, Opening, Places, Received, Rest,
    Target, Unfit, dial, listen,
};
use crate::env::{Env, ManualClock};
use crate::types::limits::{
    DIRECT_HANDSHAKE_MAX, DIRECT_INTAKE_LEN_MAX, DIRECT_RATE_MIN, DIRECT_ROOM_WAIT_MAX, DIRECT_STALL_MAX,
};
use crate::types::{BlobHash, ClientId, Timestamp};
use crate::wire::direct::DirectCipher;
use crate::wire::{DirectId, DirectMessage};

const WAIT: Duration = Duration::from_secs(5);
/// Where it does not matter which.
const CIPHER: DirectCipher = DirectCipher::ChaCha20Poly1305;

fn env(seed: u64) -> Env {
    Env::seeded(seed, Arc::new(ManualClock::new(Timestamp(1_700_000_000))))
}

fn keys(byte: u8) -> Keys {
    Keys::parse(&hex::encode([byte; 32])).unwrap()
}

fn message(received: Result<Received, DirectError>) -> DirectMessage {
    match received.unwrap() {
        Received::Message { message, .. } => message,
        Received::PassedOver { why, .. } => panic!("passed over: {why:?}"),
    }
}

/// A client with keys 1 and a provider with keys 2, who know each other.
async fn connected() -> (DirectConnection, Guest) {
    connected_as(&keys(1), &keys(2), &env(1), lenient(room())).await
}

fn response(id: u32, len: usize) -> DirectMessage {
    let data: Bytes = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    DirectMessage::Response { id: DirectId(id), hash: BlobHash::of(&data), data }
}

#[tokio::test(start_paused = true)]
async fn messages_of_all_lengths_arrive_in_order_both_ways() {
    let (mut client, guest) = connected().await;
    assert_eq!(guest.client, ClientId::new(keys(1).public_key().to_bytes()));
    let DirectConnection { outbox, mut inbox } = guest.connection;
    let lens = [0, 1, 65_477, 65_478, 65_479, 65_519, 131_000, 600_000, 10 * 1024 * 1024];
    for (id, len) in (0..).zip(lens) {
        let expected = response(id, len);
        let (there, back) = (expected.clone(), expected.clone());
        let (sent, got, returned, arrived) = tokio::join!(
            client.outbox.send(there, None),
            inbox.next(WAIT),
            outbox.send(back, None),
            client.inbox.next(WAIT)
        );
        sent.unwrap();
        returned.unwrap();
        assert_eq!(message(got), expected, "{len}");
        assert_eq!(message(arrived), expected, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_key_at_the_endpoint_is_refused_and_does_not_learn_who_asked() {
    let (near, far) = sockets().await;
    let (mine, wanted, found, env) = (keys(1), keys(2), keys(3), env(1));
    let (dialed, met) = tokio::join!(
        dial::open(near, (provider_of(&wanted), CIPHER), &mine, &env),
        listen::meet(far, &found, &env, lenient(room()))
    );
    assert!(
        matches!(dialed, Err(DirectError::WrongKey { found: key }) if key == provider_of(&found)),
        "the client knows who answered"
    );
    assert!(met.is_err(), "no introduction came");
}

#[test]
fn first_record_of_a_message_says_its_length_rightly() {
    for (len, rest) in [(0_u32, 0), (5, 4), (4, 5), (65_516, 65_514), (u32::MAX, 65_515)] {
        let plain = [&len.to_be_bytes()[..], &vec![0; rest]].concat();
        assert!(Joining::begin(plain).is_err(), "{len} {rest}");
    }
    assert!(Joining::begin(vec![0; 3]).is_err());
    assert!(Joining::begin([&65_516_u32.to_be_bytes()[..], &vec![0; 65_515]].concat()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn side_that_takes_nothing_is_given_up() {
    let (client, guest) = connected().await;
    let begun = tokio::time::Instant::now();
    while client.outbox.send(response(1, 600_000), None).await.is_ok() {}
    assert!(begun.elapsed() >= DIRECT_STALL_MAX && begun.elapsed() < 2 * DIRECT_STALL_MAX);
    drop(guest);
}

/// A client that does everything by hand after its handshake as keys 1 with keys 2.
async fn by_hand(mut near: Socket) -> (Socket, Channel) {
    let (opening, hello) = Opening::begin(CIPHER, &env(1)).unwrap();
    listen::send(&mut near, hello.encode()).await.unwrap();
    let ack = listen::receive(&mut near).await.unwrap();
    let ack = crate::wire::direct::Ack::decode(&ack).unwrap();
    let (channel, introduction) = opening.finish(&ack, &provider_of(&keys(2)), &keys(1)).unwrap();
    listen::send(&mut near, introduction.encode()).await.unwrap();
    (near, channel)
}

#[tokio::test(start_paused = true)]
async fn side_that_takes_a_message_too_slowly_is_given_up_and_frees_what_it_held() {
    let (near, far) = sockets().await;
    let (theirs, env, room) = (keys(2), env(1), Arc::new(Semaphore::new(1)));
    let ((mut near, _channel), met) =
        tokio::join!(by_hand(near), listen::meet(far, &theirs, &env, lenient(room.clone())));
    let DirectConnection { outbox, inbox: _inbox } = met.unwrap().connection;
    let permit = room.clone().try_acquire_owned().unwrap();
    let begun = tokio::time::Instant::now();
    outbox.send(response(1, 2_000_000), Some(Box::new(permit))).await.unwrap();
    // No single record takes too long, but all of them together do.
    let reading = async {
        while near.next().await.is_some_and(|read| read.is_ok()) {
            tokio::time::sleep(DIRECT_STALL_MAX / 2).await;
        }
        std::future::pending::<()>().await;
    };
    let freed = async {
        room.acquire().await.unwrap().forget();
        begun.elapsed()
    };
    let freed = tokio::select! { () = reading => unreachable!("it never ends"), freed = freed => freed };
    let age_max = DIRECT_STALL_MAX + Duration::from_secs(2_000_000 / DIRECT_RATE_MIN as u64);
    assert!(freed >= age_max && freed <= age_max + DIRECT_STALL_MAX, "{freed:?}");
    assert!(outbox.is_closed());
}

#[tokio::test(start_paused = true)]
async fn message_that_stops_in_the_middle_ends_the_connection_and_frees_its_room() {
    let (near, far) = sockets().await;
    let (theirs, env, room) = (keys(2), env(1), room());
    let client = async {
        let (mut near, (mut sealer, _)) = by_hand(near).await;
        let mut cutting = Cutting::begin(response(1, 1_000_000).encode()).unwrap();
        let first = cutting.next(&mut sealer).unwrap().unwrap();
        near.send(Message::Binary(first)).await.unwrap();
        near
    };
    let begun = tokio::time::Instant::now();
    let provider = async {
        let mut connection =
            listen::meet(far, &theirs, &env, lenient(room.clone())).await.unwrap().connection;
        assert!(connection.inbox.next(WAIT).await.is_err());
        connection
    };
    let (mut near, connection) = tokio::join!(client, provider);
    assert!(begun.elapsed() >= DIRECT_STALL_MAX && begun.elapsed() <= 2 * DIRECT_STALL_MAX);
    assert_eq!(room.available_permits(), DIRECT_INTAKE_LEN_MAX / 1024);
    drop(connection);
    assert!(!matches!(near.next().await, Some(Ok(Message::Binary(_)))));
}

#[tokio::test(start_paused = true)]
async fn blob_waits_for_room_is_passed_over_without_it_and_what_follows_is_read() {
    let (client, guest) = connected().await;
    let DirectConnection { outbox: _outbox, mut inbox } = guest.connection;
    let mut held = Vec::new();
    for id in 0..3 {
        let (sent, got) = tokio::join!(client.outbox.send(response(id, 10 << 20), None), inbox.next(WAIT));
        sent.unwrap();
        held.push(got.unwrap());
    }
    let begun = tokio::time::Instant::now();
    for id in 3..5 {
        client.outbox.send(response(id, 10 << 20), None).await.unwrap();
    }
    let passed_over = inbox.next(WAIT).await.unwrap();
    let expected = (DirectId(3), Unfit::NoRoom);
    assert!(matches!(passed_over, Received::PassedOver { id, why } if (id, why) == expected));
    assert!(begun.elapsed() >= DIRECT_ROOM_WAIT_MAX && begun.elapsed() < 2 * DIRECT_ROOM_WAIT_MAX);
    held.pop();
    assert_eq!(message(inbox.next(WAIT).await), response(4, 10 << 20));
}

#[tokio::test(start_paused = true)]
async fn client_that_sends_a_long_text_or_answers_is_left_at_the_first_record() {
    let text = DirectMessage::Ask { id: DirectId(1), at: Timestamp(1), content: "x".repeat(150_000) };
    for unwanted in [text, response(1, 150_000)] {
        let room = room();
        let judged = Intake {
            judge: Arc::new(listen::StoresUpTo { len_max: 1 << 20, rest: Rest::begin() }),
            ..lenient(room.clone())
        };
        let (client, guest) = connected_as(&keys(1), &keys(2), &env(1), judged).await;
        let DirectConnection { outbox: _outbox, mut inbox } = guest.connection;
        client.outbox.send(unwanted, None).await.unwrap();
        assert!(matches!(inbox.next(WAIT).await, Err(DirectError::Message { .. })));
        assert_eq!(room.available_permits(), DIRECT_INTAKE_LEN_MAX / 1024);
    }
}

#[tokio::test(start_paused = true)]
async fn long_messages_have_their_turn_among_short_ones() {
    let (mut client, guest) = connected().await;
    let DirectConnection { outbox, inbox: _inbox } = guest.connection;
    for id in 0..2 {
        outbox.send(response(id, 2_000_000), None).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    for id in 2..18 {
        outbox.send(response(id, 10), None).await.unwrap();
    }
    let mut order = Vec::new();
    while order.len() < 18 {
        order.push(message(client.inbox.next(WAIT).await).id().0);
    }
    let expected: Vec<u32> = [0].into_iter().chain(2..10).chain([1]).chain(10..18).collect();
    assert_eq!(order, expected);
}

/// A listener with so many places, and where it is. Nobody gets through its handshake here.
async fn listening(count_max: usize) -> (JoinSet<()>, SocketAddr) {
    let places = Places { count_max, address_count_max: count_max.div_ceil(2) };
    let listener = DirectListener::bind(&[([127, 0, 0, 1], 0).into()], places, 1 << 20).await.unwrap();
    let url = listener.urls()[0].clone();
    let address = url.as_str().trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    let mut running = JoinSet::new();
    let serve = |_| async { unreachable!("nobody shakes hands") };
    running.spawn(listener.run(keys(2), env(1), std::future::pending(), serve));
    (running, address)
}

/// Waits until the other side has closed the connection.
async fn closed(mut stream: TcpStream) {
    let read = stream.read(&mut [0; 16]).await;
    assert!(!matches!(read, Ok(1..)), "it says nothing before it closes");
}

#[tokio::test]
async fn endpoint_of_a_stranger_that_leads_too_near_is_not_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let endpoint = RelayUrl::parse(&format!("ws://{host}:{port}")).unwrap();
        let target =
            Target { provider: provider_of(&keys(2)), endpoint, nearest: Nearness::Network, cipher: CIPHER };
        assert!(matches!(
            super::dial(&target, &keys(1), &env(1)).await,
            Err(DirectError::Unreachable { .. })
        ));
    }
    assert!(listener.accept().now_or_never().is_none(), "nobody has connected");
}

#[tokio::test]
async fn clients_beyond_the_places_are_turned_away_at_once() {
    // Half of the places for one address: two.
    let (_running, address) = listening(4).await;
    let _first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let begun = tokio::time::Instant::now();
    closed(TcpStream::connect(address).await.unwrap()).await;
    assert!(begun.elapsed() < DIRECT_HANDSHAKE_MAX, "it need not wait for a handshake");
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_shake_hands_is_given_up_and_its_place_is_free() {
    let (_running, address) = listening(1).await;
    for _ in 0..2 {
        let begun = tokio::time::Instant::now();
        closed(TcpStream::connect(address).await.unwrap()).await;
        assert!(begun.elapsed() >= DIRECT_HANDSHAKE_MAX, "it had a place");
    }
}
