//! Kind of exchange a request asks for.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use l402::Grpc;

/// The kinds of exchange that are forwarded differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestKind {
    /// A request and a response, either of which may stream.
    Http,
    /// The same with gRPC's framing: needs HTTP/2 all the way.
    Grpc,
    /// The opening of a WebSocket: needs HTTP/1.1 all the way.
    WebSocket,
}

impl RequestKind {
    pub(crate) fn of(request: &Parts) -> Self {
        if is_grpc(&request.headers) {
            return Self::Grpc;
        }
        match request.version {
            Version::HTTP_11 if opens_websocket(request) => Self::WebSocket,
            _ => Self::Http,
        }
    }
}

/// Returns whether a header is a list that holds `token`, in any case.
pub(crate) fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(list_items)
        .any(|item| item.eq_ignore_ascii_case(token))
}

/// Returns the items of a comma-separated value; none when it is not text.
pub(crate) fn list_items(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    // gRPC-Web is ordinary HTTP with its own body format.
    value.and_then(Grpc::of) == Some(Grpc::Native)
}

/// No other protocol is upgraded to: through an HTTP/2 tunnel, any number of requests
/// would pass for the price of one.
fn opens_websocket(request: &Parts) -> bool {
    request.method == Method::GET
        && request.headers.contains_key(header::UPGRADE)
        && lists(&request.headers, header::UPGRADE, "websocket")
        && lists(&request.headers, header::CONNECTION, "upgrade")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(lines: &[(&'static str, &'static str)]) -> RequestKind {
        let mut request = http::Request::new(());
        for (name, value) in lines {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        RequestKind::of(&request.into_parts().0)
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            assert_eq!(
                kind(&[("content-type", value)]),
                RequestKind::Grpc,
                "{value}"
            );
        }
        for value in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
        ] {
            assert_eq!(
                kind(&[("content-type", value)]),
                RequestKind::Http,
                "{value}"
            );
        }
    }

    #[test]
    fn only_websockets_are_upgraded_to() {
        let upgrade =
            |protocol| kind(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)]);

        assert_eq!(upgrade("WebSocket"), RequestKind::WebSocket);
        assert_eq!(upgrade("h2c"), RequestKind::Http);
        assert_eq!(upgrade("TLS/1.0"), RequestKind::Http);
        assert_eq!(
            kind(&[("upgrade", "websocket")]),
            RequestKind::Http,
            "connection must name it"
        );
    }
}
