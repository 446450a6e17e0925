//! Connections over pipes, for the tests of both sides.

use std::sync::Arc;
use std::time::Duration;

use nostr::Keys;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::CIPHER;
use crate::env::Env;
use crate::transport::direct::connection::socket_config;
use crate::transport::direct::{DirectConnection, Guest, Intake, Judge, Verdict, dial, listen};
use crate::types::ProviderId;
use crate::types::limits::{DIRECT_INTAKE_LEN_MAX, DIRECT_ROOM_WAIT_MAX};
use crate::wire::direct::{Beginning, DirectCipher};

pub(super) type Socket = WebSocketStream<DuplexStream>;

const PIPE_LEN: usize = 32 * 1024;

pub(super) fn provider_of(keys: &Keys) -> ProviderId {
    ProviderId::new(keys.public_key().to_bytes())
}

/// Takes everything.
struct Lenient;

impl Judge for Lenient {
    fn judge(&self, _: &Beginning) -> Verdict {
        Verdict::TakeIn
    }
}

/// Takes everything for which there is room.
pub(crate) fn lenient(room: Arc<Semaphore>) -> Intake {
    Intake { judge: Arc::new(Lenient), rooms: vec![room], wait: DIRECT_ROOM_WAIT_MAX }
}

pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(DIRECT_INTAKE_LEN_MAX / 1024))
}

pub(super) async fn sockets() -> (Socket, Socket) {
    let (one, other) = duplex(PIPE_LEN);
    (socket(one, Role::Client).await, socket(other, Role::Server).await)
}

async fn socket(stream: DuplexStream, role: Role) -> Socket {
    WebSocketStream::from_raw_socket(stream, role, Some(socket_config())).await
}

/// A client and a provider that know each other, over a pipe.
pub(crate) async fn connected_as(
    client: &Keys,
    provider: &Keys,
    env: &Env,
    intake: Intake,
) -> (DirectConnection, Guest) {
    connected_under(CIPHER, (client, provider), env, intake).await
}

/// The same under this cipher.
pub(super) async fn connected_under(
    cipher: DirectCipher,
    (client, provider): (&Keys, &Keys),
    env: &Env,
    intake: Intake,
) -> (DirectConnection, Guest) {
    let (near, far) = sockets().await;
    let (dialed, met) = tokio::join!(
        dial::open(near, (provider_of(provider), cipher), client, env),
        listen::meet(far, provider, env, intake)
    );
    let mut dialed = dialed.unwrap();
    dialed.inbox.set_intake(lenient(room()));
    (dialed, met.unwrap())
}

/// As [`connected_as`], where only so many bytes a second come to the client.
pub(crate) async fn connected_slowly(
    client: &Keys,
    provider: &Keys,
    env: &Env,
    bytes_per_second: usize,
) -> (DirectConnection, Guest, JoinSet<()>) {
    let ((near, one), (other, far)) = (duplex(PIPE_LEN), duplex(PIPE_LEN));
    let ((mut from_client, mut to_client), (mut from_provider, mut to_provider)) = (split(one), split(other));
    let mut line = JoinSet::new();
    line.spawn(async move {
        let _ = copy(&mut from_client, &mut to_provider).await;
    });
    line.spawn(async move {
        let mut bytes = vec![0; bytes_per_second / 4];
        while let Ok(len @ 1..) = from_provider.read(&mut bytes).await {
            if to_client.write_all(&bytes[..len]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_micros((len * 1_000_000 / bytes_per_second) as u64)).await;
        }
    });
    let (near, far) = (socket(near, Role::Client).await, socket(far, Role::Server).await);
    let (dialed, met) = tokio::join!(
        dial::open(near, (provider_of(provider), CIPHER), client, env),
        listen::meet(far, provider, env, lenient(room()))
    );
    (dialed.unwrap(), met.unwrap(), line)
}
