//! Trusted proxies: whose word about the clients of their connections is taken.
//!
//! An address is trusted because the operator listed it, never because of what was sent from it.
//! The list is a snapshot for the life of a gateway.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

/// The networks of the proxies in front of a gateway.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(Arc<[ProxyNetwork]>);

impl TrustedProxies {
    /// Returns the networks, as they were listed.
    pub fn iter(&self) -> impl Iterator<Item = &ProxyNetwork> {
        self.0.iter()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `address` is one of a trusted proxy. An IPv4 address that is written as
    /// IPv6 counts as IPv4.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

impl FromIterator<ProxyNetwork> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = ProxyNetwork>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// One network of proxies: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxyNetwork(IpNet);

/// A text that names no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no network: write an address or a network, like 10.0.0.1 or 10.0.0.0/8")]
pub struct ProxyNetworkError {
    text: String,
}

impl ProxyNetwork {
    /// Returns whether every IPv4 or every IPv6 address belongs to it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for ProxyNetwork {
    type Err = ProxyNetworkError;

    fn from_str(text: &str) -> Result<Self, ProxyNetworkError> {
        let trimmed = text.trim();
        let address = trimmed.parse::<IpAddr>().map(IpNet::from);
        match address.or_else(|_| trimmed.parse()) {
            Ok(network) => Ok(Self(canonical(network))),
            Err(_) => Err(ProxyNetworkError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

/// Returns the IPv4 network that is meant by one that is written as IPv6.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else {
        return network;
    };
    let prefix = match network {
        IpNet::V4(_) => Some(network.prefix_len()),
        IpNet::V6(_) => network.prefix_len().checked_sub(MAPPED_PREFIX),
    };
    let v4 = prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

/// The bits of an IPv6 address in front of an IPv4 address: `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        networks.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_belongs_to_the_networks_that_are_listed() {
        let trusted = trusted(&[
            "10.0.0.0/8",
            "192.0.2.7",
            "172.16.5.9/12",
            "2001:db8::/32",
            "::1",
            "::ffff:198.51.100.0/120",
        ]);
        for (address, is_trusted) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::2", false),
            ("198.51.100.9", true),
            ("198.51.101.9", false),
            ("127.0.0.1", false),
        ] {
            let contained = trusted.contain(address.parse().unwrap());
            assert_eq!(contained, is_trusted, "{address}");
        }
    }

    #[test]
    fn no_address_is_trusted_unless_it_is_listed() {
        let none = TrustedProxies::default();

        assert!(none.is_empty());
        assert!(!none.contain(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_network_that_cannot_be_read_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "2001:db8::/129",
            "proxy.example",
            "10.0.0.1:80",
            "10.0.0.0/255.0.0.0",
        ] {
            assert!(text.parse::<ProxyNetwork>().is_err(), "{text}");
        }
        assert!("0.0.0.0/0".parse::<ProxyNetwork>().unwrap().is_everything());
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<ProxyNetwork>().unwrap().to_string(), text);
        }
    }
}
