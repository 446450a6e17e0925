//! Strangers and replays (invariant I11), also after a restart.

use super::*;

#[tokio::test(start_paused = true)]
async fn stranger_who_stores_a_copy_and_deletes_it_takes_nothing_from_the_owner() {
    let mut scene = Scene::new().await;
    let (mut owner, mut stranger) = (scene.client().await, scene.client().await);
    let hash = BlobHash::of(b"owned");
    owner.store(b"owned").await;
    assert_eq!(stranger.ask(delete(hash)).await.error(), Some(ErrorCode::FileNotFound));
    stranger.store(b"owned").await;
    assert!(stranger.ask(delete(hash)).await.outcome.is_ok());
    scene.crash().await;
    assert_eq!(owner.ask(retrieve(hash)).await.bytes(), b"owned");
}

#[tokio::test(start_paused = true)]
async fn replayed_delete_does_nothing_also_after_a_restart() {
    for pause in [0, 3] {
        let mut scene = Scene::new().await;
        let mut owner = scene.client().await;
        let hash = BlobHash::of(b"owned");
        owner.store(b"owned").await;
        scene.clock.advance(Duration::from_secs(pause));
        let recorded = owner.request(delete(hash), None);
        assert!(owner.ask_with(recorded.clone()).await.outcome.is_ok());
        scene.clock.advance(Duration::from_secs(pause));
        owner.store(b"owned").await;
        owner.publish(recorded.clone()).await;
        assert_eq!(owner.ask(retrieve(hash)).await.bytes(), b"owned", "pause {pause}");
        scene.crash().await;
        // A hub hands an id on once; a relay that does not remember hands it on again.
        let mut owner_again = scene.client().await;
        owner_again.keys = owner.keys.clone();
        let fresh = Hub::new("other", 2);
        let (keys, env) = (scene.keys.clone(), scene.env.clone());
        let store = scene.provider().store().clone();
        let second = Provider::start(store, keys, scene.options.clone(), fresh.carrier(), env).await.unwrap();
        fresh.carrier().publish(recorded, Route::All).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(owner.ask(retrieve(hash)).await.bytes(), b"owned", "pause {pause}, after a restart");
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_delete_request_gets_the_answer_of_the_first() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let hash = BlobHash::of(b"twice");
    client.store(b"twice").await;
    for _ in 0..2 {
        let event = client.request(delete(hash), Some(42));
        assert_eq!(client.ask_with(event).await.outcome, Ok(Answer::Deleted(hash)));
    }
    let event = client.request(delete(hash), Some(43));
    assert_eq!(client.ask_with(event).await.error(), Some(ErrorCode::FileNotFound));
}

#[tokio::test(start_paused = true)]
async fn receipted_blob_outlives_a_crash() {
    let mut scene = Scene::new().await;
    let mut client = scene.client().await;
    for number in 0..10 {
        let bytes = blob(50_000, number);
        assert!(client.store(&bytes).await.outcome.is_ok());
        scene.crash().await;
    }
    for number in 0..10 {
        let bytes = blob(50_000, number);
        assert_eq!(client.ask(retrieve(BlobHash::of(&bytes))).await.bytes(), bytes);
    }
}
