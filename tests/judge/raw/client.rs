//! The simplest client of the base protocol: a whole file in one event, answers by the request's id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::event::{Event, Keys, now, sha256_hex};
use super::link::Link;
use super::{IDENTIFIER, kind};

/// Speaks to one provider over one relay.
pub(crate) struct Client {
    pub(crate) keys: Keys,
    pub(crate) link: Link,
    url: String,
    provider: String,
    asked: BTreeSet<String>,
}

/// The provider's answer, and the chunk events of the blob that came until then.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) request: Event,
    pub(crate) response: Event,
    pub(crate) content: Value,
    pub(crate) chunks: BTreeMap<usize, Vec<u8>>,
}

/// The provider's refusal.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) event: Event,
    /// The code at the start of the text.
    pub(crate) code: String,
}

/// All providers that announce themselves.
pub(crate) async fn discover(url: &str) -> Vec<Event> {
    let filter = json!({"kinds": [kind::ANNOUNCEMENT], "#k": ["24210"], "limit": 50});
    Link::open(url).await.subscribe("discover", &[filter]).await
}

impl Client {
    /// Connects with a new key.
    pub(crate) async fn connect(url: &str, provider: &str) -> Self {
        Self {
            keys: Keys::generate(),
            link: Link::open(url).await,
            url: url.to_owned(),
            provider: provider.to_owned(),
            asked: BTreeSet::new(),
        }
    }

    /// The same connection, with the key of another client.
    pub(crate) fn with_keys_of(self, other: &Self) -> Self {
        Self { keys: other.keys.clone(), ..self }
    }

    /// Stores bytes in one event.
    pub(crate) async fn store(&mut self, bytes: &[u8]) -> Result<Receipt, Failure> {
        let body = json!({"action": "store", "data": BASE64.encode(bytes), "filename": "x.jpg"});
        self.ask(&body, &sha256_hex(bytes)).await
    }

    /// Retrieves a blob and verifies it.
    pub(crate) async fn retrieve(&mut self, hash: &str) -> Result<Vec<u8>, Failure> {
        let receipt = self.ask(&json!({"action": "retrieve", "hash": hash}), hash).await?;
        assert_eq!(receipt.content["status"], "available", "{receipt:?}");
        let bytes = receipt.chunks.into_values().collect::<Vec<_>>().concat();
        assert_eq!(sha256_hex(&bytes), hash, "the blob has its hash");
        Ok(bytes)
    }

    /// Deletes a blob, as a client does that knows only the base protocol: also within the second of its store.
    pub(crate) async fn delete(&mut self, hash: &str) -> Result<Receipt, Failure> {
        self.ask(&json!({"action": "delete", "hash": hash}), hash).await
    }

    /// A signed request.
    pub(crate) fn request(&self, body: &Value) -> Event {
        let address = format!("{}:{}:{IDENTIFIER}", kind::ANNOUNCEMENT, self.provider);
        let tags: [&[&str]; 2] = [&["a", &address], &["relays", &self.url]];
        self.keys.sign(kind::REQUEST, &tags, &body.to_string())
    }

    /// Sends a request about `hash`, and waits until it is answered and the chunks that the answer speaks of are there.
    ///
    /// The same request in the same second would be the same event, which relays pass on once: so that one waits.
    pub(crate) async fn ask(&mut self, body: &Value, hash: &str) -> Result<Receipt, Failure> {
        if self.asked.contains(&self.request(body).id) {
            next_second().await;
        }
        self.send(self.request(body), hash).await
    }

    async fn send(&mut self, request: Event, hash: &str) -> Result<Receipt, Failure> {
        self.asked.insert(request.id.clone());
        let name = format!("request-{}", self.asked.len());
        let answers = json!({"kinds": [kind::RESPONSE, kind::STATUS], "#e": [request.id]});
        let chunks = json!({"kinds": [kind::CHUNK], "authors": [self.provider]});
        self.link.subscribe(&name, &[answers, chunks]).await;
        self.link.publish(&request).await;
        let answer = self.collect(request, hash).await;
        self.link.unsubscribe(&name).await;
        answer
    }

    async fn collect(&mut self, request: Event, hash: &str) -> Result<Receipt, Failure> {
        let mut chunks = BTreeMap::new();
        let mut answer: Option<(Event, Value)> = None;
        loop {
            if let Some((response, content)) = &answer {
                let expected =
                    if content["status"] == "deleted" { Some(0) } else { content["chunks"].as_u64() };
                if expected.is_some_and(|count| chunks.len() as u64 >= count) {
                    let (response, content) = (response.clone(), content.clone());
                    return Ok(Receipt { request, response, content, chunks });
                }
            }
            let event = self.link.next_event().await;
            assert_eq!(event.pubkey, self.provider, "nobody else is heard: {event:?}");
            let is_answer = event.tag("e") == Some(&request.id);
            match event.kind {
                kind::CHUNK if event.tag("file_hash") == Some(hash) => {
                    let (index, bytes) = verified_chunk(&event);
                    chunks.insert(index, bytes);
                }
                kind::RESPONSE if is_answer => {
                    assert_eq!(event.tag("p"), Some(self.keys.public.as_str()), "{event:?}");
                    let content = serde_json::from_str(&event.content).expect("a response is JSON");
                    answer = Some((event, content));
                }
                kind::STATUS if is_answer && event.tag("status") == Some("error") => {
                    assert_eq!(event.tag("p"), Some(self.keys.public.as_str()), "{event:?}");
                    let is_code = |c: &char| c.is_ascii_uppercase() || *c == '_';
                    let code = event.content.chars().take_while(is_code).collect();
                    return Err(Failure { event, code });
                }
                _ => {}
            }
        }
    }
}

/// Index and bytes of a chunk, if everything that is said of it is so.
fn verified_chunk(event: &Event) -> (usize, Vec<u8>) {
    let bytes = BASE64.decode(&event.content).expect("a chunk is base64");
    assert_eq!(event.tag("chunk_hash"), Some(sha256_hex(&bytes).as_str()), "the chunk has its hash");
    let number = |name| event.tag(name).and_then(|text| text.parse::<usize>().ok()).expect("a number");
    let (index, total) = (number("chunk_index"), number("chunk_total"));
    assert!(index < total, "chunk {index} of {total}");
    assert!(number("expiration") as u64 >= now(), "the chunk has not expired");
    let is_last = index + 1 == total;
    assert!(bytes.len() == super::CHUNK_LEN || is_last && (1..super::CHUNK_LEN).contains(&bytes.len()));
    (index, bytes)
}

/// Waits until the wall clock shows another second.
pub(crate) async fn next_second() {
    let start = now();
    while now() == start {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
