//! HTTP/1.1 message framing, as far as the measured programs use it: a length in the head, or
//! no body.

use anyhow::{Context, Result};

/// The head of a message, once it is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    text: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads a head; `None` until its end has arrived.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes
            .windows(END.len())
            .position(|window| window == END)?
            .saturating_add(END.len());
        bytes.get(..end).map(|text| Self { text })
    }

    /// Returns the head with the empty line that ends it.
    pub(super) const fn bytes(self) -> &'a [u8] {
        self.text
    }

    /// # Errors
    ///
    /// When this is not a response.
    pub(super) fn status(self) -> Result<u16> {
        let digits = self.text.get(9..12).context("a head without a status")?;
        Ok(std::str::from_utf8(digits)?.parse()?)
    }

    /// Returns the length of the body, if the head states it.
    ///
    /// # Errors
    ///
    /// When it is not a number.
    pub(super) fn content_length(self) -> Result<Option<u64>> {
        for line in self.text.split(|byte| *byte == b'\n') {
            let Some((name, value)) = line.split_at_checked(LENGTH.len()) else {
                continue;
            };
            if name.eq_ignore_ascii_case(LENGTH) {
                return Ok(Some(std::str::from_utf8(value)?.trim().parse()?));
            }
        }
        Ok(None)
    }
}

const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_measured_by_its_head() {
        let head = Head::read(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 12\r\n\r\nbody");
        let head = head.unwrap();

        assert_eq!(head.status().unwrap(), 402);
        assert_eq!(head.content_length().unwrap(), Some(12));
        assert_eq!(head.bytes().len(), 53);
    }

    #[test]
    fn an_incomplete_head_is_waited_for() {
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n").is_none());
    }

    #[test]
    fn a_head_may_state_no_length_but_no_wrong_one() {
        let chunked = Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let wrong = Head::read(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n").unwrap();

        assert_eq!(chunked.content_length().unwrap(), None);
        assert!(wrong.content_length().is_err());
    }
}
