//! Head of an HTTP/1.1 request, as bytes.
//!
//! Written from the head and what is known of the body, never from a `Content-Length` or
//! `Transfer-Encoding` line among the headers: the two cannot disagree.

use std::io::Write as _;

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::request::headers::AddedHeaders;

/// How the end of a request body is marked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestLength {
    /// There is no body.
    None,
    /// `Content-Length`.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Appends the head of a request in origin form.
pub(crate) fn write_head(
    head: &Parts,
    added: &AddedHeaders,
    length: RequestLength,
    out: &mut Vec<u8>,
) {
    let target = head.uri.path_and_query();
    for piece in [
        head.method.as_str(),
        " ",
        target.map_or("/", http::uri::PathAndQuery::as_str),
        " HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(piece.as_bytes());
    }
    write_line(&header::HOST, added.host.as_bytes(), out);
    for (name, value) in added.forwarded() {
        write_line(name, value.as_bytes(), out);
    }
    for (name, value) in &head.headers {
        let is_length = name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING;
        if !is_length && !AddedHeaders::replace(name) {
            write_line(name, value.as_bytes(), out);
        }
    }
    write_length(head, length, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, and those trailer fields that `is_announced`.
///
/// The trailers are those that may be forwarded.
pub(crate) fn write_last_chunk(
    trailers: &HeaderMap,
    is_announced: impl Fn(&HeaderName) -> bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if is_announced(name) {
            write_line(name, value.as_bytes(), out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before the data of a chunk. The data must not be empty.
pub(crate) fn write_chunk_size(len: usize, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _infallible = write!(out, "{len:x}\r\n");
}

fn write_length(head: &Parts, length: RequestLength, out: &mut Vec<u8>) {
    match length {
        RequestLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        RequestLength::Known(len) => write_content_length(len, out),
        RequestLength::None => {
            let methods = [&Method::POST, &Method::PUT, &Method::PATCH];
            if methods.contains(&&head.method) || head.headers.contains_key(header::CONTENT_LENGTH)
            {
                write_content_length(0, out);
            }
        }
    }
}

fn write_content_length(len: u64, out: &mut Vec<u8>) {
    let _infallible = write!(out, "content-length: {len}\r\n");
}

fn write_line(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::UpstreamHost;
    use crate::request::headers::{ForwardedHeaders, HeaderRules, MethodOverride};
    use crate::upstream::target::Target;

    fn head(method: Method, uri: &str, lines: &[(&'static str, &'static str)]) -> Parts {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = method;
        head.uri = uri.parse().unwrap();
        for (name, value) in lines {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        head
    }

    fn written(head: &Parts, length: RequestLength) -> String {
        let mut out = Vec::new();
        write_head(head, &added(), length, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn added() -> AddedHeaders {
        let target = Target::new("http://up:1".parse().unwrap(), None).unwrap();
        let rules = HeaderRules {
            target: &target,
            upstream_host: &UpstreamHost::Upstream,
            method_override: MethodOverride::Removed,
        };
        let forwarded = ForwardedHeaders {
            address: HeaderValue::from_static("192.0.2.1"),
            scheme: HeaderValue::from_static("https"),
            host: None,
        };
        let [host, id] = ["a.example", "7"].map(HeaderValue::from_static);
        AddedHeaders::new(rules, &forwarded, host, id)
    }

    const ADDED: &str = "host: up:1\r\nx-forwarded-for: 192.0.2.1\r\n\
        x-forwarded-proto: https\r\nx-forwarded-host: a.example\r\nx-request-id: 7\r\n";

    #[test]
    fn a_head_is_written_line_by_line() {
        let lines = [
            ("host", "a.example"),
            ("x-one", "1"),
            ("x-request-id", "no word"),
            ("x-one", "2"),
        ];
        let head = head(Method::GET, "/p?q=1", &lines);

        assert_eq!(
            written(&head, RequestLength::None),
            format!("GET /p?q=1 HTTP/1.1\r\n{ADDED}x-one: 1\r\nx-one: 2\r\n\r\n")
        );
    }

    #[test]
    fn the_body_decides_its_length_and_not_the_headers() {
        let lines = [("content-length", "7"), ("transfer-encoding", "gzip")];
        for (length, line) in [
            (RequestLength::None, "content-length: 0\r\n"),
            (
                RequestLength::Known(u64::MAX),
                "content-length: 18446744073709551615\r\n",
            ),
            (RequestLength::Known(90), "content-length: 90\r\n"),
            (RequestLength::Chunked, "transfer-encoding: chunked\r\n"),
        ] {
            let head = head(Method::GET, "/", &lines);
            assert_eq!(
                written(&head, length),
                format!("GET / HTTP/1.1\r\n{ADDED}{line}\r\n")
            );
        }
    }

    #[test]
    fn an_empty_body_has_a_length_where_one_is_expected() {
        for (method, is_stated) in [
            (Method::POST, true),
            (Method::PUT, true),
            (Method::PATCH, true),
            (Method::GET, false),
            (Method::DELETE, false),
        ] {
            let text = written(&head(method.clone(), "*", &[]), RequestLength::None);
            assert_eq!(
                text.contains("content-length: 0\r\n"),
                is_stated,
                "{method}"
            );
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for (len, text) in [(1, "1\r\n"), (0x1a0, "1a0\r\n"), (65_536, "10000\r\n")] {
            let mut out = Vec::new();
            write_chunk_size(len, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn only_announced_trailers_are_written() {
        let mut trailers = HeaderMap::new();
        for name in ["x-sum", "x-other"] {
            trailers.insert(name, HeaderValue::from_static("1"));
        }
        let mut out = Vec::new();

        write_last_chunk(&trailers, |name| name != "x-other", &mut out);

        assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
    }
}
