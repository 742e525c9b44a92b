//! Origins: protocol, host and port of a server.
//!
//! A credential belongs to an origin: protocol, host and port together. One bought over
//! TLS is never sent in clear text, because the two are different origins.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// Protocol, host and port of a server.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    protocol: Protocol,
    host: String,
    port: u16,
}

/// How bytes travel to an origin.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Returns the origin of an absolute URI.
    ///
    /// # Errors
    ///
    /// [`OriginError`] when the URI has no host, is neither `http` nor `https`, or has a port
    /// that is no number up to 65535.
    pub fn of(uri: &Uri) -> Result<Self, OriginError> {
        let refuse = || OriginError::address(uri);
        let protocol = match uri.scheme_str() {
            Some("http") => Protocol::Http,
            Some("https") => Protocol::Https,
            Some(_) | None => return Err(refuse()),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty() && !has_userinfo(uri))
            .ok_or_else(refuse)?;
        Ok(Self {
            protocol,
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port: port(uri)?.unwrap_or(protocol.default_port()),
        })
    }

    /// Returns the protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the host in lower case; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns true when a credential cannot be read on the way: TLS, or this machine. A private
    /// network does not count: a shared wireless network is one.
    ///
    /// Only the name decides. A name that resolves to a loopback address does not count, because
    /// DNS is not trusted.
    ///
    /// # Specification
    ///
    /// L402 `protocol-specification.md`, "Security Considerations": credentials are not
    /// sent over plain HTTP.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        match self.protocol {
            Protocol::Https => true,
            Protocol::Http => is_this_machine(&self.host),
        }
    }

    /// Returns true for a name of the Tor network, which must not be looked up in DNS (RFC 7686).
    pub(crate) fn is_onion(&self) -> bool {
        self.host == "onion" || self.host.ends_with(".onion")
    }
}

/// A name and password in the address would be dropped without a word.
fn has_userinfo(uri: &Uri) -> bool {
    uri.authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_name) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Always with its port, so that one origin has one spelling.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.protocol.name(), self.host, self.port)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri = text.parse::<Uri>().map_err(|_not_a_uri| {
            let uri = text.split('?').next().unwrap_or_default().to_owned();
            OriginError(Unusable::Address { uri })
        })?;
        Self::of(&uri)
    }
}

/// Returns the port that a URI without userinfo names. `Uri::port` drops one that it cannot read.
fn port(uri: &Uri) -> Result<Option<u16>, OriginError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let after_host = authority
        .strip_prefix(uri.host().unwrap_or_default())
        .unwrap_or_default();
    let port = after_host.strip_prefix(':').unwrap_or_default();
    if port.is_empty() {
        return Ok(None);
    }
    // `parse` alone would accept a sign.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if is_number => Ok(Some(number)),
        Ok(_) | Err(_) => Err(OriginError(Unusable::Port {
            authority: authority.to_owned(),
            port: port.to_owned(),
        })),
    }
}

/// Why a request has no origin to buy from.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct OriginError(Unusable);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum Unusable {
    #[error(
        "`{uri}` is not a web address: write it whole and without a password, like `https://example.com/path`"
    )]
    Address { uri: String },
    #[error("`{authority}` has the port `{port}`: write a number from 0 to 65535")]
    Port { authority: String, port: String },
}

impl OriginError {
    fn address(uri: &Uri) -> Self {
        Self(Unusable::Address {
            // Never the query: it may hold what the caller keeps secret.
            uri: format!("{}{}", uri.host().unwrap_or_default(), uri.path()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn one_origin_has_one_spelling() {
        assert_eq!(
            origin("https://Example.com/x?y").to_string(),
            "https://example.com:443"
        );
        assert_eq!(
            origin("http://example.com.:80"),
            origin("http://EXAMPLE.com")
        );
        assert_eq!(
            origin(&origin("http://[::1]:8402/").to_string()).host(),
            "[::1]"
        );
    }

    #[test]
    fn protocol_and_port_are_part_of_it() {
        assert_ne!(origin("http://example.com"), origin("https://example.com"));
        assert_ne!(
            origin("https://example.com"),
            origin("https://example.com:444")
        );
    }

    #[test]
    fn only_this_machine_is_confidential_in_clear_text() {
        for confidential in [
            "http://localhost:1",
            "http://api.localhost",
            "http://127.0.0.1",
            "http://127.9.9.9",
            "http://[::1]",
            "https://example.com",
        ] {
            assert!(origin(confidential).is_confidential(), "{confidential}");
        }
        for exposed in [
            "http://example.com",
            "http://localhost.example.com",
            "http://mylocalhost",
            "http://127.0.0.1.example.com",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://169.254.1.1",
            "http://[fd00::1]",
            "http://[fe80::1]",
            "http://0.0.0.0",
            "http://8.8.8.8",
            "http://abc.onion",
            "http://[2001:db8::1]",
            "http://[::ffff:8.8.8.8]",
        ] {
            assert!(!origin(exposed).is_confidential(), "{exposed}");
        }
    }

    #[test]
    fn a_name_below_onion_is_an_onion_service() {
        for onion in [
            "http://abc.onion",
            "https://a.b.ONION:1",
            "http://abc.onion.",
        ] {
            assert!(origin(onion).is_onion(), "{onion}");
        }
        for other in [
            "http://onion.example.com",
            "http://myonion",
            "https://onion.to",
        ] {
            assert!(!origin(other).is_onion(), "{other}");
        }
    }

    #[test]
    fn a_name_and_password_in_the_address_are_refused_and_not_dropped() {
        let refused = "http://user:hunter2@example.com/"
            .parse::<Origin>()
            .unwrap_err();

        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_port_that_cannot_be_read_is_named_and_never_the_default() {
        for port in ["65536", "99999", "abc", "-1", "+80", "8 0"] {
            let text = format!("http://127.0.0.1:{port}/x");
            let refused = text.parse::<Origin>().unwrap_err();
            assert!(refused.to_string().contains(port), "{refused}");
        }
        for (usual, port) in [
            ("http://[::1]/", 80),
            ("http://[::1]:/", 80),
            ("https://h:/", 443),
            ("http://[::1]:81", 81),
            ("http://h:65535", 65_535),
        ] {
            assert_eq!(origin(usual).port(), port, "{usual}");
        }
    }

    #[test]
    fn what_is_not_a_web_address_is_refused_without_its_query() {
        for bad in [
            "/path?key=hunter2",
            "ftp://example.com/?hunter2",
            "",
            "https://?hunter2",
        ] {
            let refused = bad.parse::<Origin>().unwrap_err();
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
    }
}
