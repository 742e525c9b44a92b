//! Head of an HTTP/1.1 response: parsed, and what it states about the body.
//!
//! A head that two readers could understand differently is an error: the connection is closed
//! and the client gets none of it.
//!
//! Specification: RFC 9112 sections 4 and 6.3, RFC 9110 section 15.2.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httparse::Status;

use crate::upstream::error::ExchangeError;

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// The text after the status, where it is not the usual one.
    pub(crate) reason: Option<Bytes>,
    pub(crate) headers: HeaderMap,
    is_http_1_0: bool,
}

/// How the end of a response body is found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseLength {
    Known(u64),
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// What a head states about the body and the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Framing {
    pub(crate) length: ResponseLength,
    /// Whether the upstream keeps the connection open after the response.
    pub(crate) keeps_alive: bool,
}

/// Where the pieces of a head are in its bytes. Kept to be used again.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    lines: Vec<Line>,
    code: u16,
    reason: Span,
    is_http_1_0: bool,
}

#[derive(Debug)]
struct Line {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    /// Where `piece` is in `whole`. Empty if it is no part of it: the parser has a text of its
    /// own for a reason that is missing or not in ASCII.
    fn of(piece: &[u8], whole: &[u8]) -> Self {
        let distance = piece.as_ptr().addr().checked_sub(whole.as_ptr().addr());
        let span = distance.and_then(|from| {
            let to = from.checked_add(piece.len())?;
            (to <= whole.len()).then_some(Self { from, to })
        });
        span.unwrap_or_default()
    }

    fn of_text<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        whole.get(self.from..self.to).unwrap_or_default()
    }

    /// The same, without a copy.
    fn of_shared(&self, whole: &Bytes) -> Bytes {
        whole.slice_ref(self.of_text(whole))
    }
}

/// Removes a whole head from `buffer`. Returns `None` while it is not complete.
///
/// `headers` is cleared and used for the result, so that its memory is.
pub(crate) fn take_head(
    buffer: &mut BytesMut,
    spans: &mut Spans,
    headers: &mut HeaderMap,
) -> Result<Option<ResponseHead>, ExchangeError> {
    let Some(len) = locate(buffer, spans)? else {
        return match buffer.len() >= HEAD_MAX {
            true => Err(ExchangeError::Invalid("its head is too long")),
            false => Ok(None),
        };
    };
    if len > HEAD_MAX {
        return Err(ExchangeError::Invalid("its head is too long"));
    }
    let bytes = buffer.split_to(len).freeze();
    let status = StatusCode::from_u16(spans.code).map_err(|_| INVALID)?;
    let mut headers = std::mem::take(headers);
    headers.clear();
    for line in &spans.lines {
        let name = HeaderName::from_bytes(line.name.of_text(&bytes)).map_err(|_| INVALID)?;
        let value = line.value.of_shared(&bytes);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| INVALID)?;
        headers.try_append(name, value).map_err(|_| INVALID)?;
    }
    let reason = spans.reason.of_text(&bytes);
    let usual = status.canonical_reason().unwrap_or_default();
    let is_usual = reason.is_empty() || reason == usual.as_bytes();
    Ok(Some(ResponseHead {
        status,
        reason: (!is_usual).then(|| spans.reason.of_shared(&bytes)),
        headers,
        is_http_1_0: spans.is_http_1_0,
    }))
}

impl ResponseHead {
    /// Returns how the body ends. Removes a `Content-Length` that does not state it,
    /// and repetitions of one that does.
    pub(crate) fn framing(&mut self, method: &Method) -> Result<Framing, ExchangeError> {
        let mut keeps_alive = self.keeps_alive();
        let content_length = self.content_length()?;
        let has_body = *method != Method::HEAD
            && !self.status.is_informational()
            && self.status != StatusCode::NO_CONTENT
            && self.status != StatusCode::NOT_MODIFIED;
        let length = if self.headers.contains_key(header::TRANSFER_ENCODING) {
            self.expect_chunked()?;
            // Who sends both may have been made to: the connection is not trusted further.
            keeps_alive &= self.headers.remove(header::CONTENT_LENGTH).is_none();
            ResponseLength::Chunked
        } else {
            content_length.map_or(ResponseLength::UntilClose, ResponseLength::Known)
        };
        let length = match has_body {
            true => length,
            false => ResponseLength::Known(0),
        };
        Ok(Framing {
            length,
            keeps_alive: keeps_alive && length != ResponseLength::UntilClose,
        })
    }

    fn keeps_alive(&self) -> bool {
        let lists = |token: &str| {
            let mut values = self.headers.get_all(header::CONNECTION).iter();
            values.any(|value| {
                let mut items = value.as_bytes().split(|byte| *byte == b',');
                items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            })
        };
        match self.is_http_1_0 {
            true => lists("keep-alive") && !lists("close"),
            false => !lists("close"),
        }
    }

    /// The body is one of chunks, and no other coding is applied to it.
    fn expect_chunked(&self) -> Result<(), ExchangeError> {
        let mut lines = self.headers.get_all(header::TRANSFER_ENCODING).iter();
        let (first, second) = (lines.next(), lines.next());
        let is_chunked = first.is_some_and(|value| {
            value
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked")
        });
        match is_chunked && second.is_none() && !self.is_http_1_0 {
            true => Ok(()),
            false => Err(ExchangeError::Invalid("its transfer coding is unknown")),
        }
    }

    /// The one value of all `Content-Length` lines.
    fn content_length(&mut self) -> Result<Option<u64>, ExchangeError> {
        let mut found = None;
        let mut values = 0_u32;
        for line in self.headers.get_all(header::CONTENT_LENGTH) {
            for item in line.as_bytes().split(|byte| *byte == b',') {
                let value = decimal(item.trim_ascii()).ok_or(AMBIGUOUS)?;
                if found.is_some_and(|other| other != value) {
                    return Err(AMBIGUOUS);
                }
                found = Some(value);
                values = values.saturating_add(1);
            }
        }
        if let Some(value) = found
            && values > 1
        {
            let line = HeaderValue::from(value);
            self.headers.insert(header::CONTENT_LENGTH, line);
        }
        Ok(found)
    }
}

/// Finds the pieces of a head. Returns its length, if it is complete.
fn locate(bytes: &[u8], spans: &mut Spans) -> Result<Option<usize>, ExchangeError> {
    let mut usual = [const { MaybeUninit::uninit() }; LINES_USUAL];
    match locate_with(bytes, spans, &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![MaybeUninit::uninit(); LINES_MAX];
            locate_with(bytes, spans, &mut many)
        }
        located => located,
    }
    .map_err(|error| match error {
        httparse::Error::TooManyHeaders => ExchangeError::Invalid("it has too many header lines"),
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => INVALID,
    })
}

fn locate_with<'b>(
    bytes: &'b [u8],
    spans: &mut Spans,
    lines: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<usize>, httparse::Error> {
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        lines,
    )?;
    let Status::Complete(len) = parsed else {
        return Ok(None);
    };
    spans.code = response.code.unwrap_or_default();
    spans.is_http_1_0 = response.version == Some(0);
    spans.reason = response
        .reason
        .map_or(Span::default(), |reason| Span::of(reason.as_bytes(), bytes));
    spans.lines.clear();
    let lines = response.headers.iter().map(|line| Line {
        name: Span::of(line.name.as_bytes(), bytes),
        value: Span::of(line.value, bytes),
    });
    spans.lines.extend(lines);
    Ok(Some(len))
}

/// Digits and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

const INVALID: ExchangeError = ExchangeError::Invalid("its head cannot be read");
const AMBIGUOUS: ExchangeError = ExchangeError::Invalid("its length is ambiguous");
/// The longest head accepted, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Header lines for which nothing is allocated, and the most accepted.
const LINES_USUAL: usize = 128;
const LINES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ResponseHead>, ExchangeError> {
        let mut buffer = BytesMut::from(text);
        take_head(&mut buffer, &mut Spans::default(), &mut HeaderMap::new())
    }

    fn framing(method: Method, text: &str) -> Option<(ResponseLength, bool)> {
        let mut head = parse(text).ok()??;
        let framing = head.framing(&method).ok()?;
        Some((framing.length, framing.keeps_alive))
    }

    #[test]
    fn a_head_is_taken_whole_and_what_follows_is_left() {
        let text = "HTTP/1.1 200 OK\r\nA: 1\r\nB:  two \r\na: 2\r\n\r\nbody";
        let end = text.len() - 4;
        for cut in 0..=text.len() {
            let mut buffer = BytesMut::from(text.get(..cut).unwrap());
            let mut spans = Spans::default();
            let head = take_head(&mut buffer, &mut spans, &mut HeaderMap::new()).unwrap();

            assert_eq!(head.is_some(), cut >= end, "{cut}");
            let Some(head) = head else { continue };
            assert_eq!(buffer.len(), cut - end);
            assert_eq!(head.status, StatusCode::OK);
            assert_eq!(head.reason, None);
            let values: Vec<_> = head.headers.get_all("a").iter().collect();
            assert_eq!(values, ["1", "2"]);
            assert_eq!(head.headers["b"], "two");
        }
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        let head = parse("HTTP/1.1 200 Fine\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.reason.as_deref(), Some(&b"Fine"[..]));
    }

    #[test]
    fn a_status_without_a_readable_reason_has_the_usual_one() {
        for line in [
            &b"HTTP/1.1 200"[..],
            b"HTTP/1.1 200 ",
            b"HTTP/1.1 200 gr\xc3\xbcn",
            b"HTTP/1.1 200 trouv\xe9e",
            b"HTTP/1.0 200",
        ] {
            for lines in ["\r\n\r\n", "\r\nA:\r\nB: \r\n\r\n"] {
                let mut buffer = BytesMut::from(line);
                buffer.extend_from_slice(lines.as_bytes());
                let mut spans = Spans::default();
                let head = take_head(&mut buffer, &mut spans, &mut HeaderMap::new());

                let head = head.unwrap().unwrap();
                assert_eq!(head.status, StatusCode::OK);
                assert_eq!(head.reason, None, "{line:?}");
                assert!(head.headers.values().all(HeaderValue::is_empty));
            }
        }
    }

    #[test]
    fn random_heads_end_alike_however_they_are_split() {
        // A fixed sequence: xorshift.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
        };
        let pieces: [&[u8]; 20] = [
            b"HTTP/1.1",
            b"HTTP/1.0",
            b" ",
            b" ",
            b"200",
            b"999",
            b"OK",
            b"\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\n\n",
            b"\r",
            b"A",
            b":",
            b": b",
            b"\t",
            b"\xe9",
            b"\0",
            b"9",
        ];
        let mut heads = 0;
        for _ in 0..3000 {
            let mut text = [
                &b""[..],
                b"HTTP/1.1 ",
                b"HTTP/1.1 200",
                b"HTTP/1.1 404 x\r\n",
            ][next(4)]
            .to_vec();
            for _ in 0..next(10) {
                text.extend_from_slice(pieces[next(pieces.len())]);
            }
            let take = |cut: usize| {
                let (mut buffer, mut spans) = (BytesMut::new(), Spans::default());
                for piece in [&text[..cut], &text[cut..]] {
                    buffer.extend_from_slice(piece);
                    let head = take_head(&mut buffer, &mut spans, &mut HeaderMap::new());
                    let Ok(head) = head else { return Err(()) };
                    if let Some(head) = head {
                        return Ok(Some((head.status, head.reason, head.headers)));
                    }
                }
                Ok(None)
            };
            let whole = take(0);
            heads += usize::from(matches!(whole, Ok(Some(_))));
            for cut in 1..text.len() {
                assert_eq!(take(cut), whole, "{text:?} at {cut}");
            }
        }
        assert!(heads > 100, "{heads}");
    }

    #[test]
    fn a_head_that_cannot_be_read_is_refused() {
        for text in [
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_head_may_have_many_lines_and_not_too_many() {
        let head = |lines: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(lines));
        for lines in [0, LINES_USUAL, LINES_USUAL + 1, LINES_MAX] {
            let head = parse(&head(lines)).unwrap().unwrap();
            assert_eq!(head.headers.len(), lines);
        }
        assert!(parse(&head(LINES_MAX + 1)).is_err());
    }

    #[test]
    fn a_head_that_does_not_end_is_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_MAX));
        assert!(parse(&endless).is_err());
    }

    #[test]
    fn the_length_follows_from_the_head() {
        use ResponseLength::{Chunked, Known, UntilClose};
        for (lines, length, keeps_alive) in [
            ("", UntilClose, false),
            ("Content-Length: 5\r\n", Known(5), true),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Known(5), true),
            ("Content-Length: 5, 5\r\n", Known(5), true),
            (
                "Content-Length: 5\r\nConnection: x, Close\r\n",
                Known(5),
                false,
            ),
            ("Transfer-Encoding: Chunked\r\n", Chunked, true),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                Chunked,
                false,
            ),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(
                framing(Method::GET, &text),
                Some((length, keeps_alive)),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn an_ambiguous_length_is_refused() {
        for lines in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(framing(Method::GET, &text), None, "{lines:?}");
        }
    }

    #[test]
    fn http_1_0_keeps_nothing_open_unless_it_states_so() {
        use ResponseLength::Known;
        for (lines, expected) in [
            ("Content-Length: 5\r\n", Some((Known(5), false))),
            (
                "Content-Length: 5\r\nConnection: keep-alive\r\n",
                Some((Known(5), true)),
            ),
            ("Transfer-Encoding: chunked\r\n", None),
        ] {
            let text = format!("HTTP/1.0 200 OK\r\n{lines}\r\n");
            assert_eq!(framing(Method::GET, &text), expected, "{lines:?}");
        }
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_state() {
        for (method, status) in [
            (Method::HEAD, "200 OK"),
            (Method::GET, "204 No Content"),
            (Method::GET, "304 Not Modified"),
        ] {
            for line in [
                "Content-Length: 5\r\n",
                "Transfer-Encoding: chunked\r\n",
                "",
            ] {
                let text = format!("HTTP/1.1 {status}\r\n{line}\r\n");
                assert_eq!(
                    framing(method.clone(), &text),
                    Some((ResponseLength::Known(0), true)),
                    "{text:?}"
                );
            }
        }
    }
}
