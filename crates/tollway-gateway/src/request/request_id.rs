//! Request ids: `X-Request-Id`, kept from the client or made.
//!
//! The id goes to the upstream, to the client and to the access log. One that is made names the
//! worker, by random digits drawn at its start, and counts its requests: unique, and no secret.

use std::cell::Cell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The source of request ids of one worker.
#[derive(Debug)]
pub(crate) struct RequestIds {
    worker: u64,
    made: Cell<u64>,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            worker: RandomState::new().build_hasher().finish(),
            made: Cell::new(0),
        }
    }

    /// Returns the id of a request: the client's, if it is one visible word, otherwise a new one.
    pub(crate) fn id_of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_word(id) => id.clone(),
            Some(_) | None => self.next(),
        }
    }

    fn next(&self) -> HeaderValue {
        let made = self.made.get();
        self.made.set(made.wrapping_add(1));
        let mut text = [0; MADE_BYTES];
        let mut room = text.as_mut_slice();
        // Fits: two numbers of 16 digits and a hyphen.
        let _fits = write!(room, "{:016x}-{made:x}", self.worker);
        let unused = room.len();
        let text = text.get(..MADE_BYTES.saturating_sub(unused));
        text.and_then(|text| HeaderValue::from_bytes(text).ok())
            .unwrap_or(HeaderValue::from_static("none"))
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
    fn the_longest_id_fits() {
        let ids = RequestIds::new();
        ids.made.set(u64::MAX);

        assert_eq!(ids.next().len(), MADE_BYTES);
    }
}
