//! Requests to one Blossom server.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use nostr::Keys;
use tokio::time::timeout;

use crate::env::Env;
use crate::transport::blossom::BlossomError;
use crate::transport::blossom::line::{Line, Lines};
use crate::types::BlobHash;
use crate::types::limits::BLOSSOM_ANSWER_LEN_MAX;
use crate::wire::blossom::{BLOB_TYPE, Descriptor, Grant, HASH_HEADER, REASON_HEADER, Verb};

/// How long a token is good for: a request is sent at once.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// Bytes a millisecond that a server has to move, beside the time that it has to answer.
const PACE_MIN: u64 = 32;
/// Characters of what a server says to people.
const REASON_LEN_MAX: usize = 200;

/// A client of one Blossom server. Many tasks may use it at once; each request has a connection of its own.
pub struct BlossomClient {
    lines: Lines,
    keys: Keys,
    patience: Duration,
    env: Env,
}

/// A request, which may have to be sent twice.
struct Asked {
    method: Method,
    path: String,
    grant: Option<Grant>,
    hash: Option<BlobHash>,
    body: Bytes,
    /// Bytes that the answer may have.
    len_max: u64,
}

impl BlossomClient {
    /// A client of the server at `url`, which stores as the owner of `keys`. A server that is silent for longer than
    /// `patience` has failed.
    ///
    /// # Errors
    /// [`BlossomError::Address`].
    pub fn new(url: &str, keys: Keys, patience: Duration, env: Env) -> Result<Self, BlossomError> {
        Ok(Self { lines: Lines::parse(url)?, keys, patience, env })
    }

    /// Stores a blob.
    ///
    /// # Errors
    /// [`BlossomError`].
    pub async fn store(&self, blob: Bytes) -> Result<Descriptor, BlossomError> {
        let (hash, size) = (BlobHash::of(&blob), blob.len() as u64);
        let asked = Asked {
            method: Method::PUT,
            path: "/upload".to_owned(),
            grant: Some(self.grant(Verb::Upload, hash)),
            hash: Some(hash),
            body: blob,
            len_max: BLOSSOM_ANSWER_LEN_MAX as u64,
        };
        let answer = self.ask(asked).await?;
        let described: Option<Descriptor> = serde_json::from_slice(&answer).ok();
        described.filter(|it| it.sha256 == hash && it.size == size).ok_or(BlossomError::Corrupt { hash })
    }

    /// Fetches a blob of at most `len_max` bytes; they have the SHA-256 `hash`.
    ///
    /// # Errors
    /// [`BlossomError`].
    pub async fn fetch(&self, hash: BlobHash, len_max: u64) -> Result<Bytes, BlossomError> {
        let blob = self.ask(of_blob(Method::GET, hash, len_max)).await?;
        if BlobHash::of(&blob) != hash {
            return Err(BlossomError::Corrupt { hash });
        }
        Ok(blob)
    }

    /// Whether the server has a blob.
    ///
    /// # Errors
    /// [`BlossomError`].
    pub async fn has(&self, hash: BlobHash) -> Result<bool, BlossomError> {
        match self.ask(of_blob(Method::HEAD, hash, 0)).await {
            Ok(_) => Ok(true),
            Err(BlossomError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a blob up. One that is not there is given up already.
    ///
    /// # Errors
    /// [`BlossomError`].
    pub async fn delete(&self, hash: BlobHash) -> Result<(), BlossomError> {
        let grant = Some(self.grant(Verb::Delete, hash));
        let asked = Asked { grant, ..of_blob(Method::DELETE, hash, BLOSSOM_ANSWER_LEN_MAX as u64) };
        match self.ask(asked).await {
            Ok(_) | Err(BlossomError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn grant(&self, verb: Verb, hash: BlobHash) -> Grant {
        Grant::of_blob(verb, hash, self.env.now().saturating_add(TOKEN_LIFE))
    }

    /// Asks, within the time that so many bytes may take, and once more if the connection had been closed meanwhile.
    async fn ask(&self, asked: Asked) -> Result<Bytes, BlossomError> {
        let moving =
            Duration::from_millis((asked.body.len() as u64).saturating_add(asked.len_max) / PACE_MIN);
        let allowed = self.patience + moving;
        let silent = BlossomError::Silent { server: self.lines.server(), seconds: allowed.as_secs() };
        timeout(allowed, self.ask_patiently(&asked)).await.unwrap_or(Err(silent))
    }

    async fn ask_patiently(&self, asked: &Asked) -> Result<Bytes, BlossomError> {
        // Signed once: both tries are one request.
        let token = asked.grant.as_ref().map(|grant| grant.header(&self.keys, self.env.now()));
        let mut line = self.lines.take().await?;
        let is_used = line.is_used;
        let answer = match line.send(self.request(asked, token.as_deref())).await {
            Err(_closed) if is_used => {
                line = self.lines.dial().await?;
                line.send(self.request(asked, token.as_deref())).await
            }
            answer => answer,
        };
        self.read(answer.map_err(|error| self.lines.broken(&error))?, asked.len_max, line).await
    }

    fn request(&self, asked: &Asked, token: Option<&str>) -> Request<Full<Bytes>> {
        let request = Request::builder().method(&asked.method).uri(&asked.path);
        let mut request = request.header(HOST, self.lines.server());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(hash) = asked.hash {
            request = request.header(HASH_HEADER, hash.to_string()).header(CONTENT_TYPE, BLOB_TYPE);
            // Also of a blob of no bytes, which hyper would leave out.
            request = request.header(CONTENT_LENGTH, asked.body.len());
        }
        let body = Full::new(asked.body.clone());
        request.body(body).expect("hexadecimal digits and base64 are fit for a request's head")
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        len_max: u64,
        line: Line,
    ) -> Result<Bytes, BlossomError> {
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(status, &answer));
        }
        let mut body = answer.into_body();
        let announced = hyper::body::Body::size_hint(&body).lower().min(len_max);
        let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| self.lines.broken(&error))?.into_data() else { continue };
            if (bytes.len() + data.len()) as u64 > len_max {
                return Err(BlossomError::TooLong { len_max });
            }
            bytes.extend_from_slice(&data);
        }
        self.lines.give_back(line);
        Ok(bytes.freeze())
    }
}

fn of_blob(method: Method, hash: BlobHash, len_max: u64) -> Asked {
    let (path, body) = (format!("/{hash}"), Bytes::new());
    Asked { method, path, grant: None, hash: None, body, len_max }
}

fn refused(status: StatusCode, answer: &Response<Incoming>) -> BlossomError {
    let reason = answer.headers().get(REASON_HEADER).and_then(|reason| reason.to_str().ok());
    let reason = reason.or(status.canonical_reason()).unwrap_or_default();
    let reason = reason.chars().filter(|char| !char.is_control()).take(REASON_LEN_MAX).collect();
    BlossomError::Refused { status: status.as_u16(), reason }
}
