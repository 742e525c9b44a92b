//! The remote end of a connection, as far as the socket proves it.
//!
//! A forwarding header is a claim: code that trusts one does so before it creates a [`Peer`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The other end of the connection. Put it in the request's extensions, or pass it along.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peer {
    /// Where the connection comes from; `None` when unknown.
    pub address: Option<IpAddr>,
    /// SHA-256 of the client's TLS certificate, when it presented one.
    pub tls_fingerprint: Option<[u8; 32]>,
}

impl Peer {
    /// Creates a peer known by its address alone.
    #[must_use]
    pub const fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            tls_fingerprint: None,
        }
    }

    /// Returns the network whose share of challenges the peer uses.
    #[must_use]
    pub fn network(&self) -> PeerNetwork {
        self.address.map_or(PeerNetwork::Unknown, PeerNetwork::of)
    }
}

/// The smallest network that one customer of an internet provider usually holds.
///
/// Counting single addresses would hand every IPv6 customer 2^72 shares.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PeerNetwork {
    /// This machine.
    Loopback,
    /// All clients with unknown addresses, as one network.
    Unknown,
    /// The first 24 bits of an IPv4 address.
    V4([u8; 3]),
    /// The first 56 bits of an IPv6 address.
    V6([u8; 7]),
}

impl PeerNetwork {
    /// Returns the network an address belongs to. An IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Self::Loopback;
        }
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _host] = address.octets();
        Self::V4([a, b, c])
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, ..] = address.octets();
        Self::V6([a, b, c, d, e, f, g])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        for (one, other) in [
            ("192.0.2.1", "192.0.2.254"),
            ("2001:db8:0:aa00::1", "2001:db8:0:aaff::9"),
            ("192.0.2.1", "::ffff:192.0.2.7"),
            ("127.0.0.1", "127.9.9.9"),
            ("127.0.0.1", "::1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(network(one), network(other), "{one} {other}");
        }
    }

    #[test]
    fn strangers_do_not_share_a_network() {
        for (one, other) in [
            ("192.0.2.1", "192.0.3.1"),
            ("2001:db8:0:aa00::1", "2001:db8:0:ab00::1"),
            ("::1", "::2"),
            ("192.0.2.1", "64:ff9b::192.0.2.1"),
        ] {
            assert_ne!(network(one), network(other), "{one} {other}");
        }
        assert_ne!(Peer::default().network(), network("127.0.0.1"));
    }

    fn network(address: &str) -> PeerNetwork {
        Peer::at(address.parse().unwrap()).network()
    }
}
