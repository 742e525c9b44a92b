//! What a request sends and what it asks for, as the upstream reads it from its head.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::message::Head;

/// A request and its response, by their bodies.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Exchange {
    /// No body, and a response of [`ITEM_BYTES`].
    #[default]
    Item,
    /// No body, and a response of so many bytes.
    Download(u64),
    /// A body of so many bytes, and a response of [`ITEM_BYTES`].
    Upload(u64),
}

impl Exchange {
    /// Returns the head of the request.
    pub(super) fn head(self, host: &str, authorization: Option<&str>) -> String {
        let (first, length) = match self {
            Self::Item => ("GET /item".to_owned(), String::new()),
            Self::Download(bytes) => (format!("GET {BYTES}{bytes}"), String::new()),
            Self::Upload(bytes) => (
                format!("{POST}/item"),
                format!("Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n"),
            ),
        };
        let authorization = authorization
            .map(|value| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        format!("{first} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{authorization}{length}\r\n")
    }

    /// Reads the head of a request.
    ///
    /// # Errors
    ///
    /// When it does not state what is needed to serve it.
    pub(super) fn read(head: Head<'_>) -> Result<Self> {
        let text = head.bytes();
        if text.starts_with(POST.as_bytes()) {
            let length = head.content_length()?.context("a body without a length")?;
            return Ok(Self::Upload(length));
        }
        let Some(rest) = text
            .strip_prefix(b"GET ")
            .and_then(|target| target.strip_prefix(BYTES.as_bytes()))
        else {
            return Ok(Self::Item);
        };
        let end = rest.iter().position(|byte| *byte == b' ');
        let number = end.and_then(|end| rest.get(..end)).unwrap_or_default();
        Ok(Self::Download(std::str::from_utf8(number)?.parse()?))
    }

    /// Returns the length of the request's body.
    pub(super) const fn upload(self) -> u64 {
        match self {
            Self::Item | Self::Download(_) => 0,
            Self::Upload(bytes) => bytes,
        }
    }

    /// Returns the length of the response's body.
    pub(super) const fn download(self) -> u64 {
        match self {
            Self::Item | Self::Upload(_) => ITEM_BYTES,
            Self::Download(bytes) => bytes,
        }
    }
}

/// The length of the body of a small response.
pub(super) const ITEM_BYTES: u64 = 128;
const BYTES: &str = "/bytes/";
const POST: &str = "POST ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for exchange in [
            Exchange::Item,
            Exchange::Download(102_400),
            Exchange::Upload(10),
        ] {
            let text = exchange.head("localhost", Some("L402 token"));
            let head = Head::read(text.as_bytes()).unwrap();

            assert_eq!(Exchange::read(head).unwrap(), exchange);
            assert_eq!(head.bytes().len(), text.len(), "nothing follows the head");
            assert!(text.contains("\r\nAuthorization: L402 token\r\n"));
        }
    }

    #[test]
    fn an_upload_without_a_length_and_a_length_that_is_none_are_errors() {
        for text in [
            "POST /item HTTP/1.1\r\n\r\n",
            "GET /bytes/x HTTP/1.1\r\n\r\n",
        ] {
            assert!(
                Exchange::read(Head::read(text.as_bytes()).unwrap()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn an_order_names_its_exchange() {
        let read = |json: &str| serde_json::from_str::<Exchange>(json).unwrap();

        assert_eq!(read(r#""item""#), Exchange::Item);
        assert_eq!(read(r#"{"upload": 7}"#), Exchange::Upload(7));
    }
}
