//! Polled connection: reads and writes that do not wait.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use rustix::net::{SendFlags, send};

use super::body::{self, Filler};
use super::poll::{Interest, Poll, Token};

/// A connection that is polled until it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    token: Token,
    interest: Interest,
    poll: Rc<Poll>,
}

impl Socket {
    /// Polls a connection for reading.
    pub(super) fn new(stream: TcpStream, token: Token, poll: &Rc<Poll>) -> Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poll.add(&stream, token, Interest::Read)?;
        Ok(Self {
            stream,
            token,
            interest: Interest::Read,
            poll: Rc::clone(poll),
        })
    }

    /// Reads once; `None` when nothing has arrived.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>> {
        match self.stream.read(into) {
            Ok(0) => bail!(CLOSED),
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Discards up to `len` bytes that have arrived and returns how many.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost.
    pub(super) fn discard(&mut self, len: u64, sink: &mut [u8]) -> Result<u64> {
        let discarded = body::discard(&self.stream, len, sink)?;
        ensure!(discarded != Some(0), CLOSED);
        Ok(discarded.unwrap_or(0))
    }

    /// Writes what the socket has room for in any case: at most a few kilobytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Writes the head of a message whose body follows, so that they share their first packet.
    pub(super) fn write_head(&mut self, head: &[u8]) -> Result<()> {
        let sent = send(&self.stream, head, SendFlags::MORE)?;
        ensure!(sent == head.len(), "no room for a head");
        Ok(())
    }

    /// Writes of a body what the socket has room for, and polls for room for the rest. Returns
    /// how much is left.
    pub(super) fn write_body(&mut self, filler: &Filler, left: u64) -> Result<u64> {
        let left = filler.send(&self.stream, left)?;
        self.poll_for(if left > 0 {
            Interest::Write
        } else {
            Interest::Read
        })?;
        Ok(left)
    }

    fn poll_for(&mut self, interest: Interest) -> Result<()> {
        if self.interest != interest {
            self.poll.change(&self.stream, self.token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

const CLOSED: &str = "the proxy closed a connection";
