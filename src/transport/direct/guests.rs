//! Who is connected to a provider's endpoints: so many in all, from one address, and with one key.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::transport::direct::Rest;
use crate::types::ClientId;
use crate::types::limits::{DIRECT_ADDRESS_INTAKE_LEN_MAX, DIRECT_KEY_CONNECTION_COUNT_MAX, DIRECT_REST_MIN};

/// How many connections there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// In all.
    pub count_max: usize,
    /// Of these, from one address; of version 6, from one network of 64 bits.
    pub address_count_max: usize,
}

/// Counts connections.
pub(super) struct Guests {
    places: Places,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those who have a place.
    guests: BTreeMap<u64, Entry>,
    /// An address, or a key, is here for as long as it has a connection.
    by_address: BTreeMap<IpAddr, (usize, Arc<Semaphore>)>,
    by_key: BTreeMap<ClientId, usize>,
}

struct Entry {
    address: IpAddr,
    key: Option<ClientId>,
    rest: Arc<Rest>,
}

/// A place for one connection, until it is dropped, or somebody else has got it.
pub(super) struct Place {
    guests: Arc<Guests>,
    number: u64,
    /// Room for blobs from this address, in KiB.
    pub(super) room: Arc<Semaphore>,
    /// Whether the guest rests.
    pub(super) rest: Arc<Rest>,
}

impl Guests {
    pub(super) fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { places, state: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` if there is none, and nobody rests who could leave.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut state = self.state();
        let from_there = state.by_address.get(&address).map_or(0, |(count, _)| *count);
        if from_there >= self.places.address_count_max {
            state.make_room(Some(address))?;
        } else if state.guests.len() >= self.places.count_max {
            state.make_room(None)?;
        }
        let (number, rest) = (state.next, Rest::begin());
        state.next += 1;
        state.guests.insert(number, Entry { address, key: None, rest: rest.clone() });
        let new = || (0, Arc::new(Semaphore::new(DIRECT_ADDRESS_INTAKE_LEN_MAX / 1024)));
        let (count, room) = state.by_address.entry(address).or_insert_with(new);
        *count += 1;
        Some(Place { guests: self.clone(), number, room: room.clone(), rest })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the place of whoever rests longest: of all, or of those from one address. `None` if nobody rests for long.
    fn make_room(&mut self, from: Option<IpAddr>) -> Option<()> {
        let known = self.guests.iter().filter(|(_, entry)| entry.key.is_some());
        let candidates = known.filter(|(_, entry)| from.is_none_or(|from| from == entry.address));
        let resting = candidates.filter_map(|(number, entry)| Some((entry.rest.since()?, *number)));
        let (since, number) = resting.min()?;
        if since + DIRECT_REST_MIN > Instant::now() {
            return None;
        }
        self.leave(number)?.rest.ask_to_leave();
        Some(())
    }

    fn leave(&mut self, number: u64) -> Option<Entry> {
        let entry = self.guests.remove(&number)?;
        leave(&mut self.by_address, &entry.address, |(count, _)| count);
        if let Some(key) = entry.key {
            leave(&mut self.by_key, &key, |count| count);
        }
        Some(entry)
    }
}

impl Place {
    /// The connection is of `key`. Whether that key has not too many.
    pub(super) fn is_of(&self, key: ClientId) -> bool {
        let mut state = self.guests.state();
        let count = state.by_key.get(&key).copied().unwrap_or(0);
        let Some(entry) = state.guests.get_mut(&self.number) else { return false };
        if count >= DIRECT_KEY_CONNECTION_COUNT_MAX || entry.key.is_some() {
            return false;
        }
        entry.key = Some(key);
        state.by_key.insert(key, count + 1);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.state().leave(self.number);
    }
}

/// What counts as one address: of version 6 everybody has as many as there are in a network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
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

    const FOUR: Places = Places { count_max: 4, address_count_max: 2 };

    #[tokio::test(start_paused = true)]
    async fn connections_are_bounded_in_all_for_an_address_and_for_a_key() {
        let guests = Guests::new(Places { count_max: 10, address_count_max: 5 });
        let address = |last| IpAddr::from([127, 0, 0, last]);
        let mut places: Vec<_> = std::iter::from_fn(|| guests.enter(address(1))).collect();
        assert_eq!(places.len(), 5);
        assert!(places.iter().all(|place| Arc::ptr_eq(&place.room, &places[0].room)));
        let key = ClientId::new([1; 32]);
        let taken = places.iter().filter(|place| place.is_of(key)).count();
        assert_eq!(taken, DIRECT_KEY_CONNECTION_COUNT_MAX);
        places.extend((2..).map_while(|last| guests.enter(address(last))));
        assert_eq!(places.len(), 10);
        places.clear();
        let state = guests.state();
        assert!(state.guests.is_empty() && state.by_address.is_empty() && state.by_key.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_network_count_as_one() {
        let guests = Guests::new(FOUR);
        let enter = |address: &str| guests.enter(address.parse().unwrap());
        let _places = [enter("2001:db8::1").unwrap(), enter("2001:db8::2:3").unwrap()];
        assert!(enter("2001:db8::ffff:1:2:3").is_none());
        let _others = [enter("2001:db8:0:1::1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert!(enter("192.0.2.1").is_none(), "there are four");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_rests_longest_makes_room_and_nobody_who_works_or_came_just_now() {
        let guests = Guests::new(FOUR);
        let enter = |last| guests.enter(IpAddr::from([192, 0, 2, last]));
        let mut places = Vec::new();
        for last in 0..4 {
            let place = enter(last).unwrap();
            assert!(place.is_of(ClientId::new([last; 32])));
            places.push(place);
            tokio::time::advance(DIRECT_REST_MIN / 8).await;
        }
        let work = places[0].rest.work();
        places[1].rest.moved();
        assert!(enter(4).is_none(), "nobody rests for long");
        tokio::time::advance(DIRECT_REST_MIN).await;
        let newcomer = enter(4).unwrap();
        // The first works, and the second has moved since the third came.
        places[2].rest.asked_to_leave().await;
        assert_eq!(guests.state().guests.len(), 4);
        drop(places.remove(2));
        assert_eq!(guests.state().guests.len(), 4, "its place is somebody else's");
        drop(work);
        let _fifth = enter(5).unwrap();
        places[2].rest.asked_to_leave().await;
        assert_eq!(guests.state().guests.len(), 4);
        drop((newcomer, places));
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_the_same_address_makes_room_where_that_has_too_many() {
        let guests = Guests::new(FOUR);
        let mut places = Vec::new();
        for (key, last) in [(1, 1), (2, 2), (3, 2)] {
            let place = guests.enter(IpAddr::from([192, 0, 2, last])).unwrap();
            assert!(place.is_of(ClientId::new([key; 32])));
            places.push(place);
            tokio::time::advance(DIRECT_REST_MIN).await;
        }
        let _another = guests.enter(IpAddr::from([192, 0, 2, 2])).unwrap();
        places[1].rest.asked_to_leave().await;
        assert_eq!(guests.state().guests.len(), 3);
    }
}
