//! Finds out how long chunks a relay passes: sends itself some, ever longer, until one does not come back.
//!
//! Over a connection of its own, because some relays close it over an event that is too large for them. Signed with a key
//! that is used for this alone, so that nothing is linked by it.

use std::time::Duration;

use bytes::Bytes;
use nostr::{Event, EventId, Filter, Keys, Kind, RelayUrl, SecretKey};
use rand::RngCore;
use tokio::time::{Instant, sleep, timeout};

use crate::env::Env;
use crate::transport::{Carrier, Subscription};
use crate::types::{BlobHash, ChunkIndex, ChunkLen, ClientId};
use crate::wire::{CHUNK_KIND, Chunk, Direction, Draft};

/// What is tried after the base protocol's chunks. Their events are just under the limits of relays that are in use:
/// 88 KB, 175 KB, 350 KB and 700 KB of JSON.
const LENGTHS: [u64; 4] = [64 * 1024, 128 * 1024, 256 * 1024, 512 * 1024];
/// How long an event may take to come back.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Relays lose events: one that does not come back is sent again so often.
const TRY_COUNT: u32 = 2;
/// Wait before an event that was refused is sent again: the connection may have to come back.
const RECONNECT_WAIT: Duration = Duration::from_millis(500);

/// The longest chunks that `relay` passes; `None` if it cannot be said, because not even short ones come back.
pub(super) async fn longest_chunks(carrier: &dyn Carrier, relay: RelayUrl, env: &Env) -> Option<ChunkLen> {
    let own = carrier.apart(relay).await.ok()?;
    let keys = Keys::new(SecretKey::from_slice(&env.random_bytes::<32>()).ok()?);
    // `limit` is about what a relay has stored; these events are not to be stored, but some relays do.
    let mine = Filter::new().kind(Kind::from_u16(CHUNK_KIND)).author(keys.public_key()).limit(1);
    let mut echoes = own.subscribe(vec![mine]).await.ok()?;
    let mut longest = None;
    for chunk_len in [ChunkLen::BASE].into_iter().chain(LENGTHS.map(ChunkLen::at_most)) {
        if !comes_back(&*own, &mut echoes, chunk_len, &keys, env).await {
            break;
        }
        longest = Some(chunk_len);
    }
    longest
}

async fn comes_back(
    own: &dyn Carrier,
    echoes: &mut Subscription,
    chunk_len: ChunkLen,
    keys: &Keys,
    env: &Env,
) -> bool {
    for _ in 0..TRY_COUNT {
        let event = sample(chunk_len, keys, env).sign(keys, env.now());
        let echo = wait_for(echoes, &event);
        let refused = refusal(own, event.clone());
        tokio::select! {
            biased;
            is_here = timeout(WAIT_MAX, echo) => match is_here {
                Ok(()) => return true,
                Err(_elapsed) => {}
            },
            () = refused => sleep(RECONNECT_WAIT).await,
        }
    }
    false
}

/// Waits for the event as it was sent: one that only looks like it says nothing of its length.
async fn wait_for(echoes: &mut Subscription, sent: &Event) {
    loop {
        match echoes.next().await {
            Some(echo) if echo.event == *sent => return,
            Some(_another) => {}
            None => std::future::pending().await,
        }
    }
}

/// Publishes, and returns only if the relay refuses, or closes the connection. Whoever takes an event need not say so.
async fn refusal(own: &dyn Carrier, event: Event) {
    let begun = Instant::now();
    let answers = own.publish_acknowledged(event, WAIT_MAX).await;
    let is_taken = answers.values().any(Result::is_ok);
    if is_taken || begun.elapsed() >= WAIT_MAX {
        std::future::pending::<()>().await;
    }
}

/// A chunk of random bytes, with all tags that a chunk can have.
fn sample(chunk_len: ChunkLen, keys: &Keys, env: &Env) -> Draft {
    let mut data = vec![0; usize::try_from(chunk_len.bytes()).unwrap_or(0)];
    env.rng().fill_bytes(&mut data);
    let data = Bytes::from(data);
    let requester = ClientId::new(keys.public_key().to_bytes());
    let request = EventId::from_byte_array(env.random_bytes());
    let chunk = Chunk {
        hash: BlobHash::new(env.random_bytes()),
        index: ChunkIndex(0),
        total: 1,
        chunk_hash: Chunk::hash_of(&data),
        expiration: Some(env.now().saturating_add(WAIT_MAX * 20)),
        direction: Some(Direction { request, requester }),
        data,
    };
    chunk.to_draft()
}
