//! Request ids: `X-Request-Id`, kept from the client or made.
//!
//! The id goes to the upstream, to the client and to the access log. One that is made names the
//! worker, by random digits drawn at its start, and counts its requests: unique, and no secret.

use std::array;
use std::cell::Cell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The source of request ids of one worker.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// The id made last: 16 digits for the worker, a hyphen, and 16 that are counted up.
    made: Cell<[u8; MADE_BYTES]>,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let worker = RandomState::new().build_hasher().finish();
        let text = format!("{worker:016x}-{:016x}", 0);
        Self {
            made: Cell::new(array::from_fn(|at| {
                text.as_bytes().get(at).copied().unwrap_or(b'0')
            })),
        }
    }

    /// Returns the id of a request: the client's, if it is one visible word, otherwise a new one.
    pub(crate) fn id_of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_word(id) => id.clone(),
            Some(_) | None => self.next(),
        }
    }

    /// Counts in the text itself: most of the time, one digit changes.
    fn next(&self) -> HeaderValue {
        let mut id = self.made.get();
        for digit in id.iter_mut().rev() {
            *digit = match *digit {
                b'9' => b'a',
                b'f' => b'0',
                b'-' => break,
                other => other.wrapping_add(1),
            };
            if *digit != b'0' {
                break;
            }
        }
        self.made.set(id);
        HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("none"))
    }
}

fn is_word(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=KEPT_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id of a client is replaced.
const KEPT_MAX: usize = 128;
const MADE_BYTES: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &[u8]) -> HeaderValue {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(sent).unwrap());
        RequestIds::new().id_of(&headers)
    }

    #[test]
    fn a_word_of_the_client_is_kept_and_nothing_else() {
        let longest = [b'x'; KEPT_MAX];
        for kept in [&b"7f9c-1"[..], b"a/b=c+d", &longest] {
            assert_eq!(id_for(kept), kept);
        }
        let too_long = [b'x'; KEPT_MAX + 1];
        for replaced in [&b""[..], b"a b", b"a\tb", b"\xff", &too_long] {
            assert_ne!(id_for(replaced), replaced);
        }
    }

    #[test]
    fn no_two_ids_that_are_made_are_the_same() {
        let workers = [RequestIds::new(), RequestIds::new()];
        let ids = workers
            .iter()
            .flat_map(|worker| [worker.next(), worker.next()]);
        let mut ids: Vec<HeaderValue> = ids.collect();
        ids.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        ids.dedup();

        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(is_word));
    }

    #[test]
    fn ids_are_counted_in_hexadecimal() {
        let ids = RequestIds::new();
        let after = |text: &[u8; 16]| {
            let mut made = ids.made.get();
            made[17..].copy_from_slice(text);
            ids.made.set(made);
            String::from_utf8(ids.next().as_bytes()[17..].to_vec()).unwrap()
        };

        assert_eq!(after(b"0000000000000009"), "000000000000000a");
        assert_eq!(after(b"0000000000000fff"), "0000000000001000");
        assert_eq!(after(b"ffffffffffffffff"), "0000000000000000");
        assert!(is_word(&ids.next()));
    }
}
