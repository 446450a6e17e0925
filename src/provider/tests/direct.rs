//! Clients that come without relays, over pipes.

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::transport::direct::tests::pipes::connected_as;
use crate::transport::direct::{DirectConnection, Intake, Received, Rest, StoresUpTo};
use crate::types::ClientId;
use crate::types::limits::{DIRECT_ROOM_WAIT_MAX, DIRECT_STALL_MAX, HOLD_WAIT_MAX};
use crate::wire::{DirectId, DirectMessage, DirectStore};

const MOMENT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

/// A client of the provider's, connected, and what serves it.
struct Visit {
    connection: DirectConnection,
    serving: JoinHandle<()>,
    close: watch::Sender<bool>,
    rest: Arc<Rest>,
}

impl Scene {
    async fn visit(&self, keys: &Keys) -> Visit {
        let (len_max, rooms) = (self.options.max_file_size, vec![self.intake.clone()]);
        let judge = Arc::new(StoresUpTo { len_max, rest: Rest::begin() });
        let intake = Intake { judge, rooms, wait: DIRECT_ROOM_WAIT_MAX };
        let (connection, guest) = connected_as(keys, &self.keys, &self.env, intake).await;
        let (close, closing) = watch::channel(false);
        let rest = guest.rest.clone();
        let serving = tokio::spawn(self.provider().server.clone().serve_guest(guest, closing));
        Visit { connection, serving, close, rest }
    }

    /// Nothing is read from the disk or written to it until this is dropped.
    async fn held_disk(&self) -> OwnedSemaphorePermit {
        let threads = self.provider().server.threads.clone();
        let count = u32::try_from(threads.available_permits()).unwrap();
        threads.acquire_many_owned(count).await.unwrap()
    }
}

impl Visit {
    async fn send(&self, message: DirectMessage) {
        self.connection.outbox.send(message, None).await.unwrap();
    }

    async fn next(&mut self) -> DirectMessage {
        match self.connection.inbox.next(LONG).await.unwrap() {
            Received::Message { message, .. } => message,
            Received::PassedOver { why, .. } => panic!("passed over: {why:?}"),
        }
    }
}

fn client_of(keys: &Keys) -> ClientId {
    ClientId::new(keys.public_key().to_bytes())
}

/// A blob that the client has stored.
async fn stored(client: &mut Client, len: usize) -> (BlobHash, Vec<u8>) {
    let bytes = blob(len, 1);
    client.store(&bytes).await.outcome.unwrap();
    (BlobHash::of(&bytes), bytes)
}

fn ask_to_delete(hash: BlobHash) -> DirectMessage {
    DirectMessage::ask(DirectId(1), START, &delete(hash), Some(RequestNumber(7)))
}

#[tokio::test(start_paused = true)]
async fn delete_cut_off_by_its_client_comes_to_its_end_and_is_answered_by_another_way() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let keys = client.keys.clone();
    let (hash, _) = stored(&mut client, 100_000).await;

    let disk = scene.held_disk().await;
    let visit = scene.visit(&keys).await;
    visit.send(ask_to_delete(hash)).await;
    sleep(MOMENT).await;
    assert_eq!(scene.provider().gauges().job_count, 1, "it waits for the disk");
    drop(visit.connection);
    sleep(MOMENT).await;
    assert_eq!(scene.provider().gauges().job_count, 1, "and still does, now that nobody waits for it");
    drop(disk);
    visit.serving.await.unwrap();
    assert_eq!(scene.provider().store().claim(&client_of(&keys), &hash), None);
    assert_eq!(scene.provider().gauges().job_count, 0);

    let again = client.request(delete(hash), Some(7));
    assert_eq!(client.ask_with(again).await.outcome, Ok(Answer::Deleted(hash)));
}

#[tokio::test(start_paused = true)]
async fn delete_that_is_dropped_midway_may_be_tried_again() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let keys = client.keys.clone();
    let (hash, _) = stored(&mut client, 100_000).await;

    let disk = scene.held_disk().await;
    let visit = scene.visit(&keys).await;
    visit.send(ask_to_delete(hash)).await;
    sleep(MOMENT).await;
    assert_eq!(scene.provider().gauges().answered_count, 1);
    visit.serving.abort();
    visit.serving.await.unwrap_err();
    assert_eq!(scene.provider().gauges().answered_count, 0, "nothing waits for what never ends");
    drop(disk);
    let again = client.request(delete(hash), Some(7));
    assert_eq!(client.ask_with(again).await.outcome, Ok(Answer::Deleted(hash)));
}

#[tokio::test(start_paused = true)]
async fn provider_that_stops_answers_first_what_was_begun() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (hash, _) = stored(&mut client, 100_000).await;

    let disk = scene.held_disk().await;
    let mut visit = scene.visit(&client.keys).await;
    visit.send(ask_to_delete(hash)).await;
    sleep(MOMENT).await;
    visit.close.send_replace(true);
    sleep(MOMENT).await;
    drop(disk);
    let DirectMessage::Answer { content, .. } = visit.next().await else { panic!("it is answered") };
    assert_eq!(DirectMessage::read_answer(&content).unwrap(), Answer::Deleted(hash));
    visit.serving.await.unwrap();
    assert!(visit.connection.inbox.next(LONG).await.is_err(), "and then the connection ends");
}

#[tokio::test(start_paused = true)]
async fn blob_counts_as_under_way_until_its_last_byte_has_left() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (hash, bytes) = stored(&mut client, 3_000_000).await;
    let room = scene.provider().server.held_directly.clone();
    let all = room.available_permits();

    let mut visit = scene.visit(&client.keys).await;
    visit.send(DirectMessage::Request { id: DirectId(1), hash }).await;
    sleep(MOMENT).await;
    assert_eq!((scene.provider().gauges().job_count, all - room.available_permits()), (1, 2_930));
    assert!(matches!(visit.next().await, DirectMessage::Response { data, .. } if data == bytes));
    sleep(MOMENT).await;
    assert_eq!((scene.provider().gauges().job_count, all - room.available_permits()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn clients_that_take_nothing_hold_up_others_for_seconds_and_those_on_relays_not_at_all() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (hash, bytes) = stored(&mut client, 10 << 20).await;
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let visit = scene.visit(&Keys::generate()).await;
        for id in 0..20 {
            visit.send(DirectMessage::Request { id: DirectId(id), hash }).await;
        }
        greedy.push(visit);
    }
    sleep(MOMENT).await;
    let begun = Instant::now();
    let mut honest = scene.visit(&Keys::generate()).await;
    honest.send(DirectMessage::Request { id: DirectId(1), hash }).await;
    assert_eq!(client.ask(retrieve(hash)).await.bytes(), bytes);
    assert!(begun.elapsed() < HOLD_WAIT_MAX, "relays have room of their own");
    let answer = honest.next().await;
    assert!(matches!(answer, DirectMessage::Error { code: ErrorCode::Busy, .. }), "{answer:?}");
    assert!(begun.elapsed() <= HOLD_WAIT_MAX + MOMENT);
    // Whoever takes nothing is cut off, and then there is room.
    sleep(2 * DIRECT_STALL_MAX).await;
    honest.send(DirectMessage::Request { id: DirectId(2), hash }).await;
    assert!(matches!(honest.next().await, DirectMessage::Response { data, .. } if data == bytes));
}

fn store_of(id: u32, data: Vec<u8>) -> DirectMessage {
    let (id, hash, data) = (DirectId(id), BlobHash::of(&data), Bytes::from(data));
    DirectMessage::Store(DirectStore { id, at: START, retention: None, encrypt: false, hash, data })
}

fn refused(message: &DirectMessage, id: u32) -> ErrorCode {
    match message {
        DirectMessage::Error { id: DirectId(found), code, .. } if *found == id => code.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn stores_that_are_too_large_or_find_no_room_are_refused_and_the_connection_goes_on() {
    let mut scene =
        Scene::with(ProviderOptions { max_file_size: 200_000, ..ProviderOptions::default() }).await;
    scene.intake = Arc::new(Semaphore::new(200));
    let mut visit = scene.visit(&Keys::generate()).await;
    // It would not even find room.
    visit.send(store_of(1, blob(300_000, 1))).await;
    assert_eq!(refused(&visit.next().await, 1), ErrorCode::FileTooLarge);
    visit.send(store_of(2, blob(200_000, 1))).await;
    assert!(matches!(visit.next().await, DirectMessage::Answer { .. }));
    let taken = scene.intake.clone().acquire_many_owned(100).await.unwrap();
    visit.send(store_of(3, blob(150_000, 1))).await;
    assert_eq!(refused(&visit.next().await, 3), ErrorCode::Busy);
    drop(taken);
    visit.send(store_of(4, blob(150_000, 1))).await;
    assert!(matches!(visit.next().await, DirectMessage::Answer { .. }));
    assert_eq!(scene.intake.available_permits(), 200);
}

#[tokio::test(start_paused = true)]
async fn client_rests_when_its_last_answer_has_left_and_goes_when_its_place_is_needed() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let (hash, _) = stored(&mut client, 3_000_000).await;
    let mut visit = scene.visit(&client.keys).await;
    visit.send(DirectMessage::Request { id: DirectId(1), hash }).await;
    sleep(MOMENT).await;
    assert_eq!(visit.rest.since(), None, "its blob has not left");
    visit.next().await;
    let left_at = Instant::now();
    sleep(MOMENT).await;
    assert_eq!(visit.rest.since(), Some(left_at));
    visit.rest.ask_to_leave();
    visit.serving.await.unwrap();
    assert!(visit.connection.inbox.next(LONG).await.is_err());
}
