//! Bodies that are sent without being copied and received without being read.
//!
//! Load and upstream do less with a body than a proxy does, so that a core of theirs is enough
//! to saturate its core.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;

use anyhow::Result;
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// The bytes of all bodies: a file in memory, whose pages the sockets share.
#[derive(Debug)]
pub(super) struct Filler(File);

impl Filler {
    pub(super) fn new() -> Result<Self> {
        let mut file = File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
        file.write_all(&vec![b'x'; FILLER_BYTES])?;
        Ok(Self(file))
    }

    /// Sends of `left` bytes what the socket has room for, but no more than one file of them: the
    /// readers are on this thread too. Returns how many are left.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(super) fn send(&self, to: &TcpStream, left: u64) -> Result<u64> {
        // Any part of a body is like any other.
        let (mut offset, len) = (0, at_most(left, FILLER_BYTES));
        match sendfile(to, &self.0, Some(&mut offset), len) {
            Ok(sent) => Ok(left.saturating_sub(sent as u64)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(left),
            Err(error) => Err(error.into()),
        }
    }
}

/// Discards up to `len` bytes that have arrived and returns how many; `None` when nothing has
/// arrived, 0 at the end of the connection.
///
/// The kernel copies nothing into `sink`; its length limits how much is discarded.
///
/// # Errors
///
/// When the connection is lost.
pub(super) fn discard(from: &TcpStream, len: u64, sink: &mut [u8]) -> Result<Option<u64>> {
    let len = at_most(len, sink.len());
    let sink = sink.get_mut(..len).unwrap_or_default();
    match recv(from, sink, RecvFlags::TRUNC) {
        Ok((_, discarded)) => Ok(Some(discarded as u64)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn at_most(len: u64, max: usize) -> usize {
    usize::try_from(len).map_or(max, |len| len.min(max))
}

/// How much is discarded at once at most.
pub(super) const SINK_BYTES: usize = 1 << 20;
/// Fits into the second-level cache of a core.
const FILLER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_sent_is_what_is_discarded() {
        let (sender, receiver) = connected();
        let filler = Filler::new().unwrap();
        let mut sink = vec![0; SINK_BYTES];
        let (mut unsent, mut received) = (BODY, 0);

        while received < BODY {
            unsent = filler.send(&sender, unsent).unwrap();
            received += discard(&receiver, u64::MAX, &mut sink).unwrap().unwrap();
        }

        assert_eq!((unsent, received), (0, BODY));
        assert!(sink.iter().all(|byte| *byte == 0), "nothing was copied");
    }

    #[test]
    fn what_follows_the_discarded_bytes_can_be_read() {
        let (mut sender, mut receiver) = connected();
        sender.write_all(b"body, head").unwrap();

        let mut sink = [0; 64];
        assert_eq!(discard(&receiver, 6, &mut sink).unwrap(), Some(6));

        let mut head = [0; 4];
        receiver.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"head");
    }

    #[test]
    fn the_end_of_a_connection_is_not_nothing_yet() {
        let (sender, receiver) = connected();
        drop(sender);

        assert_eq!(discard(&receiver, 6, &mut [0; 64]).unwrap(), Some(0));
    }

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (sender, listener.accept().unwrap().0)
    }

    const BODY: u64 = 1_000_003;
}
