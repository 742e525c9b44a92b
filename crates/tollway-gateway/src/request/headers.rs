//! Headers that cross the gateway.
//!
//! Towards the upstream: hop-by-hop headers and the credential are removed, and what only
//! a gateway can know is written by the gateway, whatever the client claimed. Towards the
//! client: hop-by-hop headers are removed.
//!
//! Specification: RFC 9110 section 7.6.1 (Connection), RFC 9113 section 8.2.3 (cookies).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{StatusCode, Uri, Version, response};

use crate::request::kind::{self, RequestKind};
use crate::request::request_id::X_REQUEST_ID;
use crate::upstream::target::Target;

/// What the gateway states about a client to the upstream, in `X-Forwarded-*`.
#[derive(Clone, Debug)]
pub(crate) struct ForwardedHeaders {
    /// The client's address.
    pub(crate) address: HeaderValue,
    /// `http` or `https`, as the client asked.
    pub(crate) scheme: HeaderValue,
}

/// Prepares the head of a request for an upstream.
///
/// The result is in HTTP/1.1 form; `host` is what the client asked for.
pub(crate) fn prepare_request(
    head: &mut Parts,
    kind: RequestKind,
    forwarded: &ForwardedHeaders,
    host: HeaderValue,
    target: &Target,
) {
    let headers = &mut head.headers;
    let takes_trailers = kind::lists(headers, header::TE, "trailers");
    remove_named_in_connection(headers);
    remove_where(headers, |name| {
        is_hop_by_hop(name) || is_forwarded_claim(name)
    });
    tollway_server::strip_credentials(headers);
    if head.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if kind == RequestKind::WebSocket {
        set_websocket_upgrade(headers);
    }
    headers.insert(X_FORWARDED_FOR, forwarded.address.clone());
    headers.insert(X_FORWARDED_PROTO, forwarded.scheme.clone());
    headers.insert(X_FORWARDED_HOST, host);
    headers.insert(header::HOST, target.host.clone());
    use_origin_form(&mut head.uri);
    head.version = Version::HTTP_11;
}

/// Removes the trailer fields of a request that an upstream could take for headers it trusts.
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    // CGI and WSGI do not distinguish the two characters.
    remove_where(trailers, |name| match name.contains('_') {
        true => is_header_only(&name.replace('_', "-")),
        false => is_header_only(name),
    });
}

/// Returns whether a body is as it was sent but for chunks, which are undone on arrival.
pub(crate) fn has_plain_body(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = lines.next().map(HeaderValue::as_bytes);
    first.is_none_or(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        && lines.next().is_none()
}

/// Prepares the head of a response for a client.
pub(crate) fn prepare_response(head: &mut response::Parts) {
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    remove_named_in_connection(&mut head.headers);
    remove_where(&mut head.headers, is_hop_by_hop);
    if head.status == StatusCode::NO_CONTENT || head.status.is_informational() {
        // RFC 9110 section 8.6. Over HTTP/2 it would contradict the end of the stream.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    if switches {
        set_websocket_upgrade(&mut head.headers);
    }
    head.version = Version::HTTP_11;
}

fn set_websocket_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Removes the headers named in `Connection`.
fn remove_named_in_connection(headers: &mut HeaderMap) {
    for name in named_in_connection(headers) {
        headers.remove(name);
    }
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        // The usual values; they name no header that would be forwarded otherwise.
        .filter(|options| *options != "keep-alive" && *options != "close")
        .flat_map(kind::list_items)
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// Removes headers by name, in one pass, without allocating when none is found.
fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let names = headers.keys().filter(|name| goes(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Hop-by-hop headers, even when `Connection` does not name them.
///
/// `Trailer` is not among them: it announces fields that are forwarded, and without it
/// HTTP/1.1 would lose them.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields that are none in trailers: framing, routing, authentication and content negotiation
/// (RFC 9110 section 6.5.1), and what the gateway states or keeps.
fn is_header_only(name: &str) -> bool {
    is_hop_by_hop(name)
        || is_forwarded_claim(name)
        || name == X_REQUEST_ID
        || l402::METADATA_HEADERS.contains(&name)
        || matches!(
            name,
            "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-length"
                | "content-range"
                | "content-type"
                | "cookie"
                | "expect"
                | "host"
                | "max-forwards"
                | "set-cookie"
                | "trailer"
        )
}

/// Headers an upstream trusts because a gateway writes them.
///
/// CGI and WSGI make one variable of `X-Forwarded-For` and `X_Forwarded_For`.
fn is_forwarded_claim(name: &str) -> bool {
    let begins_with = |claim: &str| {
        let hyphens = name
            .bytes()
            .map(|byte| if byte == b'_' { b'-' } else { byte });
        name.len() >= claim.len() && hyphens.zip(claim.bytes()).all(|(a, b)| a == b)
    };
    let is = |claim: &str| name.len() == claim.len() && begins_with(claim);
    begins_with("x-forwarded-") || is("forwarded") || is("x-real-ip")
}

/// HTTP/2 may split a cookie over several lines; HTTP/1.1 servers expect one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Keeps the path and the query, byte for byte.
fn use_origin_form(uri: &mut Uri) {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return;
    }
    *uri = uri
        .path_and_query()
        .map_or_else(Uri::default, |path| Uri::from(path.clone()));
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &str)]) -> Parts {
        let (mut head, ()) = http::Request::new(()).into_parts();
        for (name, value) in lines {
            head.headers
                .append(*name, HeaderValue::from_str(value).unwrap());
        }
        head
    }

    fn sent(mut head: Parts, kind: RequestKind) -> Parts {
        let target = Target::new("http://upstream:3000".parse().unwrap(), None).unwrap();
        let forwarded = ForwardedHeaders {
            address: HeaderValue::from_static("192.0.2.1"),
            scheme: HeaderValue::from_static("https"),
        };
        let host = HeaderValue::from_static("api.example.com");
        prepare_request(&mut head, kind, &forwarded, host, &target);
        head
    }

    fn values<'a>(head: &'a Parts, name: &str) -> Vec<&'a str> {
        head.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    #[test]
    fn hop_by_hop_headers_are_removed() {
        let head = sent(
            head(&[
                ("connection", "close, X-Hop"),
                ("connection", "x-other"),
                ("x-hop", "1"),
                ("x-other", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "Basic x"),
                ("proxy-connection", "keep-alive"),
                ("te", "gzip"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABkAAQAAP__"),
                ("x-end-to-end", "1"),
            ]),
            RequestKind::Http,
        );

        let mut left: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                "host",
                "x-end-to-end",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto"
            ]
        );
    }

    #[test]
    fn trailers_are_still_taken() {
        let with = |te: &str| sent(head(&[("te", te), ("connection", "te")]), RequestKind::Grpc);

        assert_eq!(values(&with("gzip, Trailers"), "te"), ["trailers"]);
        assert!(values(&with("gzip"), "te").is_empty());
    }

    #[test]
    fn what_a_client_claims_about_itself_is_replaced() {
        let head = sent(
            head(&[
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-port", "1"),
                ("x-real-ip", "10.0.0.1"),
                ("x_forwarded_for", "10.0.0.1"),
                ("x-forwarded_for", "10.0.0.1"),
                ("x_real_ip", "10.0.0.1"),
                ("forwarded", "for=10.0.0.1"),
                ("host", "api.example.com"),
            ]),
            RequestKind::Http,
        );

        assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
        assert_eq!(values(&head, "x-forwarded-host"), ["api.example.com"]);
        assert_eq!(values(&head, "host"), ["upstream:3000"]);
        for name in [
            "x-forwarded-port",
            "x-real-ip",
            "x_forwarded_for",
            "x-forwarded_for",
            "x_real_ip",
            "forwarded",
        ] {
            assert!(values(&head, name).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_client_cannot_have_the_gateways_own_headers_removed() {
        let head = sent(
            head(&[("connection", "x-forwarded-for, host")]),
            RequestKind::Http,
        );

        assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(values(&head, "host"), ["upstream:3000"]);
    }

    #[test]
    fn no_line_that_holds_a_credential_is_forwarded() {
        for line in [
            "L402 AgE=:00",
            "l402 broken",
            "LSAT AgE=:00",
            "Lsat  AgE=:00",
            "Basic abc, L402 AgE=:00",
            "Basic abc,LSAT AgE=:00",
        ] {
            let head = sent(head(&[("authorization", line)]), RequestKind::Http);
            assert!(values(&head, "authorization").is_empty(), "{line}");
        }
    }

    #[test]
    fn the_upstreams_own_authorization_is_forwarded() {
        let head = sent(
            head(&[
                ("authorization", "Bearer one"),
                ("authorization", "L402 AgE=:00"),
                ("authorization", "Basic two"),
                ("token", "the upstream's own"),
            ]),
            RequestKind::Http,
        );

        assert_eq!(values(&head, "authorization"), ["Bearer one", "Basic two"]);
        assert_eq!(values(&head, "token"), ["the upstream's own"]);
    }

    #[test]
    fn a_paid_macaroon_in_metadata_is_not_forwarded() {
        let key = l402::RootKey::new([1; 32]);
        let unpaid = l402::Macaroon::mint(&key, "lsat", &[1; 66]).unwrap();
        let paid = unpaid
            .with_caveat(format!("preimage={}", "0".repeat(64)).as_bytes())
            .unwrap();
        for name in l402::METADATA_HEADERS {
            let head = sent(
                head(&[(name, &paid.to_hex()), (name, &unpaid.to_hex())]),
                RequestKind::Grpc,
            );
            assert_eq!(values(&head, name), [unpaid.to_hex()], "{name}");
        }
    }

    #[test]
    fn a_cookie_split_by_http2_is_whole_again() {
        let mut split = head(&[("cookie", "a=1"), ("cookie", "b=2")]);
        split.version = Version::HTTP_2;

        assert_eq!(
            values(&sent(split, RequestKind::Http), "cookie"),
            ["a=1; b=2"]
        );
    }

    #[test]
    fn the_path_and_query_are_kept_byte_for_byte() {
        for (uri, kept) in [
            (
                "https://api.example.com/a%2Fb?x=1;y=%20",
                "/a%2Fb?x=1;y=%20",
            ),
            ("/a//b/?", "/a//b/?"),
            ("http://api.example.com", "/"),
            ("*", "*"),
        ] {
            let mut head = head(&[]);
            head.uri = uri.parse().unwrap();
            assert_eq!(sent(head, RequestKind::Http).uri.to_string(), kept, "{uri}");
        }
    }

    #[test]
    fn the_websocket_upgrade_is_written_by_the_gateway() {
        let head = sent(
            head(&[
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "WebSocket"),
            ]),
            RequestKind::WebSocket,
        );

        assert_eq!(values(&head, "connection"), ["upgrade"]);
        assert_eq!(values(&head, "upgrade"), ["websocket"]);
    }

    #[test]
    fn hop_by_hop_headers_of_a_response_are_removed_too() {
        let (mut head, ()) = http::Response::builder()
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("trailer", "grpc-status")
            .header("x-end-to-end", "1")
            .body(())
            .unwrap()
            .into_parts();

        prepare_response(&mut head);

        let mut left: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["trailer", "x-end-to-end"]);
    }
}
