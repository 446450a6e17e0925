//! Laws of the Blossom server, over real sockets: mostly in plain text, so that they hold for any client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nostr::Keys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::env::{Env, ManualClock};
use crate::store::{BlobStore, SimDisk, StoreOptions};
use crate::transport::blossom::{BlossomClient, BlossomError};
use crate::types::{BlobHash, Timestamp};
use crate::wire::blossom::{Grant, Verb};

const START: Timestamp = Timestamp(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a simulated disk.
struct Scene {
    url: String,
    keys: Keys,
    clock: Arc<ManualClock>,
    env: Env,
    store: Arc<BlobStore>,
    _serving: JoinSet<()>,
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(|options| options).await
    }

    async fn with(change: impl FnOnce(BlossomOptions) -> BlossomOptions) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let env = Env::seeded(1, clock.clone());
        let disk = Arc::new(SimDisk::new());
        let store = BlobStore::open(disk, StoreOptions::default(), env.clone()).unwrap();
        let store = Arc::new(store);
        let options = BlossomOptions::new(([127, 0, 0, 1], 0).into());
        let options = change(BlossomOptions { max_file_size: MAX, retention: 10 * DAY, ..options });
        let server = BlossomServer::bind(options, store.clone(), env.clone()).await.unwrap();
        let url = server.url();
        let mut serving = JoinSet::new();
        serving.spawn(server.run());
        Self { url, keys: Keys::generate(), clock, env, store, _serving: serving }
    }

    fn client(&self) -> BlossomClient {
        BlossomClient::new(&self.url, self.keys.clone(), PATIENCE, self.env.clone()).unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Sends these bytes, and reads until the server has nothing more to say.
    async fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ended_by_reset = stream.read_to_end(&mut answer).await;
        answer
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        Answer::read(&self.say(&[request.as_bytes(), body].concat()).await)
    }

    fn token(&self, verb: Verb, hash: BlobHash) -> String {
        let expires = self.env.now().saturating_add(Duration::from_secs(60));
        Grant::of_blob(verb, hash, expires).header(&self.keys, self.env.now())
    }

    async fn upload(&self, token: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let len = body.len().to_string();
        let mut headers = vec![("Authorization", token), ("Content-Length", &len)];
        headers.extend(more);
        self.ask("PUT", "/upload", &headers, body).await
    }

    fn is_empty(&self) -> bool {
        self.store.stats().blob_count == 0
    }
}

#[tokio::test]
async fn blob_is_stored_described_read_and_given_up() {
    let scene = Scene::new().await;
    let (blob, hash) = (b"a blob", BlobHash::of(b"a blob"));
    let stored = scene.upload(&scene.token(Verb::Upload, hash), &[], blob).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let described: serde_json::Value = serde_json::from_slice(&stored.body).unwrap();
    assert_eq!(described["url"], format!("http://here/{hash}.bin"));
    assert_eq!(described["sha256"], hash.to_string());
    assert_eq!((described["size"].as_u64(), described["uploaded"].as_u64()), (Some(6), Some(START.0)));
    assert_eq!(described["type"], "application/octet-stream");
    let again = scene.upload(&scene.token(Verb::Upload, hash), &[], blob).await;
    assert_eq!(again.status, 200, "it is there already");

    for path in [format!("/{hash}"), format!("/{hash}.pdf")] {
        let got = scene.ask("GET", &path, &[], b"").await;
        assert_eq!((got.status, got.body.as_slice()), (200, &blob[..]));
        assert!(
            got.has("access-control-allow-origin: *") && got.has("content-type: application/octet-stream")
        );
        let looked = scene.ask("HEAD", &path, &[], b"").await;
        assert_eq!((looked.status, looked.body.len()), (200, 0));
        assert!(looked.has("content-length: 6") && looked.has("accept-ranges: bytes"), "{looked:?}");
    }
    let client = crate::wire::author_as_client(
        &Grant::of_blob(Verb::Get, hash, START).to_draft().sign(&scene.keys, START),
    );
    let claim = scene.store.claim(&client, &hash).expect("whoever stores has a claim");
    assert_eq!(claim.expires, START.saturating_add(10 * DAY));

    let (token, path) = (scene.token(Verb::Delete, hash), format!("/{hash}"));
    for (status, why) in [(204, "it is one's own"), (404, "there is no claim any more")] {
        let given_up = scene.ask("DELETE", &path, &[("Authorization", &token)], b"").await;
        assert_eq!(given_up.status, status, "{why}");
    }
    assert_eq!(scene.ask("GET", &path, &[], b"").await.status, 404);
    assert!(scene.is_empty());
}

#[tokio::test]
async fn upload_without_a_fitting_token_stores_nothing() {
    let scene = Scene::new().await;
    let (blob, hash) = (b"a blob", BlobHash::of(b"a blob"));
    let (other, now) = (BlobHash::of(b"another"), START);
    let grant = Grant::of_blob(Verb::Upload, hash, Timestamp(now.0 + 60));
    let elsewhere = Grant { servers: vec!["blobs.example.com".to_owned()], ..grant.clone() };
    let of_any = Grant { hashes: Vec::new(), ..grant.clone() };
    let of_two_others = Grant { hashes: vec![other, BlobHash::of(b"")], ..grant.clone() };
    let forever = Grant { expires: Timestamp(u64::MAX), ..grant.clone() };
    for (token, why) in [
        (scene.token(Verb::Delete, hash), "something else"),
        (scene.token(Verb::Upload, other), "does not name this blob"),
        (of_any.header(&scene.keys, now), "does not name this blob"),
        (of_two_others.header(&scene.keys, now), "does not name this blob"),
        (Grant { expires: now, ..grant.clone() }.header(&scene.keys, now), "expired"),
        (forever.header(&scene.keys, Timestamp(now.0 - 121)), "120 s"),
        (forever.header(&scene.keys, Timestamp(now.0 + 121)), "120 s"),
        (elsewhere.header(&scene.keys, now), "another server"),
        ("Nostr e30".to_owned(), "no event"),
        ("Bearer e30".to_owned(), "scheme"),
    ] {
        let answer = scene.upload(&token, &[], blob).await;
        assert_eq!(answer.status, 401, "{why}: {answer:?}");
        assert!(answer.head.contains(why), "{why}: {answer:?}");
    }
    let len = [("Content-Length", "6")];
    assert_eq!(scene.ask("PUT", "/upload", &len, blob).await.status, 401, "nobody asks");
    assert!(scene.is_empty());
    let here = Grant { servers: vec!["127.0.0.1".to_owned()], ..grant };
    assert_eq!(scene.upload(&here.header(&scene.keys, now), &[], blob).await.status, 201);
}

#[tokio::test]
async fn upload_of_other_bytes_or_too_many_or_of_unknown_length_stores_nothing() {
    let scene = Scene::new().await;
    let hash = BlobHash::of(b"a blob");
    let (token, name) = (scene.token(Verb::Upload, hash), hash.to_string());
    let wrong = scene.upload(&token, &[("X-SHA-256", &name)], b"b blob").await;
    assert_eq!(wrong.status, 409, "{wrong:?}");
    assert_eq!(scene.upload(&token, &[], b"b blob").await.status, 401, "the token is not for these bytes");
    assert_eq!(scene.upload(&token, &[("X-SHA-256", "abc")], b"a blob").await.status, 400);
    let large = vec![7; usize::try_from(MAX).unwrap() + 1];
    let token_of = |blob: &[u8]| scene.token(Verb::Upload, BlobHash::of(blob));
    let refused = scene.upload(&token_of(&large), &[], &large).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    let chunked = [("Authorization", &*token), ("Transfer-Encoding", "chunked")];
    assert_eq!(scene.ask("PUT", "/upload", &chunked, b"6\r\na blob\r\n0\r\n\r\n").await.status, 411);
    assert!(scene.is_empty());
    let largest = &large[1..];
    assert_eq!(scene.upload(&token_of(largest), &[], largest).await.status, 201);
}

#[tokio::test]
async fn part_of_a_blob_can_be_read() {
    let scene = Scene::new().await;
    let (blob, hash) = (b"0123456789", BlobHash::of(b"0123456789"));
    scene.upload(&scene.token(Verb::Upload, hash), &[], blob).await;
    for (range, status, header, body) in [
        ("bytes=2-4", 206, "content-range: bytes 2-4/10", &b"234"[..]),
        ("bytes=8-", 206, "content-range: bytes 8-9/10", b"89"),
        ("bytes=-1", 206, "content-range: bytes 9-9/10", b"9"),
        ("bytes=10-", 416, "content-range: bytes */10", b""),
        ("bytes=1-2,4-5", 200, "content-length: 10", blob),
    ] {
        let got = scene.ask("GET", &format!("/{hash}"), &[("Range", range)], b"").await;
        assert_eq!((got.status, got.body.as_slice()), (status, body), "{range}");
        assert!(got.has(header), "{range}: {got:?}");
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_blob_is_refused() {
    let scene = Scene::new().await;
    let nothing = BlobHash::of(b"").to_string();
    for (method, path, status) in [
        ("GET", "/", 400),
        ("GET", "/../etc/passwd", 400),
        ("GET", &*format!("/{}", nothing.to_uppercase()), 400),
        ("GET", &format!("/{nothing}"), 404),
        ("HEAD", &format!("/{nothing}"), 404),
        ("DELETE", &format!("/{nothing}"), 401),
        ("DELETE", "/upload", 400),
        ("POST", "/upload", 405),
        ("OPTIONS", "/upload", 204),
    ] {
        let answer = scene.ask(method, path, &[], b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.has("access-control-allow-origin: *"), "{method} {path}: {answer:?}");
    }
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = scene.say(endless.as_bytes()).await;
    assert!(answer.is_empty() || Answer::read(&answer).status >= 400, "a head has an end");
}

#[tokio::test]
async fn lapsed_blob_is_gone_and_a_recorded_token_is_of_no_use() {
    let scene = Scene::new().await;
    let (blob, hash) = (b"a blob", BlobHash::of(b"a blob"));
    let token = scene.token(Verb::Upload, hash);
    assert_eq!(scene.upload(&token, &[], blob).await.status, 201);
    let path = format!("/{hash}");
    let recorded = scene.token(Verb::Delete, hash);
    // In steps, because a clock that jumps over a day makes promises stand still.
    for _ in 0..21 {
        scene.clock.advance(DAY / 2);
        scene.store.tick().unwrap();
    }
    assert_eq!(scene.ask("GET", &path, &[], b"").await.status, 404);
    assert_eq!(scene.upload(&token, &[], blob).await.status, 401);
    assert_eq!(scene.ask("DELETE", &path, &[("Authorization", &recorded)], b"").await.status, 401);
    assert_eq!(scene.upload(&scene.token(Verb::Upload, hash), &[], blob).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn connection_that_stands_still_is_ended() {
    let scene = Scene::new().await;
    let hash = BlobHash::of(b"a blob");
    let token = scene.token(Verb::Upload, hash);
    let half =
        format!("PUT /upload HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 6\r\n\r\na b");
    for bytes in ["", "GET /", &half] {
        let answer = scene.say(bytes.as_bytes()).await;
        assert!(answer.is_empty() || Answer::read(&answer).status >= 400, "{bytes:.20}");
    }
    assert!(scene.is_empty());
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let scene = Scene::with(|options| BlossomOptions { connection_count_max: 4, ..options }).await;
    let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.connect().await;
        stream.write_all(head).await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        kept.push(stream);
    }
    assert!(scene.say(head).await.is_empty(), "closed without a word");
    kept.clear();
    while scene.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn our_client_and_our_server_understand_each_other() {
    let scene = Scene::with(|options| BlossomOptions { max_file_size: 10_000_000, ..options }).await;
    let client = scene.client();
    for len in [0, 1, 100_000, 3_000_000] {
        let blob = Bytes::from(vec![7; len]);
        let hash = BlobHash::of(&blob);
        assert!(!client.has(hash).await.unwrap());
        assert_eq!(client.store(blob.clone()).await.unwrap().sha256, hash);
        assert!(client.has(hash).await.unwrap());
        assert_eq!(client.fetch(hash, len as u64).await.unwrap(), blob);
        if len > 0 {
            let short = client.fetch(hash, len as u64 - 1).await;
            assert!(matches!(short, Err(BlossomError::TooLong { .. })), "{short:?}");
        }
        client.delete(hash).await.unwrap();
        client.delete(hash).await.unwrap();
        assert!(matches!(client.fetch(hash, 1).await, Err(BlossomError::Refused { status: 404, .. })));
    }
    let large = client.store(Bytes::from(vec![7; 10_000_001])).await.unwrap_err();
    let is_refused = matches!(large, BlossomError::Refused { status: 413, .. } | BlossomError::Broken { .. });
    assert!(is_refused, "{large}");
}

#[tokio::test]
async fn client_takes_no_bytes_that_are_not_the_blob() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut liar = JoinSet::new();
    liar.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nb blob").await;
        }
    });
    let client = BlossomClient::new(&url, Keys::generate(), PATIENCE, Env::system()).unwrap();
    let hash = BlobHash::of(b"a blob");
    assert!(matches!(client.fetch(hash, 6).await, Err(BlossomError::Corrupt { .. })));
    let stored = client.store(Bytes::from_static(b"a blob")).await;
    assert!(matches!(stored, Err(BlossomError::Corrupt { .. })));
}

#[tokio::test(start_paused = true)]
async fn client_waits_for_a_mute_server_no_longer_than_it_was_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = BlossomClient::new(&url, Keys::generate(), PATIENCE, Env::system()).unwrap();
    let silent = client.fetch(BlobHash::of(b""), 0).await.unwrap_err();
    assert!(matches!(silent, BlossomError::Silent { seconds: 10, .. }), "{silent}");
}
