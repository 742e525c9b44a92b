//! What a trusted proxy states about a request, in `X-Forwarded-*`.
//!
//! Each proxy appends the address that its connection came from, so the list is true only as far
//! as it was written by proxies that are trusted: it is read from its end, and the first address
//! that is not a trusted proxy's is the client. What stands before it was sent by that client.
//! Where an entry cannot be read, the client is the last trusted address after it.
//!
//! `Forwarded` (RFC 7239) is not read: a proxy that writes one and passes the other on would let
//! its clients choose which is believed.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderValue};

use crate::conn::proxies::TrustedProxies;
use crate::request::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::request::route::is_host;

/// The addresses through which a request came, from the client to the proxy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Chain {
    /// The client, or the first proxy that is known where the client is not.
    pub(crate) client: IpAddr,
    /// The same as a list for the upstream, from the client on.
    pub(crate) list: HeaderValue,
}

/// Reads `X-Forwarded-For` of a request that the trusted `proxy` sent.
pub(crate) fn chain(headers: &HeaderMap, proxy: IpAddr, trusted: &TrustedProxies) -> Chain {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let entries = entries
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty());
    let mut hops = vec![proxy];
    for entry in entries {
        let Some(address) = address(entry) else {
            break;
        };
        hops.push(address);
        if !trusted.contain(address) {
            break;
        }
    }
    Chain {
        client: hops.last().copied().unwrap_or(proxy),
        list: list(&hops),
    }
}

/// Reads the scheme that the nearest proxy was asked with.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<HeaderValue> {
    let stated = last_item(headers, X_FORWARDED_PROTO)?;
    let is = |scheme: &str| stated.eq_ignore_ascii_case(scheme);
    // The second of each pair is how Traefik names a WebSocket.
    if is("https") || is("wss") {
        Some(HeaderValue::from_static("https"))
    } else if is("http") || is("ws") {
        Some(HeaderValue::from_static("http"))
    } else {
        None
    }
}

/// Reads the host that the nearest proxy was asked for.
pub(crate) fn host(headers: &HeaderMap) -> Option<HeaderValue> {
    let stated = last_item(headers, X_FORWARDED_HOST)?;
    let is_readable = !stated.is_empty() && is_host(stated.as_bytes());
    is_readable
        .then(|| HeaderValue::from_str(stated).ok())
        .flatten()
}

/// Returns the item of a list that was appended last.
fn last_item(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    let line = headers.get_all(name).iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Reads an entry: an address, in brackets or not, with or without a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let alone = match bare {
        Some(v6) => v6.parse().map(IpAddr::V6),
        None => text.parse(),
    };
    let address = alone.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Writes the addresses, the last one first.
fn list(hops: &[IpAddr]) -> HeaderValue {
    let mut text = String::new();
    for (place, address) in hops.iter().rev().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // Writing to a text cannot fail.
        let _written = write!(text, "{comma}{address}");
    }
    // Addresses and commas are always a valid value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn read(lines: &[&str]) -> (String, String) {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"];
        let trusted: TrustedProxies = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let headers = headers("x-forwarded-for", lines);
        let Chain { client, list } = chain(&headers, IpAddr::from([10, 0, 0, 1]), &trusted);
        (client.to_string(), list.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (lines, client, list) in [
            (&["192.0.2.1"][..], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            // What the client sent is before its address.
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            (
                &["6.6.6.6", "192.0.2.1"],
                "192.0.2.1",
                "192.0.2.1, 10.0.0.1",
            ),
            (
                &["10.0.0.9, 192.0.2.1, 10.0.0.2"],
                "192.0.2.1",
                "192.0.2.1, 10.0.0.2, 10.0.0.1",
            ),
            (
                &["6.6.6.6,192.0.2.1", "2001:DB8:1::2", "10.0.0.2"],
                "192.0.2.1",
                "192.0.2.1, 2001:db8:1::2, 10.0.0.2, 10.0.0.1",
            ),
            // The client is a proxy itself.
            (
                &["10.0.0.3, 10.0.0.2"],
                "10.0.0.3",
                "10.0.0.3, 10.0.0.2, 10.0.0.1",
            ),
            (&[], "10.0.0.1", "10.0.0.1"),
            (&["", " , ,"], "10.0.0.1", "10.0.0.1"),
            (&["192.0.2.1, "], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ] {
            assert_eq!(
                read(lines),
                (client.to_owned(), list.to_owned()),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn an_address_is_read_in_every_usual_spelling() {
        for (entry, client) in [
            ("192.0.2.1:55555", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            // The whole of it is an address.
            ("2001:db8::1:443", "2001:db8::1:443"),
            ("\t192.0.2.1 ", "192.0.2.1"),
        ] {
            assert_eq!(read(&[entry]).0, client, "{entry}");
        }
    }

    #[test]
    fn what_is_before_an_unreadable_entry_is_not_believed() {
        for entry in [
            "unknown",
            "_hidden",
            "-",
            "192.0.2.1 6.6.6.6",
            "192.0.2.1;6.6.6.6",
            "192.0.2.256",
            "192.0.2.01",
            "192.0.2.1:99999",
            "192.0.2.1:",
            "[192.0.2.1]",
            "[2001:db8::1",
            "2001:db8::1]:443",
            "fe80::1%eth0",
            "\"192.0.2.1\"",
            "for=192.0.2.1",
            "client.example",
            "\u{1f4a9}",
        ] {
            let lines = [format!("192.0.2.1, {entry}, 10.0.0.2")];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();

            let expected = ("10.0.0.2".to_owned(), "10.0.0.2, 10.0.0.1".to_owned());
            assert_eq!(read(&lines), expected, "{entry}");
        }
    }

    #[test]
    fn ten_thousand_entries_are_no_more_than_the_last() {
        let many = "10.0.0.7, ".repeat(10_000) + "192.0.2.1";

        let (client, list) = read(&[&many]);

        assert_eq!(client, "192.0.2.1");
        assert_eq!(list, "192.0.2.1, 10.0.0.1");
    }

    #[test]
    fn the_scheme_is_what_the_nearest_proxy_states() {
        for (lines, scheme_stated) in [
            (&["https"][..], Some("https")),
            (&["HTTP"], Some("http")),
            (&["wss"], Some("https")),
            (&["https, http"], Some("http")),
            (&["https", "http"], Some("http")),
            (&["gopher"], None),
            (&["https,"], None),
            (&["https, gopher"], None),
            (&[], None),
        ] {
            let stated = scheme(&headers("x-forwarded-proto", lines));
            assert_eq!(
                stated,
                scheme_stated.map(HeaderValue::from_static),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn the_host_is_one_that_could_be_asked_for() {
        for (lines, host_stated) in [
            (&["api.example:8443"][..], Some("api.example:8443")),
            (&["evil.example, api.example"], Some("api.example")),
            (&["api.example/path"], None),
            (&["user@api.example"], None),
            (&[""], None),
            (&[], None),
        ] {
            let stated = host(&headers("x-forwarded-host", lines));
            assert_eq!(
                stated,
                host_stated.map(HeaderValue::from_static),
                "{lines:?}"
            );
        }
    }
}
