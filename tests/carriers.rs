//! What every carrier promises, tried on each: within one process, over our relay, and over a relay that nobody here
//! wrote.

use std::sync::Arc;
use std::time::Duration;

use blobdvm::relay::{Relay, RelayOptions};
use blobdvm::transport::memory::{Hub, MemoryCarrier};
use blobdvm::transport::{Carrier, ConnectOptions, Incoming, Relays, Route, Subscription};
use nostr::{Event, EventBuilder, Filter, Keys, Kind, RelayUrl, Tag};
use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{RateLimit, RelayBuilder};
use tokio::task::JoinSet;

const CHUNK: Kind = Kind::Custom(24_212);
const HEAD: Kind = Kind::Custom(30_078);
const WAIT: Duration = Duration::from_secs(5);

/// A relay of some kind that runs until this is dropped, and carriers that are connected to it.
struct Place {
    publisher: Arc<dyn Carrier>,
    reader: Arc<dyn Carrier>,
    _tasks: JoinSet<()>,
    _local: Option<LocalRelay>,
}

async fn hub() -> Place {
    let hub = Hub::new("relay", 1);
    Place { publisher: hub.carrier(), reader: hub.carrier(), _tasks: JoinSet::new(), _local: None }
}

async fn connect(url: RelayUrl) -> Arc<dyn Carrier> {
    Arc::new(Relays::connect(&[url], ConnectOptions::default()).await.unwrap())
}

async fn ours() -> Place {
    let listen = ([127, 0, 0, 1], 0).into();
    let relay = Relay::bind(RelayOptions { listen, ..RelayOptions::default() }).await.unwrap();
    let url = relay.url();
    let mut tasks = JoinSet::new();
    tasks.spawn(relay.run_until(std::future::pending()));
    Place { publisher: connect(url.clone()).await, reader: connect(url).await, _tasks: tasks, _local: None }
}

async fn foreign() -> Place {
    let limit = RateLimit { max_reqs: 500, notes_per_minute: 1_000_000 };
    let local = LocalRelay::new(RelayBuilder::default().rate_limit(limit));
    local.run().await.unwrap();
    let url = local.url().await;
    Place {
        publisher: connect(url.clone()).await,
        reader: connect(url).await,
        _tasks: JoinSet::new(),
        _local: Some(local),
    }
}

fn event(kind: Kind, content: &str, tags: impl IntoIterator<Item = Tag>, keys: &Keys) -> Event {
    EventBuilder::new(kind, content).tags(tags).sign_with_keys(keys).unwrap()
}

async fn next(subscription: &mut Subscription) -> Incoming {
    tokio::time::timeout(WAIT, subscription.next())
        .await
        .expect("an event comes")
        .expect("the carrier is there")
}

async fn live_events_that_match_arrive_once_and_in_order(place: Place) {
    let (keys, other) = (Keys::generate(), Keys::generate());
    let filters = vec![Filter::new().kind(CHUNK).author(keys.public_key())];
    let mut subscription = place.reader.subscribe(filters).await.unwrap();
    for number in 0..50 {
        for keys in [&keys, &other] {
            let event = event(CHUNK, &number.to_string(), [], keys);
            place.publisher.publish(event, Route::All).await.unwrap();
        }
    }
    for number in 0..50 {
        let incoming = next(&mut subscription).await;
        assert_eq!((incoming.event.content, incoming.event.pubkey), (number.to_string(), keys.public_key()));
        assert_eq!(vec![incoming.relay], place.reader.relays());
    }
    assert!(subscription.try_next().is_none());
    assert_eq!(subscription.lost_count(), 0);
}

async fn single_letter_tags_are_filtered(place: Place) {
    let keys = Keys::generate();
    let (wanted, unwanted) = (Keys::generate().public_key(), Keys::generate().public_key());
    let mut subscription =
        place.reader.subscribe(vec![Filter::new().kind(CHUNK).pubkey(wanted)]).await.unwrap();
    for to in [unwanted, wanted] {
        let event = event(CHUNK, "", [Tag::public_key(to)], &keys);
        place.publisher.publish(event, Route::All).await.unwrap();
    }
    assert_eq!(next(&mut subscription).await.event.tags.public_keys().next(), Some(&wanted));
}

async fn newest_of_an_address_is_found(place: Place) {
    let keys = Keys::generate();
    for created_at in [1_700_000_005, 1_700_000_009, 1_700_000_007_u64] {
        let builder = EventBuilder::new(HEAD, created_at.to_string()).tag(Tag::identifier("head"));
        let head = builder.custom_created_at(created_at.into()).sign_with_keys(&keys).unwrap();
        let answers = place.publisher.publish_acknowledged(head, WAIT).await;
        assert_eq!(answers.len(), 1);
    }
    let filter = Filter::new().kind(HEAD).author(keys.public_key()).identifier("head");
    let found = place.reader.query(filter, WAIT).await;
    let found: Vec<_> = found.into_values().flatten().map(|event| event.content).collect();
    assert_eq!(found, ["1700000009"]);
}

async fn nothing_stored_is_an_empty_answer_of_each_relay(place: Place) {
    let filter = Filter::new().kind(HEAD).author(Keys::generate().public_key());
    let found = place.reader.query(filter, WAIT).await;
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(place.reader.relays().remove(0), vec![])]);
}

async fn ephemeral_events_are_not_stored(place: Place) {
    let keys = Keys::generate();
    let event = event(CHUNK, "", [], &keys);
    place.publisher.publish_acknowledged(event, WAIT).await;
    let found = place.reader.query(Filter::new().author(keys.public_key()), WAIT).await;
    assert!(found.into_values().all(|events| events.is_empty()));
}

async fn route_without_connected_relays_is_an_error(place: Place) {
    let route = Route::Only(vec![RelayUrl::parse("ws://nowhere.invalid").unwrap()]);
    let event = event(CHUNK, "", [], &Keys::generate());
    assert!(place.publisher.publish(event, route).await.unwrap_err().is_retryable());
}

async fn route_to_a_relay_that_is_not_connected_leads_to_all(place: Place) {
    let keys = Keys::generate();
    let mut subscription =
        place.reader.subscribe(vec![Filter::new().author(keys.public_key())]).await.unwrap();
    let nowhere = RelayUrl::parse("ws://nowhere.invalid").unwrap();
    for relay in [nowhere, place.publisher.relays().remove(0)] {
        let event = event(CHUNK, relay.as_str(), [], &keys);
        place.publisher.publish(event, Route::First(relay.clone())).await.unwrap();
        assert_eq!(next(&mut subscription).await.event.content, relay.as_str());
    }
    assert!(subscription.try_next().is_none());
}

macro_rules! conformance {
    ($place:ident: $($law:ident),*) => {
        mod $place {
            $(#[tokio::test]
            async fn $law() {
                super::$law(super::$place().await).await;
            })*
        }
    };
    ($($place:ident),* => $laws:tt) => {
        $(conformance!(@ $place $laws);)*
    };
    (@ $place:ident [$($law:ident),*]) => {
        conformance!($place: $($law),*);
    };
}

conformance!(hub, ours, foreign => [
    live_events_that_match_arrive_once_and_in_order,
    single_letter_tags_are_filtered,
    newest_of_an_address_is_found,
    nothing_stored_is_an_empty_answer_of_each_relay,
    ephemeral_events_are_not_stored,
    route_without_connected_relays_is_an_error,
    route_to_a_relay_that_is_not_connected_leads_to_all
]);

/// Publishes to the first of two relays before any other, and looks where it is.
async fn published_to_the_first(carrier: &dyn Carrier) {
    let keys = Keys::generate();
    let [first, second] = carrier.relays().try_into().unwrap();
    let [wanted, marker] = ["wanted", "marker"].map(|name| event(HEAD, "", [Tag::identifier(name)], &keys));
    carrier.publish(wanted.clone(), Route::First(first.clone())).await.unwrap();
    // What comes to a relay by one connection comes in order.
    carrier.publish(marker.clone(), Route::Only(vec![second.clone()])).await.unwrap();
    let both_there = async {
        let filter = Filter::new().author(keys.public_key());
        loop {
            let found = carrier.query(filter.clone(), WAIT).await;
            if found.values().all(|events| !events.is_empty()) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(WAIT, both_there).await.expect("both come where they were sent");
    assert_eq!((&found[&first], &found[&second]), (&vec![wanted], &vec![marker]));
}

#[tokio::test]
async fn route_to_a_first_relay_that_is_connected_leads_to_no_other() {
    published_to_the_first(&MemoryCarrier::new(vec![Hub::new("one", 1), Hub::new("other", 1)])).await;
    let (one, other) = (ours().await, ours().await);
    let urls = [one.reader.relays().remove(0), other.reader.relays().remove(0)];
    published_to_the_first(&Relays::connect(&urls, ConnectOptions::default()).await.unwrap()).await;
}
