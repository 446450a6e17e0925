//! What a hub does, with faults and without.

use std::sync::Arc;
use std::time::Duration;

use nostr::{Event, EventBuilder, Filter, Keys, Kind, Tag};

use super::{Faults, Hub, MemoryCarrier};
use crate::transport::{Carrier, Route, TransportError};

const CHUNK: Kind = Kind::Custom(24_212);
const SECOND: Duration = Duration::from_secs(1);

fn event(kind: Kind, content: &str) -> Event {
    EventBuilder::new(kind, content).sign_with_keys(&Keys::generate()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn dropped_deliveries_are_counted_and_the_publisher_learns_nothing() {
    let hub = Hub::new("a", 1);
    hub.set_faults(Faults { drop_permille: 300, ..Faults::default() });
    let carrier = hub.carrier();
    let mut subscription = carrier.subscribe(vec![Filter::new().kind(CHUNK)]).await.unwrap();
    for number in 0..200 {
        carrier.publish(event(CHUNK, &number.to_string()), Route::All).await.unwrap();
    }
    let counts = hub.counts();
    assert_eq!((counts.published, counts.delivered + counts.dropped), (200, 200));
    assert!((30..90).contains(&counts.dropped), "{counts:?}");
    let mut received = 0;
    while subscription.try_next().is_some() {
        received += 1;
    }
    assert_eq!(received, counts.delivered);
}

#[tokio::test(start_paused = true)]
async fn delayed_deliveries_arrive_later_in_another_order() {
    let hub = Hub::new("a", 1);
    hub.set_faults(Faults { delay_permille: 1_000, delay: SECOND..10 * SECOND, ..Faults::default() });
    let carrier = hub.carrier();
    let mut subscription = carrier.subscribe(vec![Filter::new()]).await.unwrap();
    for number in 10..30 {
        carrier.publish(event(CHUNK, &number.to_string()), Route::All).await.unwrap();
    }
    assert!(subscription.try_next().is_none());
    let mut order = Vec::new();
    for _ in 10..30 {
        order.push(subscription.next().await.unwrap().event.content);
    }
    assert!(!order.is_sorted());
    order.sort();
    assert_eq!(order, (10..30).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn repeated_deliveries_reach_the_reader_twice() {
    let hub = Hub::new("a", 1);
    hub.set_faults(Faults { repeat_permille: 1_000, ..Faults::default() });
    let carrier = hub.carrier();
    let mut subscription = carrier.subscribe(vec![Filter::new()]).await.unwrap();
    carrier.publish(event(CHUNK, ""), Route::All).await.unwrap();
    let first = subscription.next().await.unwrap();
    assert_eq!(subscription.next().await, Some(first));
}

#[tokio::test(start_paused = true)]
async fn disconnected_hub_takes_and_answers_nothing_and_comes_back() {
    let hub = Hub::new("a", 1);
    let carrier = hub.carrier();
    let mut subscription = carrier.subscribe(vec![Filter::new()]).await.unwrap();
    hub.disconnect();
    let refused = carrier.publish(event(CHUNK, ""), Route::All).await;
    assert!(matches!(refused, Err(TransportError::NotConnected { configured_count: 1 })));
    assert!(carrier.query(Filter::new(), SECOND).await.is_empty());
    hub.reconnect();
    carrier.publish(event(CHUNK, "after"), Route::All).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().event.content, "after");
}

#[tokio::test(start_paused = true)]
async fn forgotten_subscriptions_are_renewed() {
    let hub = Hub::new("a", 1);
    let carrier = hub.carrier();
    let mut subscription = carrier.subscribe(vec![Filter::new()]).await.unwrap();
    hub.forget_subscriptions(60 * SECOND);
    carrier.publish(event(CHUNK, "lost"), Route::All).await.unwrap();
    tokio::time::sleep(61 * SECOND).await;
    carrier.publish(event(CHUNK, "found"), Route::All).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().event.content, "found");
}

#[tokio::test(start_paused = true)]
async fn refusing_and_silent_hubs_are_told_apart() {
    let (refusing, silent, working) = (Hub::new("a", 1), Hub::new("b", 1), Hub::new("c", 1));
    refusing.set_faults(Faults { refuse: Some("blocked: no".into()), ..Faults::default() });
    silent.set_faults(Faults { silent: true, ..Faults::default() });
    let hubs = [&refusing, &silent, &working];
    let carrier = MemoryCarrier::new(hubs.map(Clone::clone).to_vec());
    let announcement = event(Kind::Custom(31_999), "");
    let answers = carrier.publish_acknowledged(announcement.clone(), SECOND).await;
    assert_eq!(answers[&refusing.url()], Err("blocked: no".into()));
    assert_eq!(answers[&silent.url()], Err("no answer".into()));
    assert_eq!(answers[&working.url()], Ok(()));
    let found = carrier.query(Filter::new().kind(announcement.kind), SECOND).await;
    assert_eq!(found.into_values().collect::<Vec<_>>(), [vec![], vec![announcement]]);
}

#[tokio::test(start_paused = true)]
async fn forged_event_is_refused() {
    let hub = Hub::new("a", 1);
    let mut forged = event(CHUNK, "true");
    forged.content = "false".into();
    let answers = hub.carrier().publish_acknowledged(forged, SECOND).await;
    assert!(answers[&hub.url()].is_err());
    assert_eq!(hub.counts().published, 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_subscription_leaves_the_hub() {
    let hub = Hub::new("a", 1);
    let carrier: Arc<dyn Carrier> = hub.carrier();
    let subscription = carrier.subscribe(vec![Filter::new()]).await.unwrap();
    assert_eq!(hub.subscription_count(), 1);
    drop(subscription);
    assert_eq!(hub.subscription_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_an_address_is_kept() {
    let hub = Hub::new("a", 1);
    let carrier = hub.carrier();
    let keys = Keys::generate();
    for created_at in [5, 9, 7] {
        let builder = EventBuilder::new(Kind::Custom(30_078), created_at.to_string());
        let head = builder.tag(Tag::identifier("d")).custom_created_at(created_at.into());
        carrier.publish(head.sign_with_keys(&keys).unwrap(), Route::All).await.unwrap();
    }
    let stored = hub.stored(&Filter::new());
    assert_eq!(stored.iter().map(|event| event.content.as_str()).collect::<Vec<_>>(), ["9"]);
}
