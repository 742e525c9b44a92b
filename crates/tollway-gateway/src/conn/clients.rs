//! Clients by address: how many connections and concurrent requests each has, over all workers.
//!
//! A client is an IPv4 address, or the first 64 bits of an IPv6 address, which one machine
//! chooses the rest of. The table is locked when a connection opens and closes, and for a request
//! only where a trusted proxy names its client. It holds who has any, so it is no longer than the
//! number of connections and of such requests.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The clients of a gateway.
#[derive(Debug)]
pub(crate) struct Clients {
    known: Mutex<HashMap<Origin, Known>>,
    connections_max: usize,
    requests_max: usize,
    workers: usize,
}

/// What counts as one client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Origin {
    V4(Ipv4Addr),
    V6([u8; 8]),
}

#[derive(Debug)]
struct Known {
    client: Arc<Client>,
    places: usize,
}

#[derive(Debug)]
struct Client {
    workers: Box<[Counters]>,
}

/// What one worker has of a client. Written by that worker alone, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counters {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// One connection of a client, until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientConnections(Place);

/// One request of a client on the connection of a proxy, until it is dropped.
#[derive(Debug)]
pub(crate) struct ProxiedRequest(Place);

/// What keeps a client in the table.
#[derive(Debug)]
struct Place {
    clients: Arc<Clients>,
    origin: Origin,
    client: Arc<Client>,
    worker: usize,
}

impl Clients {
    pub(crate) fn new(
        connections_max: NonZeroUsize,
        requests_max: NonZeroUsize,
        workers: NonZeroUsize,
    ) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            connections_max: connections_max.get(),
            requests_max: requests_max.get(),
            workers: workers.get(),
        })
    }

    /// Counts a connection that a worker has accepted.
    pub(crate) fn connect(self: &Arc<Self>, address: IpAddr, worker: usize) -> ClientConnections {
        let place = self.place(address, worker);
        place.add(1, |counters| &counters.connections);
        ClientConnections(place)
    }

    /// Counts a request that a worker has received from a proxy.
    pub(crate) fn request(self: &Arc<Self>, address: IpAddr, worker: usize) -> ProxiedRequest {
        let place = self.place(address, worker);
        place.add(1, |counters| &counters.requests);
        ProxiedRequest(place)
    }

    fn place(self: &Arc<Self>, address: IpAddr, worker: usize) -> Place {
        let origin = Origin::of(address);
        let mut known = self.lock();
        let known = known.entry(origin).or_insert_with(|| Known {
            client: Arc::new(Client {
                workers: (0..self.workers).map(|_| Counters::default()).collect(),
            }),
            places: 0,
        });
        known.places = known.places.saturating_add(1);
        Place {
            clients: Arc::clone(self),
            origin,
            client: Arc::clone(&known.client),
            worker,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Known>> {
        // A counter is right whatever panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl ClientConnections {
    pub(crate) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Returns whether the client has more connections than it may, and more than its share at this
    /// worker.
    pub(crate) fn is_excess(&self) -> bool {
        let most = self.0.clients.connections_max;
        self.0.exceeds(most, |counters| &counters.connections)
    }

    pub(crate) fn request_began(&self) {
        self.0.add(1, |counters| &counters.requests);
    }

    pub(crate) fn request_ended(&self) {
        self.0.add(usize::MAX, |counters| &counters.requests);
    }

    /// Returns whether the client has more concurrent requests than it may.
    pub(crate) fn has_excess_requests(&self) -> bool {
        self.0.has_excess_requests()
    }
}

impl Drop for ClientConnections {
    fn drop(&mut self) {
        self.0.add(usize::MAX, |counters| &counters.connections);
    }
}

impl ProxiedRequest {
    /// Returns whether the client has more concurrent requests than it may.
    pub(crate) fn is_excess(&self) -> bool {
        self.0.has_excess_requests()
    }
}

impl Drop for ProxiedRequest {
    fn drop(&mut self) {
        self.0.add(usize::MAX, |counters| &counters.requests);
    }
}

impl Place {
    fn has_excess_requests(&self) -> bool {
        let most = self.clients.requests_max;
        self.exceeds(most, |counters| &counters.requests)
    }

    /// Returns whether there are more than `most` over all workers, and more than its share at this
    /// one: a worker ends what is its own only, and where there is no more than its share, what is
    /// too much is another's. What others write is not read as long as the share alone decides.
    fn exceeds(&self, most: usize, of: impl Fn(&Counters) -> &AtomicUsize) -> bool {
        let share = most.checked_div(self.clients.workers).unwrap_or(most);
        let count = |counters: &Counters| of(counters).load(Ordering::Relaxed);
        let workers = &self.client.workers;
        let own = workers.get(self.worker).map_or(0, count);
        own > share.max(1) && workers.iter().map(count).fold(0, usize::saturating_add) > most
    }

    /// Only this worker writes its counters.
    fn add(&self, number: usize, of: impl Fn(&Counters) -> &AtomicUsize) {
        if let Some(counters) = self.client.workers.get(self.worker) {
            let count = of(counters);
            let sum = count.load(Ordering::Relaxed).wrapping_add(number);
            count.store(sum, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.clients.lock();
        let Entry::Occupied(mut entry) = known.entry(self.origin) else {
            return;
        };
        let left = entry.get().places.saturating_sub(1);
        entry.get_mut().places = left;
        if left == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(connections_max: usize, requests_max: usize) -> Arc<Clients> {
        let [connections_max, requests_max, workers] =
            [connections_max, requests_max, 2].map(|count| NonZeroUsize::new(count).unwrap());
        Clients::new(connections_max, requests_max, workers)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_one_address_or_one_network_of_ipv6() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let is_equal = Origin::of(address(one)) == Origin::of(address(other));
            assert_eq!(is_equal, is_same, "{one} {other}");
        }
    }

    #[test]
    fn connections_of_one_client_are_limited_over_all_workers() {
        let clients = clients(2, 1);
        let first = clients.connect(address("192.0.2.1"), 0);
        let second = clients.connect(address("192.0.2.1"), 1);
        assert!(!second.is_excess());

        let third = clients.connect(address("192.0.2.1"), 0);

        assert!(third.is_excess());
        assert!(!second.is_excess(), "its worker has no more than its share");
        assert!(!clients.connect(address("192.0.2.2"), 0).is_excess());
        drop(first);
        assert!(!third.is_excess());
    }

    #[test]
    fn requests_of_one_client_are_limited_over_all_workers() {
        let clients = clients(9, 3);
        let here = clients.connect(address("192.0.2.1"), 0);
        let there = clients.connect(address("192.0.2.1"), 1);
        here.request_began();
        there.request_began();
        there.request_began();
        assert!(!there.has_excess_requests());

        there.request_began();
        assert!(there.has_excess_requests());

        here.request_ended();
        assert!(!there.has_excess_requests());
    }

    #[test]
    fn requests_on_connections_of_proxies_are_counted_with_those_on_its_own() {
        let clients = clients(9, 2);
        let own = clients.connect(address("192.0.2.1"), 0);
        own.request_began();
        let first = clients.request(address("192.0.2.1"), 1);
        assert!(!first.is_excess());

        let second = clients.request(address("192.0.2.1"), 1);

        assert!(second.is_excess());
        assert!(!clients.request(address("192.0.2.2"), 1).is_excess());
        drop((own, first, second));
        assert!(clients.lock().is_empty());
    }

    #[test]
    fn a_client_without_connections_is_forgotten() {
        let clients = clients(1, 1);
        let [one, other] = [0, 1].map(|worker| clients.connect(address("192.0.2.1"), worker));
        drop(one);
        assert_eq!(clients.lock().len(), 1);

        drop(other);

        assert!(clients.lock().is_empty());
    }
}
