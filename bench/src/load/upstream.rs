//! Upstream of the proxy: 128 bytes for every request.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::message::Head;

/// A connection from the proxy.
#[derive(Debug)]
pub(super) struct Peer {
    stream: TcpStream,
    /// The part of a request that has arrived, while it is incomplete.
    begun: Vec<u8>,
}

impl Peer {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            begun: Vec::new(),
        }
    }

    /// Serves the requests that have arrived; returns false when the connection is closed.
    pub(super) fn answer(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        let read = match self.stream.read(&mut chunk) {
            Ok(0) => return false,
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if self.begun.is_empty() && Head::read(read).is_some_and(|head| head.len() == read.len()) {
            return self.stream.write_all(REPLY).is_ok();
        }
        self.begun.extend_from_slice(read);
        while let Some(len) = Head::read(&self.begun).map(Head::len) {
            self.begun.drain(..len);
            if self.stream.write_all(REPLY).is_err() {
                return false;
            }
        }
        true
    }
}

const CHUNK: usize = 4096;
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_as_long_as_it_says() {
        let head = Head::read(REPLY).unwrap();

        assert_eq!(head.len() + head.content_length().unwrap(), REPLY.len());
    }
}
