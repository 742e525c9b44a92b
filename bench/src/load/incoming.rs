//! Accounting of a response: what of it has arrived, and whether it is the expected one.

use anyhow::{Context, Result, bail, ensure};

use super::message::Head;

/// What every response must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) status: u16,
    /// The length of the body; any if there is none.
    pub(super) body: Option<u64>,
}

impl Expected {
    /// Returns the length of the body of a response.
    fn check(self, head: Head<'_>) -> Result<u64> {
        let shown = || String::from_utf8_lossy(head.bytes()).into_owned();
        ensure!(
            head.status()? == self.status,
            "expected {}: {:?}",
            self.status,
            shown()
        );
        let length = head
            .content_length()?
            .with_context(|| format!("no length in the head {:?}", shown()))?;
        ensure!(
            self.body.is_none_or(|body| body == length),
            "expected another length: {:?}",
            shown()
        );
        Ok(length)
    }
}

/// The response to one request after another.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    state: State,
    /// The part of a head that has arrived, while it is incomplete.
    head: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// No request is open.
    #[default]
    Idle,
    Head,
    Body {
        left: u64,
    },
}

impl Incoming {
    /// A request is sent, and its response expected.
    pub(super) fn begin(&mut self) {
        self.state = State::Head;
    }

    /// Returns how many bytes of the body have not arrived, once its head has.
    pub(super) const fn body_left(&self) -> u64 {
        match self.state {
            State::Idle | State::Head => 0,
            State::Body { left } => left,
        }
    }

    /// Takes bytes that have arrived and returns whether they complete the response.
    ///
    /// # Errors
    ///
    /// When it is not the expected one, or longer than it states.
    pub(super) fn take(&mut self, bytes: &[u8], expected: Expected) -> Result<bool> {
        if !matches!(self.state, State::Head) {
            return self.skip(bytes.len() as u64);
        }
        let begun = self.head.len();
        if begun > 0 {
            self.head.extend_from_slice(bytes);
        }
        let Some(head) = Head::read(if begun > 0 { &self.head } else { bytes }) else {
            if begun == 0 {
                self.head.extend_from_slice(bytes);
            }
            return Ok(false);
        };
        let of_head = head.bytes().len().saturating_sub(begun);
        self.state = State::Body {
            left: expected.check(head)?,
        };
        self.head.clear();
        self.skip(bytes.len().saturating_sub(of_head) as u64)
    }

    /// Counts bytes of the body and returns whether they complete the response.
    ///
    /// # Errors
    ///
    /// When they are too many.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<bool> {
        let State::Body { left } = &mut self.state else {
            bail!("a response that was not asked for");
        };
        *left = left
            .checked_sub(bytes)
            .context("a response that is longer than it states")?;
        let complete = *left == 0;
        if complete {
            self.state = State::Idle;
        }
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const OK: Expected = Expected {
        status: 200,
        body: None,
    };

    #[test]
    fn a_response_is_complete_with_its_last_byte_wherever_it_is_cut() {
        for cut in 1..REPLY.len() {
            let mut incoming = begun();
            let (first, rest) = REPLY.split_at(cut);

            assert!(!incoming.take(first, OK).unwrap(), "{cut}");
            assert!(incoming.take(rest, OK).unwrap(), "{cut}");
        }
        assert!(begun().take(REPLY, OK).unwrap());
    }

    #[test]
    fn a_response_follows_another() {
        let mut incoming = begun();
        for byte in REPLY {
            incoming.take(&[*byte], OK).unwrap();
        }
        incoming.begin();

        assert!(incoming.take(REPLY, OK).unwrap());
    }

    #[test]
    fn skipped_bytes_count_as_taken_ones() {
        let mut incoming = begun();
        incoming
            .take(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123", OK)
            .unwrap();

        assert_eq!(incoming.body_left(), 7);
        assert!(!incoming.skip(6).unwrap());
        assert!(incoming.skip(1).unwrap());
        assert_eq!(incoming.body_left(), 0);
    }

    #[test]
    fn another_status_than_the_one_expected_fails_the_run() {
        let expected = Expected { status: 402, ..OK };

        assert!(begun().take(REPLY, expected).is_err());
    }

    #[test]
    fn another_length_than_the_one_expected_fails_the_run() {
        let expected = Expected {
            body: Some(3),
            ..OK
        };

        assert!(begun().take(REPLY, expected).is_err());
    }

    #[test]
    fn a_byte_too_many_fails_the_run() {
        assert!(begun().take(&[REPLY, b"!"].concat(), OK).is_err());

        let mut incoming = begun();
        incoming.take(REPLY, OK).unwrap();
        assert!(incoming.take(b"!", OK).is_err(), "after the response");
    }

    #[test]
    fn a_response_that_states_no_length_fails_the_run() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

        assert!(begun().take(chunked, OK).is_err());
    }

    fn begun() -> Incoming {
        let mut incoming = Incoming::default();
        incoming.begin();
        incoming
    }
}
