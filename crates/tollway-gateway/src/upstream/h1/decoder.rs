//! Body of an HTTP/1.1 response, decoded from the bytes read.
//!
//! Pure: what has been read goes in, frames come out, and nothing is read beyond the body.
//!
//! Specification: RFC 9112 section 7.1.

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

use crate::upstream::error::ExchangeError;
use crate::upstream::h1::response::ResponseLength;

/// Decodes one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// How many more bytes this line of a chunk may have besides its size.
    extension_left: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Data of a known length.
    Data(u64),
    /// Data to the end of the connection.
    Endless,
    /// A chunk size, of which `digits` have been read.
    Size {
        value: u64,
        digits: u8,
    },
    /// White space after a chunk size.
    SizeEnd(u64),
    Extension(u64),
    /// The line feed after a chunk size.
    SizeFeed(u64),
    Chunk(u64),
    /// The line end after the data of a chunk.
    ChunkReturn,
    ChunkFeed,
    Trailers,
    End,
}

/// What the bytes read so far hold.
#[derive(Debug)]
pub(crate) enum Decoded {
    Frame(Frame<Bytes>),
    /// Nothing: more must be read.
    More,
    End,
}

impl Decoder {
    pub(crate) const fn new(length: ResponseLength) -> Self {
        let state = match length {
            ResponseLength::Known(0) => State::End,
            ResponseLength::Known(len) => State::Data(len),
            ResponseLength::Chunked => SIZE,
            ResponseLength::UntilClose => State::Endless,
        };
        Self {
            state,
            extension_left: EXTENSION_MAX,
        }
    }

    /// Returns whether the body is complete.
    pub(crate) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Returns how many bytes are left, where that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self.state {
            State::Data(left) => Some(left),
            State::End => Some(0),
            State::Endless
            | State::Size { .. }
            | State::SizeEnd(_)
            | State::Extension(_)
            | State::SizeFeed(_)
            | State::Chunk(_)
            | State::ChunkReturn
            | State::ChunkFeed
            | State::Trailers => None,
        }
    }

    /// Records the end of the connection.
    pub(crate) fn end_of_input(&mut self) -> Result<(), ExchangeError> {
        match self.state {
            State::Endless | State::End => {
                self.state = State::End;
                Ok(())
            }
            State::Data(_)
            | State::Size { .. }
            | State::SizeEnd(_)
            | State::Extension(_)
            | State::SizeFeed(_)
            | State::Chunk(_)
            | State::ChunkReturn
            | State::ChunkFeed
            | State::Trailers => Err(ExchangeError::Closed),
        }
    }

    /// Removes the next frame from `read`.
    pub(crate) fn decode(&mut self, read: &mut BytesMut) -> Result<Decoded, ExchangeError> {
        loop {
            match self.state {
                State::End => return Ok(Decoded::End),
                _ if read.is_empty() => return Ok(Decoded::More),
                State::Endless => return Ok(data(read.split().freeze())),
                State::Data(left) | State::Chunk(left) => return Ok(self.take_data(left, read)),
                State::Trailers => return self.take_trailers(read),
                State::Size { .. }
                | State::SizeEnd(_)
                | State::Extension(_)
                | State::SizeFeed(_)
                | State::ChunkReturn
                | State::ChunkFeed => self.take_line(read)?,
            }
        }
    }

    fn take_data(&mut self, left: u64, read: &mut BytesMut) -> Decoded {
        let len = usize::try_from(left).map_or(read.len(), |left| left.min(read.len()));
        let bytes = read.split_to(len).freeze();
        let left = left.saturating_sub(u64::try_from(len).unwrap_or(left));
        let is_chunk = matches!(self.state, State::Chunk(_));
        self.state = match (is_chunk, left) {
            (true, 0) => State::ChunkReturn,
            (true, left) => State::Chunk(left),
            (false, 0) => State::End,
            (false, left) => State::Data(left),
        };
        data(bytes)
    }

    /// Reads what is between two chunks, byte by byte.
    fn take_line(&mut self, read: &mut BytesMut) -> Result<(), ExchangeError> {
        let mut taken = 0_usize;
        for byte in read.iter() {
            if matches!(
                self.state,
                State::Data(_) | State::Chunk(_) | State::Trailers
            ) {
                break;
            }
            self.state = self.after(*byte)?;
            taken = taken.saturating_add(1);
        }
        drop(read.split_to(taken));
        Ok(())
    }

    fn after(&mut self, byte: u8) -> Result<State, ExchangeError> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                more_digits(value, digits, byte)?
            }
            (State::Size { digits: 0, .. }, _) => return Err(INVALID),
            (State::Size { value, .. } | State::SizeEnd(value), b';') => State::Extension(value),
            (State::Size { value, .. } | State::SizeEnd(value), b' ' | b'\t') => {
                self.count_extension()?;
                State::SizeEnd(value)
            }
            (
                State::Size { value, .. } | State::SizeEnd(value) | State::Extension(value),
                b'\r',
            ) => State::SizeFeed(value),
            // A reader that ends lines here would find another chunk in the extension.
            (State::Extension(_), b'\n' | 0) => return Err(INVALID),
            (State::Extension(value), _) => {
                self.count_extension()?;
                State::Extension(value)
            }
            (State::SizeFeed(0), b'\n') => State::Trailers,
            (State::SizeFeed(len), b'\n') => State::Chunk(len),
            (State::ChunkReturn, b'\r') => State::ChunkFeed,
            (State::ChunkFeed, b'\n') => {
                self.extension_left = EXTENSION_MAX;
                SIZE
            }
            _ => return Err(INVALID),
        })
    }

    fn count_extension(&mut self) -> Result<(), ExchangeError> {
        let left = self.extension_left.checked_sub(1);
        self.extension_left = left.ok_or(TOO_LONG)?;
        Ok(())
    }

    fn take_trailers(&mut self, read: &mut BytesMut) -> Result<Decoded, ExchangeError> {
        if read.starts_with(b"\r\n") {
            drop(read.split_to(2));
            self.state = State::End;
            return Ok(Decoded::End);
        }
        let mut lines = [httparse::EMPTY_HEADER; TRAILERS_MAX];
        let (len, fields) = match httparse::parse_headers(read, &mut lines).map_err(|_| TRAILER)? {
            httparse::Status::Complete((len, fields)) => (len, fields),
            httparse::Status::Partial if read.len() >= TRAILER_BYTES_MAX => return Err(TOO_LONG),
            httparse::Status::Partial => return Ok(Decoded::More),
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| TRAILER)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| TRAILER)?;
            trailers.append(name, value);
        }
        drop(read.split_to(len));
        self.state = State::End;
        Ok(Decoded::Frame(Frame::trailers(trailers)))
    }
}

fn more_digits(value: u64, digits: u8, byte: u8) -> Result<State, ExchangeError> {
    let digit = char::from(byte).to_digit(16).ok_or(INVALID)?;
    if digits >= SIZE_DIGITS_MAX {
        return Err(INVALID);
    }
    Ok(State::Size {
        // Sixteen digits fit.
        value: (value << 4) | u64::from(digit),
        digits: digits.saturating_add(1),
    })
}

fn data(bytes: Bytes) -> Decoded {
    Decoded::Frame(Frame::data(bytes))
}

const SIZE: State = State::Size {
    value: 0,
    digits: 0,
};
const INVALID: ExchangeError = ExchangeError::Invalid("its chunks cannot be read");
const TRAILER: ExchangeError = ExchangeError::Invalid("its trailers cannot be read");
const TOO_LONG: ExchangeError = ExchangeError::Invalid("its chunks have too much beside data");
const SIZE_DIGITS_MAX: u8 = 16;
/// Bytes of white space and extensions accepted after one chunk size. Some upstreams pad every
/// size: a long body has many.
const EXTENSION_MAX: usize = 4 * 1024;
const TRAILERS_MAX: usize = 64;
const TRAILER_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body decodes to when it arrives in pieces.
    #[derive(Debug, Default, Eq, PartialEq)]
    struct Whole {
        data: Vec<u8>,
        trailers: Option<HeaderMap>,
        left: Vec<u8>,
    }

    fn decode<'a>(
        length: ResponseLength,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Whole, ExchangeError> {
        let mut decoder = Decoder::new(length);
        let mut read = BytesMut::new();
        let mut whole = Whole::default();
        for piece in pieces {
            read.extend_from_slice(piece);
            while let Decoded::Frame(frame) = decoder.decode(&mut read)? {
                match frame.into_data() {
                    Ok(data) => whole.data.extend(data),
                    Err(frame) => whole.trailers = frame.into_trailers().ok(),
                }
            }
        }
        decoder.end_of_input()?;
        whole.left = read.to_vec();
        Ok(whole)
    }

    /// The same however it is split: at every place, and at several.
    fn decode_split(length: ResponseLength, text: &[u8]) -> Result<Whole, ExchangeError> {
        let whole = decode(length, [text].into_iter());
        let same = |other: Result<Whole, ExchangeError>| match (&whole, other) {
            (Ok(whole), Ok(other)) => assert_eq!(*whole, other),
            (Err(_), Err(_)) => {}
            (whole, other) => panic!("{whole:?} and {other:?}"),
        };
        for cut in 0..=text.len() {
            let (one, two) = text.split_at(cut);
            same(decode(length, [one, two].into_iter()));
        }
        for size in 1..8 {
            same(decode(length, text.chunks(size)));
        }
        whole
    }

    #[test]
    fn chunks_are_joined_and_trailers_read() {
        let text =
            b"5\r\nhello\r\n0A ; a=\"b\"\r\n, world!!!\r\n00\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\nnext";

        let whole = decode_split(ResponseLength::Chunked, text).unwrap();

        assert_eq!(whole.data, b"hello, world!!!");
        assert_eq!(whole.left, b"next");
        let trailers = whole.trailers.unwrap();
        assert_eq!(trailers.get_all("x-sum").iter().count(), 2);
    }

    #[test]
    fn a_chunked_body_without_trailers_ends() {
        let whole = decode_split(ResponseLength::Chunked, b"1\r\na\r\n0\r\n\r\n").unwrap();

        assert_eq!(whole.data, b"a");
        assert_eq!((whole.trailers, whole.left.len()), (None, 0));
    }

    #[test]
    fn a_known_length_ends_where_it_says() {
        let whole = decode_split(ResponseLength::Known(5), b"hellothere").unwrap();

        assert_eq!(
            (&whole.data[..], &whole.left[..]),
            (&b"hello"[..], &b"there"[..])
        );
        assert!(decode_split(ResponseLength::Known(5), b"hell").is_err());
        assert_eq!(
            decode_split(ResponseLength::Known(0), b"").unwrap().data,
            b""
        );
    }

    #[test]
    fn an_endless_body_ends_with_its_connection() {
        let whole = decode_split(ResponseLength::UntilClose, b"hello").unwrap();
        assert_eq!(whole.data, b"hello");
    }

    #[test]
    fn chunks_that_two_readers_could_split_differently_are_refused() {
        for text in [
            "",
            "5",
            "5\r\nhel",
            "5\r\nhello",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
            "5\r\nhello\r\n0\r\nX: 1\r\n",
            "5\nhello\n0\n\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            ";a\r\nhello\r\n0\r\n\r\n",
            "5 5\r\nhello\r\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "G\r\nhello\r\n0\r\n\r\n",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "0\r\nX : 1\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
        ] {
            let decoded = decode_split(ResponseLength::Chunked, text.as_bytes());
            assert!(decoded.is_err(), "{text:?} got {decoded:?}");
        }
    }

    #[test]
    fn every_chunk_of_a_long_body_may_have_something_beside_it() {
        for line in ["1    \r\na\r\n", "1;xxxxxxxx\r\na\r\n"] {
            let text = line.repeat(8 * EXTENSION_MAX) + "0\r\n\r\n";
            let whole = decode(ResponseLength::Chunked, text.as_bytes().chunks(4096)).unwrap();
            assert_eq!(whole.data.len(), 8 * EXTENSION_MAX);
        }
    }

    #[test]
    fn what_is_beside_the_data_is_bounded() {
        let refused = |text: String| {
            assert!(decode(ResponseLength::Chunked, text.as_bytes().chunks(4096)).is_err());
        };
        refused(format!(
            "1;{}\r\na\r\n0\r\n\r\n",
            "x".repeat(EXTENSION_MAX + 1)
        ));
        refused(format!(
            "1{}\r\na\r\n0\r\n\r\n",
            " ".repeat(EXTENSION_MAX + 1)
        ));
        refused(format!(
            "0\r\nA: {}\r\n\r\n",
            "x".repeat(8 * TRAILER_BYTES_MAX)
        ));
        refused(format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILERS_MAX + 1)));
    }

    #[test]
    fn random_bytes_end_alike_however_they_are_split() {
        // A fixed sequence: xorshift.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
        };
        let alphabet = b"0123af;\r\n\r\n\r\n \tx:";
        for _ in 0..3000 {
            let len = next(24);
            let mut text = b"2\r\nab\r\n".repeat(next(2));
            text.extend((0..len).map(|_| alphabet[next(alphabet.len())]));
            let _same = decode_split(ResponseLength::Chunked, &text);
        }
    }
}
