//! A provider that knows the base protocol and nothing else, and keeps its blobs in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::event::{Event, Keys, now, sha256_hex};
use super::link::Link;
use super::{BLOB_LEN_MAX, CHUNK_LEN, IDENTIFIER, kind};

/// Seconds for which a blob is kept.
const RETENTION: u64 = 24 * 3600;

type Blobs = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A provider that runs until this is dropped.
pub(crate) struct BaseProvider {
    /// Its public key.
    pub(crate) id: String,
    blobs: Blobs,
    _task: JoinSet<()>,
}

impl BaseProvider {
    /// Announces itself and listens.
    pub(crate) async fn start(url: &str) -> Self {
        let (keys, blobs) = (Keys::generate(), Blobs::default());
        let id = keys.public.clone();
        let mut link = Link::open(url).await;
        let address = format!("{}:{id}:{IDENTIFIER}", kind::ANNOUNCEMENT);
        link.subscribe("requests", &[json!({"kinds": [kind::REQUEST], "#a": [address]})]).await;
        assert!(link.publish_acknowledged(&announcement(&keys)).await, "the relay keeps the announcement");
        let mut server = Server { keys, link, blobs: Arc::clone(&blobs) };
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(request) = server.link.next_event_ever().await {
                server.serve(&request).await;
            }
        });
        Self { id, blobs, _task: task }
    }

    /// Whether a blob is kept.
    pub(crate) fn has(&self, hash: &str) -> bool {
        self.blobs.lock().unwrap().contains_key(hash)
    }

    /// How many blobs are kept.
    pub(crate) fn blob_count(&self) -> usize {
        self.blobs.lock().unwrap().len()
    }
}

fn announcement(keys: &Keys) -> Event {
    let hash = json!({"type": "string", "pattern": "^[a-f0-9]{64}$"});
    let action = |action: &str, properties: Value, required: Value| {
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        schema["properties"]["action"] = json!({"const": action});
        schema
    };
    let text = json!({"type": "string"});
    let store = json!({"data": text, "filename": text, "encrypt": {"type": "boolean", "default": false}});
    let schemas = json!({
        "input_schema": {"oneOf": [
            action("store", store, json!(["action", "data"])),
            action("retrieve", json!({"hash": hash}), json!(["action", "hash"])),
            action("delete", json!({"hash": hash}), json!(["action", "hash"])),
        ]},
        "output_schema": {"type": "object", "properties": {"hash": hash, "status": text}},
    });
    let tags: [&[&str]; 9] = [
        &["d", IDENTIFIER],
        &["k", "24210"],
        &["response_kind", "24211"],
        &["name", "base"],
        &["about", "knows the base protocol only"],
        &["max_file_size", "10485760"],
        &["chunk_size", "32768"],
        &["retention_hours", "24"],
        &["documentation", "https://example.com/base"],
    ];
    keys.sign(kind::ANNOUNCEMENT, &tags, &schemas.to_string())
}

struct Server {
    keys: Keys,
    link: Link,
    blobs: Blobs,
}

impl Server {
    async fn serve(&mut self, request: &Event) {
        let body: Value = serde_json::from_str(&request.content).unwrap_or_default();
        let outcome = match body["action"].as_str() {
            Some("store") => self.store(request, &body).await,
            Some("retrieve") => self.retrieve(request, &body).await,
            Some("delete") => self.delete(request, &body).await,
            _ => Err("INTERNAL_ERROR: an action of the base protocol was expected"),
        };
        if let Err(text) = outcome {
            let code = text.split(':').next().unwrap_or_default();
            let tags: [&[&str]; 4] =
                [&["e", &request.id], &["p", &request.pubkey], &["status", "error"], &["code", code]];
            let event = self.keys.sign(kind::STATUS, &tags, text);
            self.link.publish(&event).await;
        }
    }

    async fn store(&mut self, request: &Event, body: &Value) -> Result<(), &'static str> {
        let data = body["data"].as_str().ok_or("INTERNAL_ERROR: a store without data")?;
        let bytes = BASE64.decode(data).map_err(|_| "INTERNAL_ERROR: data that is no base64")?;
        if bytes.len() > BLOB_LEN_MAX {
            return Err("FILE_TOO_LARGE: at most 10 MiB");
        }
        let hash = sha256_hex(&bytes);
        self.blobs.lock().unwrap().insert(hash.clone(), bytes.clone());
        self.publish_chunks(&hash, &bytes).await;
        self.answer(request, &hash, bytes.len(), "stored").await;
        Ok(())
    }

    async fn retrieve(&mut self, request: &Event, body: &Value) -> Result<(), &'static str> {
        let hash = valid_hash(body)?;
        let bytes = self.blobs.lock().unwrap().get(hash).cloned().ok_or("FILE_NOT_FOUND: no such blob")?;
        self.publish_chunks(hash, &bytes).await;
        self.answer(request, hash, bytes.len(), "available").await;
        Ok(())
    }

    async fn delete(&mut self, request: &Event, body: &Value) -> Result<(), &'static str> {
        let hash = valid_hash(body)?;
        let bytes = self.blobs.lock().unwrap().remove(hash).ok_or("FILE_NOT_FOUND: no such blob")?;
        self.answer(request, hash, bytes.len(), "deleted").await;
        Ok(())
    }

    async fn publish_chunks(&mut self, hash: &str, bytes: &[u8]) {
        let (total, expiration) = (bytes.len().div_ceil(CHUNK_LEN), now() + RETENTION);
        for (index, chunk) in bytes.chunks(CHUNK_LEN).enumerate() {
            let tags: [&[&str]; 5] = [
                &["file_hash", hash],
                &["chunk_index", &index.to_string()],
                &["chunk_total", &total.to_string()],
                &["chunk_hash", &sha256_hex(chunk)],
                &["expiration", &expiration.to_string()],
            ];
            let event = self.keys.sign(kind::CHUNK, &tags, &BASE64.encode(chunk));
            self.link.publish(&event).await;
        }
    }

    async fn answer(&mut self, request: &Event, hash: &str, len: usize, status: &str) {
        let expires = now() + RETENTION;
        let content = json!({
            "hash": hash, "size": len, "chunks": len.div_ceil(CHUNK_LEN), "expires": expires, "status": status,
        });
        let tags: [&[&str]; 4] = [
            &["e", &request.id],
            &["p", &request.pubkey],
            &["file_hash", hash],
            &["expires", &expires.to_string()],
        ];
        let event = self.keys.sign(kind::RESPONSE, &tags, &content.to_string());
        self.link.publish(&event).await;
    }
}

fn valid_hash(body: &Value) -> Result<&str, &'static str> {
    let hash = body["hash"].as_str().unwrap_or_default();
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let is_hash = hash.len() == 64 && hash.chars().all(is_digit);
    if is_hash { Ok(hash) } else { Err("INVALID_HASH: 64 lowercase hexadecimal digits were expected") }
}
