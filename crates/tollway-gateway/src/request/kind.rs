//! What kind of exchange does this request ask for?

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version, header};

/// The kinds of exchange, as far as they are forwarded differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    /// A request and a response, either of which may stream.
    Http,
    /// The same with gRPC's framing: needs HTTP/2 all the way.
    Grpc,
    /// The opening of a WebSocket: needs HTTP/1.1 all the way.
    WebSocket,
}

impl Call {
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

/// True when a header's value is a list that holds `token`, in any case.
pub(crate) fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(list_items)
        .any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of a comma-separated value; none when it is not text.
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
    // gRPC-Web is ordinary HTTP with a body of its own form.
    value
        .and_then(|value| value.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// No other protocol is switched to: through a tunnel of HTTP/2, say, any number of
/// requests would pass for the price of one.
fn opens_websocket(request: &Parts) -> bool {
    request.method == Method::GET
        && request.headers.contains_key(header::UPGRADE)
        && lists(&request.headers, header::UPGRADE, "websocket")
        && lists(&request.headers, header::CONNECTION, "upgrade")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(lines: &[(&'static str, &'static str)]) -> Call {
        let mut request = http::Request::new(());
        for (name, value) in lines {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        Call::of(&request.into_parts().0)
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            assert_eq!(call(&[("content-type", value)]), Call::Grpc, "{value}");
        }
        for value in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
        ] {
            assert_eq!(call(&[("content-type", value)]), Call::Http, "{value}");
        }
    }

    #[test]
    fn only_websockets_are_upgraded_to() {
        let upgrade =
            |protocol| call(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)]);

        assert_eq!(upgrade("WebSocket"), Call::WebSocket);
        assert_eq!(upgrade("h2c"), Call::Http);
        assert_eq!(upgrade("TLS/1.0"), Call::Http);
        assert_eq!(
            call(&[("upgrade", "websocket")]),
            Call::Http,
            "connection must name it"
        );
    }
}
