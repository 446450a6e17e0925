//! What outsiders may send: nothing of it grows without a limit, and honest requests go on (invariant I9).

use nostr::{EventBuilder, Tag};

use super::*;
use crate::types::limits::{
    CLIENT_JOB_COUNT_MAX, JOB_COUNT_MAX, REMEMBERED_ANSWER_COUNT_MAX, REPLY_QUEUE_COUNT_MAX,
    SEEN_EVENT_COUNT_MAX, UPLOAD_COUNT_MAX, UPLOADS_LEN_MAX,
};
use crate::wire::{REQUEST_KIND, UPLOAD_KIND, tags};

fn assert_bounded(gauges: Gauges) {
    assert!(gauges.job_count <= JOB_COUNT_MAX, "{gauges:?}");
    assert!(gauges.client_count <= JOB_COUNT_MAX, "{gauges:?}");
    assert!(gauges.upload_count <= UPLOAD_COUNT_MAX && gauges.upload_len <= UPLOADS_LEN_MAX, "{gauges:?}");
    assert!(gauges.seen_count <= SEEN_EVENT_COUNT_MAX, "{gauges:?}");
    assert!(gauges.answered_count <= REMEMBERED_ANSWER_COUNT_MAX + JOB_COUNT_MAX, "{gauges:?}");
    assert!(gauges.reply_count <= REPLY_QUEUE_COUNT_MAX, "{gauges:?}");
}

/// Contents of requests that mean nothing good.
fn nonsense(number: usize) -> String {
    let hash = "ab".repeat(32);
    match number % 12 {
        0 => "{".repeat(1 + number % 500),
        1 => format!(r#"{{"action":"store","hash":"{hash}","size":{},"chunks":{}}}"#, u64::MAX, u32::MAX),
        2 => format!(r#"{{"action":"retrieve","hash":"{hash}","ranges":"0-4294967295"}}"#),
        3 => format!(r#"{{"action":"delete","hashes":[{}]}}"#, vec![format!("\"{hash}\""); 600].join(",")),
        4 => format!(r#"{{"action":"renew","hash":"{hash}","retention":{}}}"#, u64::MAX),
        5 => format!(r#"{{"action":"retrieve","hash":"{}"}}"#, BlobHash::of(&number.to_le_bytes())),
        6 => format!(r#"{{"action":"list","limit":{},"after":"{hash}"}}"#, u32::MAX),
        7 => format!(r#"{{"action":"delete","hash":"{}","req":"{number:x}"}}"#, BlobHash::of(b"none")),
        8 => format!(r#"{{"action":"store","hash":"{number:064x}","size":40000,"chunks":2,"quiet":true}}"#),
        9 => format!(r#"{{"action":"audit","nonce":"{hash}","hashes":["{hash}","{number:064x}"]}}"#),
        10 => format!(
            r#"{{"action":"audit","nonce":"{hash}","hashes":[{}]}}"#,
            vec![format!("\"{hash}\""); 400].join(",")
        ),
        _ => r#"{"action":"store","data":"AAA*"}"#.to_owned(),
    }
}

#[tokio::test]
async fn hostile_events_leave_everything_bounded_and_honest_requests_served() {
    let scene = Scene::new().await;
    let mut honest = scene.client().await;
    let bytes = blob(100_000, 1);
    honest.store(&bytes).await;
    let carrier = scene.hub.carrier();
    let crowd: Vec<Keys> = (0..20).map(|_| Keys::generate()).collect();
    let (provider, now) = (scene.provider().id(), nostr::Timestamp::from_secs(START.0));
    let address = tags::address(provider);
    for number in 0..3_000 {
        let keys = &crowd[number % crowd.len()];
        let builder = if number % 5 == 4 {
            let index = if number % 3 == 0 { "4294967295" } else { "1" };
            let of = [
                ("p", provider.to_string()),
                ("x", format!("{number:064x}")),
                ("chunk_index", index.into()),
                ("chunk_total", "2".into()),
            ];
            let tags = of.into_iter().map(|(name, value)| Tag::parse([name.to_owned(), value]).unwrap());
            EventBuilder::new(Kind::from(UPLOAD_KIND), "AAAA").tags(tags)
        } else {
            let tag = Tag::parse(["a", &address]).unwrap();
            EventBuilder::new(Kind::from(REQUEST_KIND), nonsense(number)).tag(tag)
        };
        let event = builder.custom_created_at(now).sign_with_keys(keys).unwrap();
        carrier.publish(event.clone(), Route::All).await.unwrap();
        if number % 50 == 0 {
            carrier.publish(event, Route::All).await.unwrap();
            assert_bounded(scene.provider().gauges());
            tokio::task::yield_now().await;
        }
    }
    let reply = honest.ask(retrieve(BlobHash::of(&bytes))).await;
    assert_eq!(reply.bytes(), bytes);
    assert_bounded(scene.provider().gauges());
    assert_eq!(scene.provider().stats().blob_count, 1, "the honest one");
}

#[tokio::test(start_paused = true)]
async fn client_that_asks_for_too_much_at_once_is_told_busy() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let bytes = blob(1_000, 1);
    client.store(&bytes).await;
    // As long as the disk is busy with something else, requests pile up.
    let threads = scene.provider().server.threads.clone();
    let all = u32::try_from(threads.available_permits()).unwrap();
    let busy_disk = threads.acquire_many(all).await.unwrap();
    for _ in 0..CLIENT_JOB_COUNT_MAX + 50 {
        let event = client.request(retrieve(BlobHash::of(&bytes)), None);
        client.publish(event).await;
    }
    for _ in 0..50 {
        let status = Status::parse(&client.inbox.next().await.unwrap().event).unwrap();
        assert_eq!(status.kind, StatusKind::Error(ErrorCode::Busy));
    }
    assert_eq!(scene.provider().gauges().job_count, CLIENT_JOB_COUNT_MAX);
    let mut other = scene.client().await;
    let stat = other.ask_numbered(Action::Stat(Hashes::One(BlobHash::of(&bytes)))).await;
    assert!(stat.outcome.is_ok(), "others are served");
    drop(busy_disk);
    let mut served = 0;
    while served < CLIENT_JOB_COUNT_MAX {
        let event = client.inbox.next().await.unwrap().event;
        served += usize::from(event.kind.as_u16() == RESPONSE_KIND);
    }
}

#[tokio::test(start_paused = true)]
async fn events_for_others_are_not_answered() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let honest = client.provider;
    client.provider = crate::types::ProviderId::new([7; 32]);
    let mut event = client.request(retrieve(BlobHash::of(b"x")), None);
    client.publish(event).await;
    client.provider = honest;
    event = client.request(retrieve(BlobHash::of(b"y")), None);
    assert_eq!(client.ask_with(event).await.error(), Some(ErrorCode::FileNotFound));
    assert_eq!(scene.provider().gauges().seen_count, 1);
}
