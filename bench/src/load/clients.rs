//! Clients of the proxy: each sends its next request after the last response.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::Order;
use super::events::prepare;
use super::message::Head;
use crate::latency::Latencies;

/// All clients of one run.
#[derive(Debug)]
pub(super) struct Clients {
    clients: Vec<Client>,
    request: Vec<u8>,
    status: u16,
    ends: Instant,
    unsent: u64,
    open: usize,
    latencies: Latencies,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    sent: Instant,
    reply: Vec<u8>,
}

impl Clients {
    pub(super) fn connect(order: &Order) -> Result<Self> {
        let now = Instant::now();
        let connect = |_| {
            let stream = TcpStream::connect(order.target)?;
            prepare(&stream)?;
            Ok(Client {
                stream,
                sent: now,
                reply: Vec::new(),
            })
        };
        let connections = order.connections.get();
        let clients: Result<Vec<_>> = (0..connections).map(connect).collect();
        Ok(Self {
            clients: clients?,
            request: request(order),
            status: order.status,
            ends: now.checked_add(order.duration()?).unwrap_or(now),
            unsent: order.requests_max.map_or(u64::MAX, u64::from),
            open: connections,
            latencies: Latencies::default(),
        })
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &TcpStream> {
        self.clients.iter().map(|client| &client.stream)
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        let now = Instant::now();
        (0..self.clients.len()).try_for_each(|index| self.send(index, now))
    }

    /// Reads from a client's socket, and sends the next request when its response is complete.
    pub(super) fn advance(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients.get_mut(index) else {
            return Ok(());
        };
        if !client.receive(self.status)? {
            return Ok(());
        }
        let now = Instant::now();
        self.latencies
            .add(now.saturating_duration_since(client.sent));
        self.send(index, now)
    }

    pub(super) const fn are_done(&self) -> bool {
        self.open == 0
    }

    pub(super) fn into_latencies(self) -> Latencies {
        self.latencies
    }

    /// Sends the next request, or none when the run is over.
    fn send(&mut self, index: usize, now: Instant) -> Result<()> {
        if now >= self.ends || self.unsent == 0 {
            self.open = self.open.saturating_sub(1);
            return Ok(());
        }
        self.unsent = self.unsent.saturating_sub(1);
        if let Some(client) = self.clients.get_mut(index) {
            client.sent = now;
            client.stream.write_all(&self.request)?;
        }
        Ok(())
    }
}

impl Client {
    /// Returns whether the response is complete.
    fn receive(&mut self, status: u16) -> Result<bool> {
        let mut chunk = [0; CHUNK];
        let read = match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the proxy closed a connection"),
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.reply.is_empty() && is_whole(read, status)? {
            return Ok(true);
        }
        self.reply.extend_from_slice(read);
        let whole = is_whole(&self.reply, status)?;
        if whole {
            self.reply.clear();
        }
        Ok(whole)
    }
}

fn is_whole(reply: &[u8], status: u16) -> Result<bool> {
    let Some(head) = Head::read(reply) else {
        return Ok(false);
    };
    ensure!(
        head.status()? == status,
        "expected {status}: {:?}",
        String::from_utf8_lossy(reply)
    );
    let len = head.len().saturating_add(head.content_length()?);
    ensure!(reply.len() <= len, "more than was asked for");
    Ok(reply.len() == len)
}

fn request(order: &Order) -> Vec<u8> {
    let authorization = order
        .authorization
        .as_ref()
        .map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
    format!(
        "GET /item HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n{authorization}\r\n",
        order.target
    )
    .into_bytes()
}

const CHUNK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    #[test]
    fn a_reply_is_whole_with_its_last_byte() {
        for len in 0..REPLY.len() {
            assert!(!is_whole(&REPLY[..len], 200).unwrap(), "{len}");
        }
        assert!(is_whole(REPLY, 200).unwrap());
    }

    #[test]
    fn another_status_than_the_one_expected_fails_the_run() {
        assert!(is_whole(REPLY, 402).is_err());
    }

    #[test]
    fn a_byte_too_many_fails_the_run() {
        assert!(is_whole(&[REPLY, b"!"].concat(), 200).is_err());
    }
}
