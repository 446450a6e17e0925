//! Requests: who asks, and what is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    RANGE,
};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::env::{Env, off_thread};
use crate::provider::blossom::BlossomOptions;
use crate::provider::blossom::reply::{Refused, Reply, begin, finish, preflight};
use crate::store::{AtRest, BlobStore, Change, Claim, EventMark, Promise, StoreError};
use crate::types::BlobHash;
use crate::types::limits::{BLOSSOM_MOVE_MIN, BLOSSOM_ROOM_LEN_MAX, BLOSSOM_STALL_MAX};
use crate::wire::WireError;
use crate::wire::blossom::{BLOB_TYPE, Descriptor, HASH_HEADER, Token, Verb, Wanted, blob_of_path};
use crate::wire::tags::parse_hash;

/// Threads that wait for the disk, or hash, at once.
const THREAD_COUNT: usize = 16;
/// Characters of a host's name that is repeated in an answer.
const HOST_LEN_MAX: usize = 255;

/// What all requests share.
pub(super) struct Desk {
    options: BlossomOptions,
    /// Where it answers, for those that do not say how they call it.
    address: SocketAddr,
    /// What it is called: tokens may be for one server alone.
    names: [String; 1],
    store: Arc<BlobStore>,
    env: Env,
    /// Bounds the bytes of blobs in memory, in KiB; serves in the order of arrival.
    room: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// A blob's bytes, and the room that they take until they are sent.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Desk {
    pub(super) fn new(options: BlossomOptions, address: SocketAddr, store: Arc<BlobStore>, env: Env) -> Self {
        let names = [address.ip().to_string()];
        let room = Arc::new(Semaphore::new(BLOSSOM_ROOM_LEN_MAX / 1024));
        Self { options, address, names, store, env, room, threads: Arc::new(Semaphore::new(THREAD_COUNT)) }
    }

    /// Does what is asked, or says why not.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let answered = match (request.method(), request.uri().path()) {
            (&Method::OPTIONS, _) => Ok(preflight()),
            (&Method::PUT, "/upload") => self.upload(request).await,
            (&Method::GET | &Method::HEAD, path) => match named(path) {
                Ok(hash) => self.read(hash, &request).await,
                Err(refused) => Err(refused),
            },
            (&Method::DELETE, path) => match named(path) {
                Ok(hash) => self.delete(hash, request.headers()).await,
                Err(refused) => Err(refused),
            },
            _ => Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this server does not do that")),
        };
        answered.unwrap_or_else(Refused::into_reply)
    }

    /// GET and HEAD of a blob, or of a part of it. Nobody has to say who he is.
    async fn read(&self, hash: BlobHash, request: &Request<Incoming>) -> Result<Reply, Refused> {
        let entry = self.store.entry(&hash).filter(|entry| !entry.is_lapsed);
        let len = entry.ok_or(StoreError::NotFound { hash })?.len;
        let range = text(request.headers(), &RANGE).map_or(Wanted::Whole, |range| Wanted::parse(range, len));
        let reply = begin(match range {
            Wanted::Whole => StatusCode::OK,
            Wanted::Part { .. } => StatusCode::PARTIAL_CONTENT,
            Wanted::Outside => StatusCode::RANGE_NOT_SATISFIABLE,
        });
        let reply = reply.header(CONTENT_TYPE, BLOB_TYPE).header(ACCEPT_RANGES, "bytes");
        let (reply, offset, part) = match range {
            Wanted::Whole => (reply, 0, len),
            Wanted::Part { offset, len: part } => {
                let last = offset + part - 1;
                (reply.header(CONTENT_RANGE, format!("bytes {offset}-{last}/{len}")), offset, part)
            }
            Wanted::Outside => {
                return Ok(finish(reply.header(CONTENT_RANGE, format!("bytes */{len}")), Bytes::new()));
            }
        };
        if *request.method() == Method::HEAD {
            return Ok(finish(reply.header(CONTENT_LENGTH, part), Bytes::new()));
        }
        let room = self.hold(part).await?;
        let bytes = self
            .off_thread(move |store| {
                if range == Wanted::Whole {
                    return Ok(store.get(&hash)?);
                }
                let part = usize::try_from(part).map_err(|_| Refused::internal())?;
                Ok(store.get_range(&hash, offset, part)?.into())
            })
            .await?;
        Ok(finish(reply, Bytes::from_owner(Held { bytes, _room: room })))
    }

    /// PUT of a blob.
    async fn upload(&self, request: Request<Incoming>) -> Result<Reply, Refused> {
        let token = self.token(request.headers(), Verb::Upload)?;
        let announced = text(request.headers(), &CONTENT_LENGTH).and_then(|len| len.parse::<u64>().ok());
        let Some(len) = announced else {
            return Err(Refused::new(StatusCode::LENGTH_REQUIRED, "Content-Length is missing"));
        };
        let max = self.options.max_file_size;
        if len > max {
            let reason = format!("blob of {len} bytes, at most {max} are taken");
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        let header = request.headers().get(HASH_HEADER).map(|value| value.to_str().unwrap_or_default());
        let header = header.map(parse_hash).transpose().map_err(|error| bad(&error))?;
        if let Some(hash) = &header {
            token.check_blob(hash).map_err(|error| Refused::unauthorized(&error))?;
        }
        let url = format!("http://{}", self.host(request.headers()));
        let _room = self.hold(len).await?;
        let body = receive(request.into_body(), len).await?;
        let (claim, is_new) = self.keep(body, header, token).await?;
        let Claim { hash, len: size, .. } = claim;
        // Types are not kept: the store knows bytes.
        let (media_type, uploaded) = (BLOB_TYPE.to_owned(), self.env.now());
        let described =
            Descriptor { url: format!("{url}/{hash}.bin"), sha256: hash, size, media_type, uploaded };
        let json = serde_json::to_vec(&described).expect("texts and numbers are always JSON");
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(finish(begin(status).header(CONTENT_TYPE, "application/json"), json.into()))
    }

    /// Keeps a blob, if it is one that the token names. It is hashed once, where the name is known before.
    async fn keep(
        &self,
        blob: Bytes,
        header: Option<BlobHash>,
        token: Token,
    ) -> Result<(Claim, bool), Refused> {
        let expires = self.env.now().saturating_add(self.options.retention);
        let promise = Promise { client: token.client, change: change(&token), expires };
        self.off_thread(move |store| {
            let hash = match (header, token.grant.hashes.as_slice()) {
                (Some(hash), _) => hash,
                (None, [hash]) => *hash,
                (None, _) => {
                    let hash = BlobHash::of(&blob);
                    token.check_blob(&hash).map_err(|error| Refused::unauthorized(&error))?;
                    hash
                }
            };
            let is_new = store.entry(&hash).is_none_or(|entry| entry.is_lapsed);
            match store.put(hash, &blob, promise, AtRest::Plain) {
                Ok(claim) => Ok((claim, is_new)),
                Err(StoreError::HashMismatch { .. }) if header.is_none() => {
                    Err(Refused::unauthorized(&WireError::Token { what: "it does not name this blob" }))
                }
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// DELETE of one's claim on a blob.
    async fn delete(&self, hash: BlobHash, headers: &HeaderMap) -> Result<Reply, Refused> {
        let token = self.token(headers, Verb::Delete)?;
        token.check_blob(&hash).map_err(|error| Refused::unauthorized(&error))?;
        let mut dropped =
            self.off_thread(move |store| Ok(store.delete(token.client, &[hash], change(&token))?)).await?;
        dropped.pop().ok_or_else(Refused::internal)??;
        Ok(finish(begin(StatusCode::NO_CONTENT), Bytes::new()))
    }

    /// Who asks, if the token allows it here and now.
    fn token(&self, headers: &HeaderMap, verb: Verb) -> Result<Token, Refused> {
        let header = text(headers, &AUTHORIZATION)
            .ok_or_else(|| Refused::new(StatusCode::UNAUTHORIZED, "show who asks in `Authorization`"))?;
        let token = Token::parse(header).map_err(|error| Refused::unauthorized(&error))?;
        token.check(verb, &self.names, self.env.now()).map_err(|error| Refused::unauthorized(&error))?;
        Ok(token)
    }

    /// How the client calls this server, if that can be a host's name.
    fn host(&self, headers: &HeaderMap) -> String {
        let is_name = |text: &&str| {
            let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            (1..=HOST_LEN_MAX).contains(&text.len()) && text.bytes().all(is_fit)
        };
        text(headers, &HOST).filter(is_name).map_or_else(|| self.address.to_string(), str::to_owned)
    }

    /// Room for so many bytes, as soon as there is some.
    async fn hold(&self, len: u64) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = u32::try_from(len.div_ceil(1024)).map_err(|_| Refused::internal())?;
        let room = timeout(BLOSSOM_STALL_MAX, self.room.clone().acquire_many_owned(kib)).await;
        match room {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too much is under way, ask again later")),
        }
    }

    /// Runs what blocks or takes long on a thread of its own; so many at once as the disk likes.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BlobStore) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let Ok(permit) = self.threads.clone().acquire_owned().await else { return Err(Refused::internal()) };
        let store = self.store.clone();
        let done = off_thread(move || {
            let _permit = permit;
            work(&store)
        });
        done.await.unwrap_or_else(|_panic| Err(Refused::internal()))
    }
}

/// The blob that a path names.
fn named(path: &str) -> Result<BlobHash, Refused> {
    blob_of_path(path).map_err(|error| bad(&error))
}

fn bad(error: &WireError) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, error.to_string())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The change that a token makes, as the store tells changes apart.
fn change(token: &Token) -> Change {
    let mark = token.id.as_bytes().first_chunk().copied().unwrap_or_default();
    Change { at: token.created_at, mark: EventMark(mark) }
}

/// All of a body, which is `len` bytes long, in the time that these may take.
async fn receive(mut body: Incoming, len: u64) -> Result<Bytes, Refused> {
    let rate = BLOSSOM_MOVE_MIN / BLOSSOM_STALL_MAX.as_secs();
    let allowed = BLOSSOM_STALL_MAX + Duration::from_secs(len / rate);
    let receiving = async {
        let mut bytes = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let broken = |_| Refused::new(StatusCode::BAD_REQUEST, "the body breaks off");
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    let slow = Refused::new(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly");
    timeout(allowed, receiving).await.unwrap_or(Err(slow))
}
