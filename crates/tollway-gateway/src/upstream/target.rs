//! Upstream origin and everything about calling it that is known beforehand.
//!
//! `http://` is spoken as HTTP/1.1, and as HTTP/2 with prior knowledge for gRPC;
//! `https://` as whichever of the two the upstream chooses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

use crate::conn::tls::TlsError;
use crate::upstream::tls::ClientTls;

/// The origin requests are forwarded to, such as `http://127.0.0.1:3000`.
#[derive(Clone, Eq, PartialEq)]
pub struct Upstream {
    security: Security,
    authority: Authority,
}

impl Upstream {
    pub(crate) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(match self.security {
            Security::Plain => 80,
            Security::Tls => 443,
        })
    }

    /// Returns whether connections to it reach a listener of this machine. A name other than
    /// `localhost` is not looked up.
    pub(crate) fn is_at(&self, listener: SocketAddr) -> bool {
        if self.port() != listener.port() {
            return false;
        }
        let is_here = |host: IpAddr| host.is_loopback() || host.is_unspecified();
        match self.host().parse::<IpAddr>() {
            Ok(host) if host == listener.ip() => true,
            Ok(host) => {
                let is_same_family = host.is_ipv4() == listener.is_ipv4();
                is_here(host) && is_same_family && listener.ip().is_unspecified()
            }
            Err(_name) => self.host().eq_ignore_ascii_case("localhost") && is_here(listener.ip()),
        }
    }

    /// Returns the host to dial, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    /// Reads an origin: scheme, host and optionally a port, nothing else.
    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let unreadable = |reason| UpstreamError {
            text: text.to_owned(),
            reason,
        };
        let uri: Uri = text.parse().map_err(|_| unreadable("it is not a URL"))?;
        let security = match uri.scheme_str() {
            Some("http") => Security::Plain,
            Some("https") => Security::Tls,
            _ => return Err(unreadable("it must begin with http:// or https://")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| unreadable("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(unreadable("it must not hold a user name or password"));
        }
        if uri
            .path_and_query()
            .is_some_and(|rest| rest.as_str() != "/")
        {
            return Err(unreadable(
                "requests keep their own path, so it must end after the host",
            ));
        }
        Ok(Self {
            security,
            authority: authority.clone(),
        })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::Plain => "http",
            Security::Tls => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({self})")
    }
}

/// A text that names no upstream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no upstream: {reason}; write it as http://127.0.0.1:3000")]
pub struct UpstreamError {
    text: String,
    reason: &'static str,
}

impl UpstreamError {
    /// Returns what is wrong with the text, without repeating it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Security {
    Plain,
    Tls,
}

/// An upstream, with its TLS settings and header values.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The `Host` line sent to the upstream.
    pub(crate) host: HeaderValue,
    pub(crate) tls: Option<ClientTls>,
}

/// Two targets are the same when connections to one can be used for the other.
impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.upstream == other.upstream && self.tls == other.tls
    }
}

impl Target {
    /// `authorities` is a PEM file to trust in place of the system's.
    pub(crate) fn new(upstream: Upstream, authorities: Option<&Path>) -> Result<Self, TlsError> {
        let tls = match upstream.security {
            Security::Plain => None,
            Security::Tls => Some(ClientTls::with(upstream.host(), authorities)?),
        };
        let authority = upstream.authority.clone();
        let host = HeaderValue::from_str(authority.as_str())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        let scheme = match upstream.security {
            Security::Plain => Scheme::HTTP,
            Security::Tls => Scheme::HTTPS,
        };
        Ok(Self {
            upstream,
            scheme,
            authority,
            host,
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_whole() {
        for text in [
            "http://127.0.0.1:3000",
            "https://api.example.com",
            "http://[::1]:8080",
        ] {
            let upstream: Upstream = text.parse().unwrap();
            assert_eq!(upstream.to_string(), text);
        }
    }

    #[test]
    fn the_port_follows_from_the_scheme() {
        let port = |text: &str| text.parse::<Upstream>().unwrap().port();

        assert_eq!(port("http://a"), 80);
        assert_eq!(port("https://a/"), 443);
        assert_eq!(port("https://a:8443"), 8443);
    }

    #[test]
    fn an_ipv6_host_is_dialled_without_brackets() {
        assert_eq!("http://[::1]:80".parse::<Upstream>().unwrap().host(), "::1");
    }

    #[test]
    fn the_address_of_a_listener_is_recognised() {
        for (upstream, listener, is_own) in [
            ("http://127.0.0.1:1", "127.0.0.1:1", true),
            ("http://127.0.0.1:1", "0.0.0.0:1", true),
            ("http://localhost:1", "127.0.0.1:1", true),
            ("https://[::1]:1", "[::]:1", true),
            ("http://127.0.0.1:1", "127.0.0.1:2", false),
            ("http://127.0.0.2:1", "127.0.0.1:1", false),
            ("http://10.0.0.1:1", "0.0.0.0:1", false),
            ("http://api.example:1", "127.0.0.1:1", false),
        ] {
            let origin: Upstream = upstream.parse().unwrap();
            assert_eq!(
                origin.is_at(listener.parse().unwrap()),
                is_own,
                "{upstream}"
            );
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "localhost:3000",
            "ftp://a",
            "http://",
            "http://user:secret@a",
            "http://a/base",
            "http://a/?q",
            "/path",
        ] {
            assert!(text.parse::<Upstream>().is_err(), "{text}");
        }
    }
}
