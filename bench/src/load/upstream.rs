//! Upstream of the proxy: 128 bytes for every request, or as many as its path states.

use anyhow::Result;

use super::body::Filler;
use super::exchange::Exchange;
use super::message::Head;
use super::socket::Socket;

/// A connection from the proxy.
#[derive(Debug)]
pub(super) struct Peer {
    socket: Socket,
    /// The part of a request that has arrived, while it is incomplete.
    begun: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A head is expected.
    Head,
    /// So much of the request's body is expected.
    Upload { left: u64 },
    /// So much of the response's body is to be sent.
    Download { left: u64 },
}

impl Peer {
    pub(super) const fn new(socket: Socket) -> Self {
        Self {
            socket,
            begun: Vec::new(),
            state: State::Head,
        }
    }

    /// Receives or sends what it can without waiting.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost.
    pub(super) fn advance(&mut self, filler: &Filler, sink: &mut [u8]) -> Result<()> {
        match self.state {
            State::Head => self.read(filler),
            State::Upload { left } => {
                let received = self.socket.discard(left, sink)?;
                self.receive(left.saturating_sub(received))
            }
            State::Download { left } => self.send(left, filler),
        }
    }

    fn read(&mut self, filler: &Filler) -> Result<()> {
        let mut chunk = [0; CHUNK];
        let Some(read) = self.socket.read(&mut chunk)? else {
            return Ok(());
        };
        let read = chunk.get(..read).unwrap_or_default();
        if self.begun.is_empty()
            && let Some(head) = Head::read(read)
            && head.bytes().len() == read.len()
        {
            return self.serve(Exchange::read(head)?, filler);
        }
        self.begun.extend_from_slice(read);
        let Some(head) = Head::read(&self.begun) else {
            return Ok(());
        };
        // A proxy sends no second request before it has the response: what follows is body.
        let (exchange, len) = (Exchange::read(head)?, head.bytes().len());
        let body = self.begun.len().saturating_sub(len) as u64;
        self.begun.clear();
        self.serve(exchange, filler)?;
        if let State::Upload { left } = self.state {
            self.receive(left.saturating_sub(body))?;
        }
        Ok(())
    }

    fn serve(&mut self, exchange: Exchange, filler: &Filler) -> Result<()> {
        match exchange {
            Exchange::Item => self.socket.write(ITEM),
            Exchange::Upload(bytes) => self.receive(bytes),
            Exchange::Download(bytes) => {
                self.socket.write_head(head(bytes).as_bytes())?;
                self.send(bytes, filler)
            }
        }
    }

    /// Expects the rest of the request's body, or responds to a whole one.
    fn receive(&mut self, left: u64) -> Result<()> {
        if left > 0 {
            self.state = State::Upload { left };
            return Ok(());
        }
        self.state = State::Head;
        self.socket.write(ITEM)
    }

    fn send(&mut self, left: u64, filler: &Filler) -> Result<()> {
        let left = self.socket.write_body(filler, left)?;
        self.state = if left > 0 {
            State::Download { left }
        } else {
            State::Head
        };
        Ok(())
    }
}

fn head(bytes: u64) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

const CHUNK: usize = 4096;
const ITEM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::super::exchange::ITEM_BYTES;
    use super::*;

    #[test]
    fn the_item_is_as_long_as_it_states() {
        let head = Head::read(ITEM).unwrap();

        assert_eq!(head.content_length().unwrap(), Some(ITEM_BYTES));
        assert_eq!(ITEM.len() - head.bytes().len(), 128);
    }
}
