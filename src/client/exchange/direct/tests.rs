//! Conversations over one connection, whose other side a test plays.

mod way;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nostr::Keys;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::exchange::direct::Channel;
use crate::client::exchange::direct::channel::Trouble;
use crate::client::exchange::drive::{Have, now};
use crate::env::{Env, ManualClock};
use crate::session::{AskSession, Failure, FetchOptions, FetchSession, Pace};
use crate::transport::direct::tests::pipes::{connected_as, connected_slowly, lenient, room};
use crate::transport::direct::{DirectConnection, Guest, Received};
use crate::types::{Blob, BlobHash, ClientId, Timestamp};
use crate::wire::{Answer, Attestation, DirectId, DirectMessage, DirectStore};

const STALL: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

fn env() -> Env {
    Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1_700_000_000))))
}

fn keys(byte: u8) -> Keys {
    Keys::parse(&hex::encode([byte; 32])).unwrap()
}

fn blob(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn begin(connection: DirectConnection, room: Arc<Semaphore>) -> Arc<Channel> {
    let client = ClientId::new(keys(1).public_key().to_bytes());
    Channel::begin(connection, client, Arc::new(|| {}), room)
}

/// A connection, and the side of the provider.
async fn channel(room: Arc<Semaphore>) -> (Arc<Channel>, DirectConnection) {
    let intake = lenient(crate::transport::direct::tests::pipes::room());
    let (connection, Guest { connection: provider, .. }) =
        connected_as(&keys(1), &keys(2), &env(), intake).await;
    (begin(connection, room), provider)
}

async fn fetch(channel: &Channel, hash: BlobHash, len_max: u64) -> Result<Bytes, Trouble> {
    let pace = Pace { stall_timeout: STALL, ..Pace::default() };
    let mut session = FetchSession::<Attestation>::new(hash, FetchOptions::WHOLE, pace, 1, now());
    let request = |id| DirectMessage::Request { id, hash };
    channel.run(&mut &mut session, request, None, len_max).await.map(Blob::into_bytes)
}

impl DirectConnection {
    /// The next question, if it is one for a blob.
    async fn requested(&mut self) -> DirectId {
        match self.inbox.next(LONG).await.unwrap() {
            Received::Message { message: DirectMessage::Request { id, .. }, .. } => id,
            _ => panic!("no request"),
        }
    }

    fn respond(&self, id: DirectId, hash: BlobHash, data: &Bytes) -> impl Future<Output = ()> + use<> {
        let (outbox, data) = (self.outbox.clone(), data.clone());
        async move { outbox.send(DirectMessage::Response { id, hash, data }, None).await.unwrap() }
    }
}

#[tokio::test(start_paused = true)]
async fn blob_that_nobody_asked_for_ends_the_connection() {
    let data = blob(200_000);
    let hash = BlobHash::of(&data);
    let (channel, provider) = channel(room()).await;
    provider.respond(DirectId(0), hash, &data).await;
    sleep(STALL).await;
    assert!(channel.is_closed());
}

#[tokio::test(start_paused = true)]
async fn blob_longer_than_the_one_asked_for_is_corrupt_and_takes_no_room() {
    let data = blob(200_000);
    let hash = BlobHash::of(&data);
    let nothing = Arc::new(Semaphore::new(0));
    let (channel, mut provider) = channel(nothing).await;
    let answering = async {
        let id = provider.requested().await;
        provider.respond(id, hash, &data).await;
    };
    let (outcome, ()) = tokio::join!(fetch(&channel, hash, 199_999), answering);
    assert!(matches!(outcome, Err(Trouble::Failed(Failure::Corrupt))));
    assert!(!channel.is_closed());
}

#[tokio::test(start_paused = true)]
async fn blob_that_is_not_waited_for_any_more_is_passed_over() {
    let data = blob(200_000);
    let hash = BlobHash::of(&data);
    let (channel, mut provider) = channel(room()).await;
    let given_up = timeout(Duration::from_secs(1), fetch(&channel, hash, 200_000)).await;
    assert!(given_up.is_err());
    let answering = async {
        let (first, second) = (provider.requested().await, provider.requested().await);
        for id in [first, second] {
            provider.respond(id, hash, &data).await;
        }
        // It was waited for no more than once.
        provider.respond(first, hash, &data).await;
    };
    let (outcome, ()) = tokio::join!(fetch(&channel, hash, 200_000), answering);
    assert!(matches!(outcome, Ok(found) if found == data));
    sleep(STALL).await;
    assert!(channel.is_closed());
}

#[tokio::test(start_paused = true)]
async fn blobs_that_come_share_their_room_over_all_connections() {
    let data = blob(200_000);
    let hash = BlobHash::of(&data);
    let room = Arc::new(Semaphore::new(250));
    let mut fetches = JoinSet::new();
    let mut providers = Vec::new();
    for _ in 0..2 {
        let (channel, mut provider) = channel(room.clone()).await;
        fetches.spawn(async move { fetch(&channel, hash, 200_000).await.is_ok() });
        let id = provider.requested().await;
        providers.push((provider, id));
    }
    let held = room.clone().acquire_many_owned(200).await.unwrap();
    for (provider, id) in &providers {
        provider.respond(*id, hash, &data).await;
    }
    sleep(STALL / 2).await;
    assert_eq!(fetches.len(), 2);
    assert!(fetches.try_join_next().is_none(), "there is room for neither");
    drop(held);
    assert!(fetches.join_all().await.into_iter().all(|is_there| is_there));
    assert_eq!(room.available_permits(), 250);
}

#[tokio::test(start_paused = true)]
async fn blob_that_comes_slowly_is_waited_for_while_it_moves() {
    let data = blob(1_000_000);
    let hash = BlobHash::of(&data);
    let (connection, guest, _line) = connected_slowly(&keys(1), &keys(2), &env(), 64 * 1024).await;
    let (channel, mut provider) = (begin(connection, room()), guest.connection);
    let answering = async {
        let id = provider.requested().await;
        provider.respond(id, hash, &data).await;
    };
    let begun = Instant::now();
    let (outcome, ()) = tokio::join!(fetch(&channel, hash, 1_000_000), answering);
    assert!(matches!(outcome, Ok(found) if found == data));
    assert!(begun.elapsed() > 2 * STALL);
    // Where nothing moves, patience ends.
    let begun = Instant::now();
    let silent = fetch(&channel, hash, 1_000_000).await;
    assert!(matches!(silent, Err(Trouble::Failed(Failure::Silent))));
    assert!(begun.elapsed() <= STALL + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn texts_that_nobody_asked_for_are_nothing_to_wait_for() {
    let hash = BlobHash::of(&blob(1));
    let (channel, mut provider) = channel(room()).await;
    let chatting = async {
        let id = provider.requested().await;
        loop {
            // Of several records.
            let content = " ".repeat(66 * 1024);
            let chat = DirectMessage::Answer { id: DirectId(id.0 + 1), content };
            provider.outbox.send(chat, None).await.unwrap();
            sleep(STALL / 2).await;
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(3 * STALL, fetch(&channel, hash, 1)) => outcome,
        () = chatting => unreachable!(),
    };
    assert!(matches!(outcome, Ok(Err(Trouble::Failed(Failure::Silent)))), "it is waited for");
}

/// Stores a blob, in one try.
async fn store(channel: &Channel, data: Bytes) -> Result<Answer, Trouble> {
    let pace = Pace { stall_timeout: STALL, ..Pace::default() };
    let mut session = AskSession::<Answer>::new(pace, 1, now());
    let (at, hash) = (Timestamp(1), BlobHash::of(&data));
    let message = |id| {
        let (retention, encrypt, data) = (None, false, data.clone());
        DirectMessage::Store(DirectStore { id, at, retention, encrypt, hash, data })
    };
    channel.run(&mut session, message, None, 0).await
}

async fn want(channel: &Channel) -> Result<Have, Trouble> {
    let pace = Pace { stall_timeout: STALL, ..Pace::default() };
    let mut session = AskSession::<Have>::new(pace, 1, now());
    channel.run(&mut session, |id| DirectMessage::Want { id, hashes: Vec::new() }, None, 0).await
}

impl DirectConnection {
    /// What the next messages are, until `idle` has passed without one.
    async fn kinds(&mut self, idle: Duration) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        while let Ok(received) = self.inbox.next(idle).await {
            kinds.push(match received {
                Received::Message { message: DirectMessage::Store(_), .. } => "store",
                Received::Message { message: DirectMessage::Want { .. }, .. } => "want",
                _ => "other",
            });
        }
        kinds
    }
}

#[tokio::test(start_paused = true)]
async fn questions_that_find_no_place_are_given_up_in_time_and_never_sent() {
    let (channel, mut provider) = channel(room()).await;
    let begun = Instant::now();
    let mut stores = JoinSet::new();
    for _ in 0..40 {
        let channel = channel.clone();
        stores.spawn(async move { store(&channel, blob(500_000)).await.is_err() });
    }
    assert!(stores.join_all().await.into_iter().all(|is_given_up| is_given_up));
    assert!(begun.elapsed() <= STALL + Duration::from_secs(1), "{:?}", begun.elapsed());
    // The first was under way when it was given up.
    assert_eq!(provider.kinds(STALL).await, ["store"]);
    assert!(!channel.is_closed());
}

#[tokio::test(start_paused = true)]
async fn short_questions_go_before_long_ones() {
    let (channel, mut provider) = channel(room()).await;
    let mut asking = JoinSet::new();
    for _ in 0..5 {
        let channel = channel.clone();
        asking.spawn(async move { store(&channel, blob(500_000)).await.is_err() });
    }
    sleep(STALL / 10).await;
    asking.spawn(async move { want(&channel).await.is_err() });
    sleep(STALL / 10).await;
    let kinds = provider.kinds(STALL / 10).await;
    assert_eq!(kinds, ["store", "want", "store", "store", "store", "store"]);
}
