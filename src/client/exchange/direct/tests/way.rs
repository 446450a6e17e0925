//! Which way is taken where endpoints fail, with connections that a test makes.

use std::sync::Mutex;

use nostr::RelayUrl;

use super::*;
use crate::client::ProviderTerms;
use crate::client::exchange::direct::way::cipher;
use crate::client::exchange::direct::{DirectWay, Means};
use crate::client::exchange::tests::model::{Manner as ModelManner, Model};
use crate::client::exchange::{
    Acquaintance, CarrierChoice, Exchange, ExchangeError, ExchangeOptions, StoreOptions,
};
use crate::transport::direct::{DirectError, Nearness, Target};
use crate::transport::memory::Hub;
use crate::types::ProviderId;
use crate::wire::Extension;
use crate::wire::direct::DirectCipher;

/// What an endpoint does.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Nothing comes back.
    BlackHole,
    /// Nobody is there.
    Refuses,
    /// The connection ends after the handshake, and after one question.
    Breaks,
    /// Every blob that is asked for is there.
    Serves,
    /// Nothing is ever answered.
    Mute,
}

/// Connections that end as they are told, and where each was to lead.
#[derive(Default)]
struct Line {
    dials: Mutex<Vec<(String, Nearness)>>,
}

impl Line {
    /// Means by which an endpoint behaves as `manner` says, given its address and how many were dialled before.
    fn means(self: &Arc<Self>, manner: impl Fn(&str, usize) -> Manner + Send + Sync + 'static) -> Means {
        let line = self.clone();
        let dial = move |target: Target, keys: Keys, env: Env| {
            let Target { endpoint, nearest, .. } = target;
            let mut dials = line.dials.lock().unwrap();
            let manner = manner(endpoint.as_str(), dials.len());
            dials.push((endpoint.to_string(), nearest));
            let dialling = async move { connect(manner, endpoint, keys, env).await };
            Box::pin(dialling) as crate::client::exchange::direct::way::Dialling
        };
        Means { room: room(), dial: Arc::new(dial) }
    }

    fn count(&self) -> usize {
        self.dials.lock().unwrap().len()
    }
}

async fn connect(
    manner: Manner,
    at: RelayUrl,
    mine: Keys,
    env: Env,
) -> Result<DirectConnection, DirectError> {
    match manner {
        Manner::BlackHole => std::future::pending().await,
        Manner::Refuses => {
            Err(DirectError::Unreachable { endpoint: at.to_string(), why: "refused".to_owned() })
        }
        Manner::Breaks | Manner::Serves | Manner::Mute => {
            let (connection, guest) = connected_as(&mine, &keys(2), &env, lenient(room())).await;
            tokio::spawn(serve(manner, guest.connection));
            Ok(connection)
        }
    }
}

async fn serve(manner: Manner, mut connection: DirectConnection) {
    while let Ok(received) = connection.inbox.next(100 * LONG).await {
        let Received::Message { message: DirectMessage::Request { id, hash }, .. } = received else { return };
        match manner {
            Manner::Breaks => return,
            Manner::Serves => connection.respond(id, hash, &blob(1_000)).await,
            _ => {}
        }
    }
}

fn provider() -> ProviderId {
    ProviderId::new(keys(2).public_key().to_bytes())
}

fn endpoints(count: usize) -> Vec<RelayUrl> {
    (1..=count).map(|last| RelayUrl::parse(&format!("ws://192.0.2.{last}:1")).unwrap()).collect()
}

fn way(count: usize, means: Means) -> DirectWay {
    let terms = ProviderTerms { endpoints: endpoints(count), ..ProviderTerms::base(provider()) };
    DirectWay::new((&terms, Nearness::Far), CarrierChoice::Best, (keys(1), env()), Arc::new(|| {}), means)
}

/// What it took to learn whether there is a connection.
async fn waited(way: &DirectWay) -> (bool, Duration) {
    let begun = Instant::now();
    let channel = way.channel(LONG).await;
    (channel.is_ok(), begun.elapsed())
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn endpoint_that_never_answers_holds_up_nobody_after_the_first_moment() {
    let line = Arc::new(Line::default());
    let way = way(1, line.means(|_, _| Manner::BlackHole));
    let (early, late) = tokio::join!(waited(&way), async {
        sleep(500 * MS).await;
        waited(&way).await
    });
    assert_eq!((early, late), ((false, 800 * MS), (false, 300 * MS)), "both waited from when it was dialled");
    assert_eq!(waited(&way).await, (false, Duration::ZERO));
    // It is left alone, then tried again while nobody waits, and then left alone for longer.
    for (dial_count, rest) in [(1, 30), (2, 60), (3, 120)] {
        for (pause, dial_count) in [(6 + rest - 1, dial_count), (2, dial_count + 1)] {
            sleep(Duration::from_secs(pause)).await;
            assert_eq!(waited(&way).await, (false, Duration::ZERO));
            sleep(MS).await;
            assert_eq!(line.count(), dial_count);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_dialled_beside_one_that_does_not_answer() {
    let line = Arc::new(Line::default());
    let manner = |at: &str, _| if at.contains(".3:") { Manner::Serves } else { Manner::BlackHole };
    let way = way(3, line.means(manner));
    assert_eq!(waited(&way).await, (true, 500 * MS));
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_at_once_are_not_made_again_and_again() {
    let line = Arc::new(Line::default());
    let way = way(1, line.means(|_, _| Manner::Breaks));
    let mut channels = 0;
    for _ in 0..60 {
        if let Ok(channel) = way.channel(LONG).await {
            channels += 1;
            assert!(fetch(&channel, BlobHash::new([1; 32]), 10).await.is_err());
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(line.count() <= 2 && channels <= 2, "{} dials in a minute", line.count());
}

#[tokio::test(start_paused = true)]
async fn connection_that_was_good_is_made_again_at_once() {
    let line = Arc::new(Line::default());
    let way = way(1, line.means(|_, _| Manner::Serves));
    let hash = BlobHash::of(&blob(1_000));
    for count in 1..=3 {
        let channel = way.channel(LONG).await.unwrap_or_else(|error| panic!("{error}"));
        sleep(2 * STALL).await;
        assert!(fetch(&channel, hash, 1_000).await.is_ok());
        // A provider that is asked what it does not know leaves.
        assert!(want(&channel).await.is_err());
        assert!(channel.is_closed());
        assert_eq!(line.count(), count);
    }
}

async fn only_direct(means: Means) -> Exchange {
    let options = ExchangeOptions {
        carrier: CarrierChoice::Direct,
        stall_timeout: 4 * STALL,
        ..ExchangeOptions::default()
    };
    let exchange = Exchange::with_means(Hub::new("relay", 1).carrier(), options, env(), means);
    let terms = ProviderTerms { endpoints: endpoints(1), ..ProviderTerms::base(provider()) };
    exchange.add_provider(terms, keys(1)).await.unwrap();
    exchange
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_other_way_connections_are_tried_until_patience_ends() {
    let hash = BlobHash::of(&blob(1_000));
    let manner = |_: &str, dial_count| match dial_count {
        0..3 => Manner::Refuses,
        3..6 => Manner::Breaks,
        _ => Manner::Serves,
    };
    let line = Arc::new(Line::default());
    let exchange = only_direct(line.means(manner)).await;
    assert_eq!(exchange.fetch(provider(), hash, None).await.unwrap(), blob(1_000));
    assert_eq!(line.count(), 7);

    for manner in [Manner::Refuses, Manner::Breaks] {
        let exchange = only_direct(Arc::new(Line::default()).means(move |_, _| manner)).await;
        let begun = Instant::now();
        let error = exchange.fetch(provider(), hash, Some(1_000)).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Direct { .. } | ExchangeError::Silent { .. }), "{error}");
        assert!(begun.elapsed() > 2 * STALL && begun.elapsed() < 9 * STALL, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_other_way_silence_is_not_remembered() {
    let line = Arc::new(Line::default());
    let manner = |_: &str, dial_count| if dial_count == 0 { Manner::Mute } else { Manner::Serves };
    let exchange = only_direct(line.means(manner)).await;
    let hash = BlobHash::of(&blob(1_000));
    let error = exchange.fetch(provider(), hash, Some(1_000)).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Silent { .. }), "{error}");
    assert_eq!(exchange.fetch(provider(), hash, Some(1_000)).await.unwrap(), blob(1_000));
}

#[tokio::test(start_paused = true)]
async fn strangers_are_asked_over_relays_whether_they_are_there_and_lead_nowhere_near() {
    let hub = Hub::new("relay", 1);
    let model = Model::start(1, false, ModelManner::Good, hub.carrier()).await;
    let terms = ProviderTerms { endpoints: endpoints(8), ..model.terms.clone() };
    for (knowing, probe_count, dial_count, nearest) in [
        (Acquaintance::Stranger, 0, 2, Nearness::Far),
        (Acquaintance::Known, 2, 2, Nearness::Far),
        (Acquaintance::Named, 8, 8, Nearness::Machine),
    ] {
        let line = Arc::new(Line::default());
        let means = line.means(|_, _| Manner::Refuses);
        let exchange = Exchange::with_means(hub.carrier(), ExchangeOptions::default(), env(), means);
        exchange.add(terms.clone(), keys(1), knowing).await.unwrap();
        exchange.probe(model.id(), STALL).await.unwrap();
        sleep(STALL).await;
        assert_eq!(line.count(), probe_count, "{knowing:?}");
        exchange.store(model.id(), blob(10), StoreOptions::default()).await.unwrap();
        sleep(STALL).await;
        assert_eq!(line.count(), dial_count, "{knowing:?}");
        assert!(line.dials.lock().unwrap().iter().all(|(_, near)| *near == nearest));
    }
}

#[test]
fn aes_is_taken_where_it_is_fast_on_both_sides() {
    let plain = ProviderTerms::base(provider());
    let fast = ProviderTerms { extensions: [Extension::Aes].into(), ..plain.clone() };
    for (terms, is_fast_here, expected) in [
        (&fast, true, DirectCipher::Aes256Gcm),
        (&fast, false, DirectCipher::ChaCha20Poly1305),
        (&plain, true, DirectCipher::ChaCha20Poly1305),
    ] {
        assert_eq!(cipher(terms, is_fast_here), expected);
    }
}
