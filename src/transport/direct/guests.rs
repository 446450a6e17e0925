//! Who is connected to a provider's endpoints: so many in all, from one address, and with one key.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::types::ClientId;
use crate::types::limits::{DIRECT_ADDRESS_INTAKE_LEN_MAX, DIRECT_KEY_CONNECTION_COUNT_MAX};

/// Counts connections.
pub(super) struct Guests {
    count_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: usize,
    /// An address, or a key, is here for as long as it has a connection.
    by_address: BTreeMap<IpAddr, (usize, Arc<Semaphore>)>,
    by_key: BTreeMap<ClientId, usize>,
}

/// A place for one connection, until it is dropped.
pub(super) struct Place {
    guests: Arc<Guests>,
    /// Room for blobs from this address, in KiB.
    pub(super) room: Arc<Semaphore>,
    address: IpAddr,
    key: Option<ClientId>,
}

impl Guests {
    /// At most `count_max` connections, and half of them, or one, from any one address.
    pub(super) fn new(count_max: usize) -> Arc<Self> {
        Arc::new(Self { count_max, state: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` if there is none.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut state = self.state();
        let from_there = state.by_address.get(&address).map_or(0, |(count, _)| *count);
        if state.count >= self.count_max || from_there >= self.count_max.div_ceil(2) {
            return None;
        }
        state.count += 1;
        let new = || (0, Arc::new(Semaphore::new(DIRECT_ADDRESS_INTAKE_LEN_MAX / 1024)));
        let (count, room) = state.by_address.entry(address).or_insert_with(new);
        *count += 1;
        Some(Place { guests: self.clone(), room: room.clone(), address, key: None })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection is of `key`. Whether that key has not too many.
    pub(super) fn is_of(&mut self, key: ClientId) -> bool {
        let mut state = self.guests.state();
        let count = state.by_key.get(&key).copied().unwrap_or(0);
        if count >= DIRECT_KEY_CONNECTION_COUNT_MAX || self.key.is_some() {
            return false;
        }
        state.by_key.insert(key, count + 1);
        drop(state);
        self.key = Some(key);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.guests.state();
        state.count -= 1;
        leave(&mut state.by_address, &self.address, |(count, _)| count);
        if let Some(key) = self.key {
            leave(&mut state.by_key, &key, |count| count);
        }
    }
}

fn leave<K: Ord, V>(counts: &mut BTreeMap<K, V>, who: &K, count: impl Fn(&mut V) -> &mut usize) {
    if let Some(count) = counts.get_mut(who).map(count) {
        *count -= 1;
        if *count == 0 {
            counts.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_for_an_address_and_for_a_key() {
        let guests = Guests::new(10);
        let address = |last| IpAddr::from([127, 0, 0, last]);
        let mut places: Vec<_> = std::iter::from_fn(|| guests.enter(address(1))).collect();
        assert_eq!(places.len(), 5);
        assert!(places.iter().all(|place| Arc::ptr_eq(&place.room, &places[0].room)));
        let key = ClientId::new([1; 32]);
        let taken = places.iter_mut().filter_map(|place| place.is_of(key).then_some(())).count();
        assert_eq!(taken, DIRECT_KEY_CONNECTION_COUNT_MAX);
        places.extend((2..).map_while(|last| guests.enter(address(last))));
        assert_eq!(places.len(), 10);
        places.clear();
        let state = guests.state();
        assert!(state.count == 0 && state.by_address.is_empty() && state.by_key.is_empty());
    }
}
