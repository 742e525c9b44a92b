//! Headers that cross the gateway.
//!
//! Towards the upstream: hop-by-hop headers and the credential are removed, and so is what an
//! upstream could take for the word of a gateway: who the client is, which host or URL it asked
//! for, and which method. What only a gateway can know is written by the gateway. Towards the
//! client: hop-by-hop headers are removed.
//!
//! Specification: RFC 9110 section 7.6.1 (Connection), RFC 9113 section 8.2.3 (cookies), RFC 9440
//! section 2.4 (Client-Cert).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{StatusCode, Uri, Version, response};

use crate::config::{Price, UpstreamHost};
use crate::request::kind::{self, RequestKind};
use crate::request::request_id::X_REQUEST_ID;
use crate::upstream::target::Target;

/// What the gateway states about a client to the upstream, in `X-Forwarded-*`.
#[derive(Clone, Debug)]
pub(crate) struct ForwardedHeaders {
    /// The client's address, and those of the trusted proxies after it.
    pub(crate) address: HeaderValue,
    /// `http` or `https`, as the client asked.
    pub(crate) scheme: HeaderValue,
    /// The host that the client asked a trusted proxy for; `None` for the one that it asked the
    /// gateway for.
    pub(crate) host: Option<HeaderValue>,
}

/// What the route of a request decides about its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderRules<'a> {
    pub(crate) target: &'a Target,
    pub(crate) upstream_host: &'a UpstreamHost,
    pub(crate) method_override: MethodOverride,
}

/// Whether the upstream receives headers that replace the method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MethodOverride {
    /// Nothing is decided by the method.
    Forwarded,
    /// A price or a token may depend on the method of the request line.
    Removed,
}

impl MethodOverride {
    pub(crate) const fn at(price: &Price) -> Self {
        match price {
            Price::Free => Self::Forwarded,
            Price::Paid { .. } => Self::Removed,
        }
    }
}

impl HeaderRules<'_> {
    /// Returns the `Host` for the upstream, where the client asked for `requested`.
    fn host(&self, requested: &HeaderValue) -> HeaderValue {
        match self.upstream_host {
            // HTTP/1.0 knows requests without a host.
            UpstreamHost::Preserved if !requested.is_empty() => requested.clone(),
            UpstreamHost::Preserved | UpstreamHost::Upstream => self.target.host.clone(),
            UpstreamHost::Named(host) => host.as_value().clone(),
        }
    }

    fn forwards(&self, name: &str) -> bool {
        match Class::of(name) {
            None => true,
            Some(Class::Method) => self.method_override == MethodOverride::Forwarded,
            Some(Class::HopByHop | Class::Identity | Class::Target) => false,
        }
    }
}

/// A request for an upstream, but for its body.
#[derive(Debug)]
pub(crate) struct UpstreamHead<'a> {
    /// In HTTP/1.1 form.
    pub(crate) parts: &'a mut Parts,
    pub(crate) added: &'a AddedHeaders,
    pub(crate) kind: RequestKind,
}

/// The headers that the gateway adds to a request. Those of the client with their names are not
/// forwarded.
///
/// They are not among the others, because a header map looks each of them up several times.
#[derive(Debug)]
pub(crate) struct AddedHeaders {
    pub(crate) host: HeaderValue,
    forwarded: [HeaderValue; 4],
}

impl AddedHeaders {
    /// `requested` is the host that the client asked for.
    pub(crate) fn new(
        rules: HeaderRules<'_>,
        forwarded: &ForwardedHeaders,
        requested: HeaderValue,
        request_id: HeaderValue,
    ) -> Self {
        Self {
            host: rules.host(&requested),
            forwarded: [
                forwarded.address.clone(),
                forwarded.scheme.clone(),
                forwarded.host.clone().unwrap_or(requested),
                request_id,
            ],
        }
    }

    /// Returns those besides the host that are known: HTTP/1.0 has requests without a host.
    pub(crate) fn forwarded(&self) -> impl Iterator<Item = (&'static HeaderName, &HeaderValue)> {
        FORWARDED
            .iter()
            .zip(&self.forwarded)
            .filter(|(_, value)| !value.is_empty())
    }

    /// Returns whether a header of the client is replaced, and has not been removed.
    pub(crate) fn replace(name: &HeaderName) -> bool {
        name == header::HOST || name == X_REQUEST_ID
    }
}

/// Prepares the head of a request for an upstream. The result is in HTTP/1.1 form.
pub(crate) fn prepare_request(head: &mut Parts, kind: RequestKind, rules: HeaderRules<'_>) {
    let headers = &mut head.headers;
    let removed = names_where(headers, |name| !rules.forwards(name));
    // `Connection` and `TE` are among them.
    if !removed.is_empty() {
        let takes_trailers = kind::lists(headers, header::TE, "trailers");
        remove_named_in_connection(headers);
        remove(headers, removed);
        if takes_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    tollway_server::strip_credentials(headers);
    if head.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if kind == RequestKind::WebSocket {
        set_websocket_upgrade(headers);
    }
    use_origin_form(&mut head.uri);
    head.version = Version::HTTP_11;
}

/// Removes the trailer fields of a request that an upstream could take for headers it trusts.
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    let removed = names_where(trailers, |name| {
        Class::of(name).is_some() || is_header_only(name)
    });
    remove(trailers, removed);
}

/// Removes the trailer fields of a response that would end an HTTP/2 stream with an error.
pub(crate) fn prepare_response_trailers(trailers: &mut HeaderMap) {
    let is_framing =
        |name: &str| Class::of(name) == Some(Class::HopByHop) || FRAMING.contains(&name);
    let removed = names_where(trailers, is_framing);
    remove(trailers, removed);
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
    let is_hop_by_hop = |name: &str| Class::of(name) == Some(Class::HopByHop);
    let removed = names_where(&head.headers, is_hop_by_hop);
    // `Connection` is among them.
    if !removed.is_empty() {
        remove_named_in_connection(&mut head.headers);
        remove(&mut head.headers, removed);
    }
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

/// Returns names in one pass, without allocating when there is none.
fn names_where(headers: &HeaderMap, is_meant: impl Fn(&str) -> bool) -> Vec<HeaderName> {
    let names = headers.keys().filter(|name| is_meant(name.as_str()));
    names.cloned().collect()
}

fn remove(headers: &mut HeaderMap, names: Vec<HeaderName>) {
    for name in names {
        headers.remove(name);
    }
}

/// Why a header is not forwarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// It is for one connection, whether or not `Connection` names it.
    ///
    /// `Trailer` is not among them: it announces fields that are forwarded, and without it
    /// HTTP/1.1 would lose them.
    HopByHop,
    /// An upstream trusts it because a gateway writes it: the client's address, scheme or
    /// certificate.
    Identity,
    /// It replaces the host or the URL by which the request was routed and priced.
    Target,
    /// It replaces the method, to which a token may be restricted.
    Method,
}

impl Class {
    /// Looks at few names more closely than at their first byte: it is called for every header.
    fn of(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        let known = match name.first()? {
            b'c' => BEGINNING_WITH_C,
            b'f' => BEGINNING_WITH_F,
            b'h' => BEGINNING_WITH_H,
            b'k' => BEGINNING_WITH_K,
            b'p' => BEGINNING_WITH_P,
            b't' => BEGINNING_WITH_T,
            b'u' => BEGINNING_WITH_U,
            b'w' => BEGINNING_WITH_W,
            b'x' if begins_with(name, X_FORWARDED) => return Some(Self::Identity),
            b'x' => BEGINNING_WITH_X,
            _ => return None,
        };
        let found = known.iter().find(|(known, _)| is_same(name, known));
        found.map(|(_, class)| *class)
    }
}

/// Compares header names. CGI and WSGI make one variable of `X-Real-IP` and `X_Real_IP`.
fn is_same(name: &[u8], known: &str) -> bool {
    let is_same = |(byte, known): (&u8, u8)| *byte == known || (*byte == b'_' && known == b'-');
    name.len() == known.len() && name.iter().zip(known.bytes()).all(is_same)
}

fn begins_with(name: &[u8], known: &str) -> bool {
    name.get(..known.len())
        .is_some_and(|start| is_same(start, known))
}

/// Fields that are none in trailers, besides those of a [`Class`]: framing, routing,
/// authentication and content negotiation (RFC 9110 section 6.5.1), and what the gateway keeps.
fn is_header_only(name: &str) -> bool {
    let is = |known: &&str| is_same(name.as_bytes(), known);
    HEADER_ONLY.iter().any(is)
        || l402::METADATA_HEADERS.iter().any(is)
        || is(&X_REQUEST_ID.as_str())
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

/// Fields that are part of a response's framing, besides those of one connection.
const FRAMING: &[&str] = &["content-length", "host", "trailer"];
const HEADER_ONLY: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "max-forwards",
    "set-cookie",
    "trailer",
];

/// Every name of a [`Class`] but those that begin with [`X_FORWARDED`], in lower case.
type Classes = &'static [(&'static str, Class)];

const BEGINNING_WITH_C: Classes = &[
    ("cf-connecting-ip", Class::Identity),
    ("cf-connecting-ipv6", Class::Identity),
    ("cf-pseudo-ipv4", Class::Identity),
    ("client-cert", Class::Identity),
    ("client-cert-chain", Class::Identity),
    ("client-ip", Class::Identity),
    ("connection", Class::HopByHop),
];
const BEGINNING_WITH_F: Classes = &[
    ("fastly-client-ip", Class::Identity),
    ("fly-client-ip", Class::Identity),
    ("forwarded", Class::Identity),
    ("forwarded-for", Class::Identity),
    ("front-end-https", Class::Identity),
];
const BEGINNING_WITH_H: Classes = &[("http2-settings", Class::HopByHop)];
const BEGINNING_WITH_K: Classes = &[("keep-alive", Class::HopByHop)];
const BEGINNING_WITH_P: Classes = &[
    ("proxy-authenticate", Class::HopByHop),
    ("proxy-authorization", Class::HopByHop),
    ("proxy-client-ip", Class::Identity),
    ("proxy-connection", Class::HopByHop),
];
const BEGINNING_WITH_T: Classes = &[
    ("te", Class::HopByHop),
    ("transfer-encoding", Class::HopByHop),
    ("true-client-ip", Class::Identity),
];
const BEGINNING_WITH_U: Classes = &[("upgrade", Class::HopByHop)];
const BEGINNING_WITH_W: Classes = &[("wl-proxy-client-ip", Class::Identity)];
const BEGINNING_WITH_X: Classes = &[
    ("x-appengine-remote-addr", Class::Identity),
    ("x-appengine-user-ip", Class::Identity),
    ("x-azure-clientip", Class::Identity),
    ("x-azure-socketip", Class::Identity),
    ("x-client-ip", Class::Identity),
    ("x-cluster-client-ip", Class::Identity),
    ("x-envoy-external-address", Class::Identity),
    ("x-forwarded", Class::Identity),
    ("x-host", Class::Target),
    ("x-http-host-override", Class::Target),
    ("x-http-method", Class::Method),
    ("x-http-method-override", Class::Method),
    ("x-method-override", Class::Method),
    ("x-original-host", Class::Target),
    ("x-original-method", Class::Method),
    ("x-original-uri", Class::Target),
    ("x-original-url", Class::Target),
    ("x-originating-ip", Class::Identity),
    ("x-override-url", Class::Target),
    ("x-proxyuser-ip", Class::Identity),
    ("x-real-ip", Class::Identity),
    ("x-remote-addr", Class::Identity),
    ("x-remote-ip", Class::Identity),
    ("x-rewrite-url", Class::Target),
    ("x-scheme", Class::Identity),
    ("x-true-client-ip", Class::Identity),
    ("x-url-scheme", Class::Identity),
];
const X_FORWARDED: &str = "x-forwarded-";

/// The names of [`AddedHeaders::forwarded`].
static FORWARDED: [HeaderName; 4] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_REQUEST_ID,
];
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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

    fn sent(head: Parts, kind: RequestKind) -> Parts {
        sent_at(MethodOverride::Removed, head, kind)
    }

    fn sent_at(method_override: MethodOverride, mut head: Parts, kind: RequestKind) -> Parts {
        let rules = (method_override, &UpstreamHost::Upstream);
        prepare(rules, "api.example.com", &mut head, kind);
        head
    }

    fn prepare(
        (method_override, upstream_host): (MethodOverride, &UpstreamHost),
        host: &'static str,
        head: &mut Parts,
        kind: RequestKind,
    ) {
        let target = Target::new("http://upstream:3000".parse().unwrap(), None).unwrap();
        let forwarded = ForwardedHeaders {
            address: HeaderValue::from_static("192.0.2.1"),
            scheme: HeaderValue::from_static("https"),
            host: None,
        };
        let rules = HeaderRules {
            target: &target,
            upstream_host,
            method_override,
        };
        let host = HeaderValue::from_static(host);
        prepare_request(head, kind, rules);
        let added = AddedHeaders::new(rules, &forwarded, host, HeaderValue::from_static("id"));
        head.headers.insert(header::HOST, added.host.clone());
        for (name, value) in added.forwarded() {
            head.headers.insert(name, value.clone());
        }
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
                "x-forwarded-proto",
                "x-request-id"
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
    fn what_an_upstream_could_take_for_the_word_of_a_gateway_is_removed() {
        for name in [
            "True-Client-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "CF-Connecting-IP",
            "Fastly-Client-IP",
            "Client-Cert",
            "X-Forwarded-Client-Cert",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Original-Host",
            "X-Host",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
        ] {
            for name in [name.to_owned(), name.replace('-', "_")] {
                let (mut head, ()) = http::Request::new(()).into_parts();
                let name: HeaderName = name.parse().unwrap();
                head.headers.insert(&name, HeaderValue::from_static("1"));
                let mut trailers = head.headers.clone();

                let head = sent(head, RequestKind::Http);
                prepare_trailers(&mut trailers);

                assert!(!head.headers.contains_key(&name), "{name}");
                assert!(trailers.is_empty(), "{name} in trailers");
            }
        }
    }

    #[test]
    fn names_that_are_only_similar_are_forwarded() {
        let lines = [
            ("x-hostname", "1"),
            ("x-forwardedness", "1"),
            ("x-http-methods", "1"),
            ("cf-ray", "1"),
            ("client-id", "1"),
            ("via", "1"),
            ("x", "1"),
        ];
        let head = sent(head(&lines), RequestKind::Http);

        for (name, _) in lines {
            assert_eq!(values(&head, name), ["1"], "{name}");
        }
    }

    #[test]
    fn the_upstream_receives_the_host_that_is_configured() {
        for (configured, requested, host) in [
            ("upstream", "api.example.com:8402", "upstream:3000"),
            ("preserve", "api.example.com:8402", "api.example.com:8402"),
            ("preserve", "", "upstream:3000"),
            ("inner.example", "api.example.com:8402", "inner.example"),
        ] {
            let mut head = head(&[("host", requested)]);
            let rules = (MethodOverride::Removed, &configured.parse().unwrap());

            prepare(rules, requested, &mut head, RequestKind::Http);

            assert_eq!(values(&head, "host"), [host], "{configured} {requested}");
            let stated = Some(requested).filter(|host| !host.is_empty());
            assert_eq!(values(&head, "x-forwarded-host"), Vec::from_iter(stated));
        }
    }

    #[test]
    fn a_method_may_be_overridden_where_nothing_depends_on_it() {
        let lines = [("x-http-method-override", "PUT"), ("x-original-url", "/b")];

        let free = sent_at(MethodOverride::Forwarded, head(&lines), RequestKind::Http);

        assert_eq!(values(&free, "x-http-method-override"), ["PUT"]);
        assert!(values(&free, "x-original-url").is_empty());
    }

    #[test]
    fn every_known_name_is_found() {
        for known in [
            BEGINNING_WITH_C,
            BEGINNING_WITH_F,
            BEGINNING_WITH_H,
            BEGINNING_WITH_K,
            BEGINNING_WITH_P,
            BEGINNING_WITH_T,
            BEGINNING_WITH_U,
            BEGINNING_WITH_W,
            BEGINNING_WITH_X,
        ] {
            for (name, class) in known {
                assert_eq!(Class::of(name), Some(*class), "{name}");
            }
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
