//! How much a provider takes on at once: of all clients, of each, and in bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::transport::direct::Work;
use crate::types::ClientId;
use crate::types::limits::{CLIENT_JOB_COUNT_MAX, DIRECT_CLIENT_SEND_LEN_MAX, JOB_COUNT_MAX, JOBS_LEN_MAX};

/// Counts the requests under way.
#[derive(Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    count: usize,
    len: usize,
    /// A client is here for as long as it has a request under way.
    clients: BTreeMap<ClientId, Client>,
}

struct Client {
    count: usize,
    sends: Arc<Semaphore>,
    direct_room: Arc<Semaphore>,
}

/// Answers with chunks that one client is sent at the same time: its others wait for them, not other clients.
const CLIENT_SEND_COUNT: usize = 2;

/// A place for one request, until it is dropped.
pub(super) struct Pass {
    gate: Arc<Gate>,
    client: ClientId,
    len: usize,
    /// Whose turn it is to send chunks, among the requests of one client.
    pub(super) sends: Arc<Semaphore>,
    /// Bounds the bytes that are held to be sent to one client over its connections, in KiB.
    pub(super) direct_room: Arc<Semaphore>,
    /// The connection that the request came by does not rest.
    pub(super) work: Option<Work>,
}

impl Gate {
    /// A place for a request of `len` bytes; `None` if there is none.
    pub(super) fn enter(self: &Arc<Self>, client: ClientId, len: usize) -> Option<Pass> {
        let mut state = self.state();
        if state.count >= JOB_COUNT_MAX || state.len.saturating_add(len) > JOBS_LEN_MAX {
            return None;
        }
        if state.clients.get(&client).is_some_and(|client| client.count >= CLIENT_JOB_COUNT_MAX) {
            return None;
        }
        state.count += 1;
        state.len += len;
        let entry = state.clients.entry(client).or_insert_with(|| Client {
            count: 0,
            sends: Arc::new(Semaphore::new(CLIENT_SEND_COUNT)),
            direct_room: Arc::new(Semaphore::new(DIRECT_CLIENT_SEND_LEN_MAX / 1024)),
        });
        entry.count += 1;
        let (sends, direct_room) = (entry.sends.clone(), entry.direct_room.clone());
        Some(Pass { gate: self.clone(), client, len, sends, direct_room, work: None })
    }

    /// Requests under way, and the clients that they are of.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.count, state.clients.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.count -= 1;
        state.len -= self.len;
        if let Some(client) = state.clients.get_mut(&self.client) {
            client.count -= 1;
            if client.count == 0 {
                state.clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> ClientId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ClientId::new(bytes)
    }

    #[test]
    fn requests_under_way_are_bounded_for_each_client_and_for_all() {
        let gate = Arc::new(Gate::default());
        let mut passes: Vec<_> = std::iter::from_fn(|| gate.enter(client(0), 0)).collect();
        assert_eq!(passes.len(), CLIENT_JOB_COUNT_MAX);
        passes.extend((1..).map_while(|number| gate.enter(client(number), 0)));
        assert_eq!(gate.counts(), (JOB_COUNT_MAX, JOB_COUNT_MAX - CLIENT_JOB_COUNT_MAX + 1));
        passes.pop();
        passes.push(gate.enter(client(1), 0).unwrap());
        assert!(gate.enter(client(1), 0).is_none());
        passes.clear();
        assert_eq!(gate.counts(), (0, 0));
    }

    #[test]
    fn requests_under_way_are_bounded_in_bytes() {
        let gate = Arc::new(Gate::default());
        let _pass = gate.enter(client(0), JOBS_LEN_MAX - 10).unwrap();
        assert!(gate.enter(client(1), 11).is_none());
        assert!(gate.enter(client(1), 10).is_some());
    }
}
