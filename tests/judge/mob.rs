//! Everything that strangers may throw at a provider: malformed, oversized, forged, replayed, absurd, never finished.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::raw::{CHUNK_LEN, Event, IDENTIFIER, Keys, kind, now, sha256_hex};
use crate::support::noise;

/// A chunk of a store that is sent in parts.
const UPLOADED_CHUNK: u64 = 24_213;
/// Kinds of attack.
const FAMILIES: usize = 16;

/// How an event reaches the provider.
pub(crate) enum Attack {
    /// A message for the relay.
    Published(String),
    /// What a relay that verifies nothing would hand to the provider as an event.
    SlippedIn(String),
}

/// Many strangers.
pub(crate) struct Mob {
    provider: String,
    address: String,
    crowd: Vec<Keys>,
    /// Blobs that the provider has.
    known: Vec<String>,
    /// Requests that were answered once.
    answered: Vec<Event>,
}

impl Mob {
    pub(crate) fn gather(size: usize, provider: &str, known: Vec<String>, answered: Vec<Event>) -> Self {
        Self {
            provider: provider.to_owned(),
            address: format!("{}:{provider}:{IDENTIFIER}", kind::ANNOUNCEMENT),
            crowd: (0..size).map(|_| Keys::generate()).collect(),
            known,
            answered,
        }
    }

    /// The attack of this number. Attacks that share `index / FAMILIES` may build on each other, in order.
    pub(crate) fn attack(&self, index: usize) -> Attack {
        let round = index / FAMILIES;
        let event = match index % FAMILIES {
            0 => self.malformed(round),
            1 => self.absurd(round),
            2 => self.oversized(round),
            3 => self.oddly_dated(round),
            4 => self.oddly_tagged(round),
            5 | 6 => return self.forged(index),
            7 => return self.replayed(round),
            8 => self.unknown_chunk(round),
            9 => self.half_upload(round),
            10 => self.chunk_of_half_upload(round),
            11 | 12 => self.flood(index),
            13 => self.absurd_extension(round),
            14 => self.for_somebody_else(round),
            _ => return Self::garbage(round),
        };
        Attack::Published(message(&event))
    }

    /// A message beyond what any relay takes.
    pub(crate) fn giant(&self) -> String {
        message(&self.request(0, &"x".repeat(17 << 20)))
    }

    fn key(&self, round: usize) -> &Keys {
        &self.crowd[round % self.crowd.len()]
    }

    fn request(&self, round: usize, content: &str) -> Event {
        let tags: [&[&str]; 2] = [&["a", &self.address], &["p", &self.provider]];
        self.key(round).sign(kind::REQUEST, &tags, content)
    }

    fn malformed(&self, round: usize) -> Event {
        let deep = "[".repeat(3_000);
        let wild = hex::encode(noise(40, round as u64));
        let contents = [
            "",
            "{",
            r#"{"action":"store","data":"#,
            r#"{"action":"store","data":"\ud800"}"#,
            r#"{"action":"retrieve","hash":{"hash":[]}}"#,
            r#"{"action":"retrieve","action":"delete","hash":1}"#,
            "null",
            "\u{0}\u{1}\u{feff}",
            &deep,
            &wild,
        ];
        self.request(round, contents[round % contents.len()])
    }

    fn absurd(&self, round: usize) -> Event {
        let hash = sha256_hex(&round.to_le_bytes());
        let numbers =
            ["18446744073709551615", "18446744073709551616", "-1", "0", "1e400", "1.5", "4294967296"];
        let [size, chunks, retention] =
            [round, round / 7, round / 49].map(|draw| numbers[draw % numbers.len()]);
        let content = format!(
            r#"{{"action":"store","hash":"{hash}","size":{size},"chunks":{chunks},"retention":{retention},"req":"0123456789abcdef"}}"#
        );
        self.request(round, &content)
    }

    fn oversized(&self, round: usize) -> Event {
        let filling = "x".repeat(if round.is_multiple_of(50) { 1 << 20 } else { 20_000 });
        let content = match round % 4 {
            0 => filling,
            1 => json!({"action": filling}).to_string(),
            2 => json!({"action": "retrieve", "hash": filling}).to_string(),
            _ => json!({"action": "store", "data": "?", "filename": filling}).to_string(),
        };
        self.request(round, &content)
    }

    fn oddly_dated(&self, round: usize) -> Event {
        let times = [0, 1, now() - 121, now() + 3_600, u64::from(u32::MAX), i64::MAX as u64, u64::MAX];
        let body = json!({"action": "store", "data": BASE64.encode(noise(50, round as u64))}).to_string();
        let tags: [&[&str]; 1] = [&["a", &self.address]];
        self.key(round).sign_at(times[round % times.len()], kind::REQUEST, &tags, &body)
    }

    fn oddly_tagged(&self, round: usize) -> Event {
        let urls: Vec<String> =
            (0..100).map(|port| format!("ws://127.0.0.1:{}/{round}", 1 + port % 8)).collect();
        let relays: Vec<&str> = ["relays"].into_iter().chain(urls.iter().map(String::as_str)).collect();
        let (address, many): (&[&str], &[&str]) = (&["a", &self.address], &["a", &self.address, "", ""]);
        let body = json!({"action": "retrieve", "hash": self.known[0]}).to_string();
        let tags = match round % 4 {
            0 => vec![address, relays.as_slice()],
            1 => vec![many; 500],
            2 => vec![address, &[], &[""], &["relays"], &["expiration", "-1"], &["x", "zz"]],
            _ => vec![address, &["relays", "not a url", "http://127.0.0.1:1", "ws://", "ws://\u{0}"]],
        };
        self.key(round).sign(kind::REQUEST, &tags, &body)
    }

    /// Signed by one, claimed to be from another; or changed after it was signed.
    fn forged(&self, index: usize) -> Attack {
        let body = json!({"action": "delete", "hash": self.known[index % self.known.len()]}).to_string();
        let mut event = self.request(index, &body);
        match index % 4 {
            0 => event.pubkey.clone_from(&self.answered[0].pubkey),
            1 => event.content.push(' '),
            2 => event.sig = hex::encode(noise(64, index as u64)),
            _ => event.id = sha256_hex(event.id.as_bytes()),
        }
        if index % 8 < 4 {
            Attack::Published(message(&event))
        } else {
            Attack::SlippedIn(event.json().to_string())
        }
    }

    fn replayed(&self, round: usize) -> Attack {
        let event = &self.answered[round % self.answered.len()];
        if round.is_multiple_of(2) {
            Attack::Published(message(event))
        } else {
            Attack::SlippedIn(event.json().to_string())
        }
    }

    fn unknown_chunk(&self, round: usize) -> Event {
        let hash = sha256_hex(&noise(8, round as u64));
        let numbers = ["0", "1", "319", "320", "4294967295", "18446744073709551616", "-1", "", "٣"];
        let [index, total] = [round, round / 9].map(|draw| numbers[draw % numbers.len()]);
        let tags: [&[&str]; 5] = [
            &["p", &self.provider],
            &["x", &hash],
            &["chunk_index", index],
            &["chunk_total", total],
            &["nonce", &hash],
        ];
        let content =
            if round.is_multiple_of(3) { "no base64".to_owned() } else { BASE64.encode(hash.as_bytes()) };
        let shown = &tags[..if round.is_multiple_of(5) { 2 + round % 3 } else { 5 }];
        self.key(round).sign(UPLOADED_CHUNK, shown, &content)
    }

    fn half_upload(&self, round: usize) -> Event {
        let body = json!({
            "action": "store", "hash": sha256_hex(&round.to_le_bytes()), "size": 10_485_760, "chunks": 320,
            "quiet": true, "req": hex::encode(round.to_be_bytes()),
        });
        self.request(round, &body.to_string())
    }

    /// One of 320 chunks, or a part of one.
    fn chunk_of_half_upload(&self, round: usize) -> Event {
        let hash = sha256_hex(&round.to_le_bytes());
        let len = if round.is_multiple_of(8) { CHUNK_LEN } else { 100 };
        let tags: [&[&str]; 4] = [
            &["p", &self.provider],
            &["x", &hash],
            &["chunk_index", &(round % 320).to_string()],
            &["chunk_total", "320"],
        ];
        self.key(round).sign(UPLOADED_CHUNK, &tags, &BASE64.encode(noise(len, round as u64)))
    }

    fn flood(&self, index: usize) -> Event {
        let unknown = sha256_hex(&noise(8, index as u64));
        let known = &self.known[usize::from(index % 1_000 < 12)];
        let body = match index % 4 {
            0 => json!({"action": "retrieve", "hash": unknown}),
            1 => json!({"action": "delete", "hash": unknown}),
            _ => json!({"action": "retrieve", "hash": known}),
        };
        self.request(index, &body.to_string())
    }

    fn absurd_extension(&self, round: usize) -> Event {
        let hash = &self.known[0];
        let many = |count: usize| -> Value { (0..count).map(|n| sha256_hex(&n.to_le_bytes())).collect() };
        let body = match round % 12 {
            0 => json!({"action": "stat", "hashes": many(if round.is_multiple_of(24) { 500 } else { 5 })}),
            1 => json!({"action": "stat", "hashes": many(501)}),
            2 => json!({"action": "renew", "hash": hash, "retention": u64::MAX}),
            3 => json!({"action": "renew", "hashes": [hash, hash, hash, ""], "retention": -5}),
            4 => json!({"action": "list", "after": "zz", "limit": u64::MAX}),
            5 => json!({"action": "list", "limit": 0}),
            6 => json!({"action": "retrieve", "hash": hash, "ranges": "0-18446744073709551615"}),
            7 => json!({"action": "retrieve", "hash": hash, "ranges": "9-1,,3"}),
            8 => json!({"action": "retrieve", "hashes": vec![hash; 20]}),
            9 => json!({"action": "delete", "hashes": many(200)}),
            10 => json!({"action": "stat", "hash": hash, "req": "?".repeat(round % 999)}),
            _ => json!({"action": "x".repeat(round % 99), "hashes": {}, "ranges": 7, "quiet": "yes"}),
        };
        self.request(round, &body.to_string())
    }

    /// Events that are no requests, or no requests of this provider.
    fn for_somebody_else(&self, round: usize) -> Event {
        let kinds = [kind::RESPONSE, kind::CHUNK, kind::STATUS, kind::REQUEST, 24_214];
        let address = format!("{}:{}:{IDENTIFIER}", kind::ANNOUNCEMENT, self.key(round).public);
        let tags: [&[&str]; 4] = [
            &["a", &address],
            &["p", &self.provider],
            &["e", &self.answered[0].id],
            &["file_hash", &self.known[0]],
        ];
        self.key(round).sign(kinds[round % kinds.len()], &tags, r#"{"status":"deleted"}"#)
    }

    /// No event at all, to the relay and to the provider.
    fn garbage(round: usize) -> Attack {
        let contents = [
            r#"["REQ"]"#.to_owned(),
            r#"["EVENT",{}]"#.to_owned(),
            r#"["EVENT",{"id":1,"kind":-1,"tags":[[[]]]}]"#.to_owned(),
            r#"["CLOSE",{}]"#.to_owned(),
            r#"["NOTICE"]"#.to_owned(),
            hex::encode(noise(30, round as u64)),
            json!(["CLOSE", "x".repeat(1_000)]).to_string(),
        ];
        let content = contents[round % contents.len()].clone();
        if round.is_multiple_of(2) { Attack::Published(content) } else { Attack::SlippedIn(content) }
    }
}

fn message(event: &Event) -> String {
    json!(["EVENT", event.json()]).to_string()
}
