//! HTTP/1.1 connection to an upstream: its stream and its buffers.
//!
//! Polled by the request that uses it, so it needs no task of its own. Its buffers are used
//! again by the next request.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::upstream::h1::response::Spans;
use crate::upstream::slots::Slot;
use crate::upstream::stream::Stream;

/// The two directions of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// What has been read and not been decoded.
    pub(crate) read: BytesMut,
    read_size: usize,
    /// Whether a read has filled the buffer in this exchange.
    was_filled: bool,
    pub(crate) spans: Spans,
    pub(crate) output: Output,
    /// Counts the connection while it is open.
    slot: Slot,
}

/// What is to be written: bytes, then data that is not copied, then a line end.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    written: usize,
    pub(crate) data: Bytes,
    pub(crate) tail: &'static [u8],
    /// Whether any byte has been written since [`begin`](Self::begin).
    pub(crate) has_sent: bool,
    /// Whether what has been written is still held by TLS.
    is_unflushed: bool,
}

impl Wire {
    pub(crate) fn new(stream: Stream, slot: Slot) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            read_size: READ_SIZE_MIN,
            was_filled: false,
            spans: Spans::default(),
            output: Output::default(),
            slot,
        }
    }

    /// Returns whether the upstream has neither closed the connection nor sent anything.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.read.is_empty() && self.stream.is_silent()
    }

    /// Reads what there is. Returns the number of bytes: 0 at the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity().saturating_sub(self.read.len()) < READ_ROOM_MIN {
            self.read.reserve(self.read_size);
        }
        let room = self.read.capacity().saturating_sub(self.read.len());
        // Holds no state from one poll to the next.
        let read = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))?;
        if read == room {
            self.was_filled = true;
            self.read_size = self.read_size.saturating_mul(2).min(READ_SIZE_MAX);
        }
        Poll::Ready(Ok(read))
    }

    /// Writes all of the output.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = match self.output.pieces() {
                [bytes, [], []] => stream.poll_write(cx, bytes),
                [[], data, []] => stream.poll_write(cx, data),
                pieces => stream.poll_write_vectored(cx, &pieces.map(IoSlice::new)),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.output.advance(written),
            }
        }
        if self.output.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.output.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives up large buffers before the connection is idle. The size of the next is remembered,
    /// for as long as the upstream sends as much.
    pub(crate) fn shrink(&mut self) {
        if self.read_size > IDLE_BUFFER_MAX && self.read.is_empty() {
            self.read = BytesMut::new();
        }
        if !self.was_filled {
            self.read_size = (self.read_size / 2).max(READ_SIZE_MIN);
        }
        self.was_filled = false;
        if self.output.bytes.capacity() > IDLE_BUFFER_MAX {
            self.output.bytes = Vec::new();
        }
    }

    /// Returns the stream, and what has been read from it.
    pub(crate) fn into_parts(self) -> (Stream, BytesMut, Slot) {
        (self.stream, self.read, self.slot)
    }
}

impl Output {
    /// Discards what was left of the request before.
    pub(crate) fn begin(&mut self) {
        self.bytes.clear();
        self.written = 0;
        self.data = Bytes::new();
        self.tail = b"";
        self.has_sent = false;
    }

    /// Returns whether more may be added before this is written.
    pub(crate) fn has_room(&self) -> bool {
        self.data.is_empty() && self.bytes.len() < JOINED_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces().iter().all(|piece| piece.is_empty())
    }

    /// Returns how many bytes are left to be written.
    pub(crate) fn len(&self) -> usize {
        self.pieces()
            .iter()
            .fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }

    /// Adds data of the body: short data is copied, to be written in one piece.
    pub(crate) fn push_data(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= COPIED_MAX {
            self.bytes.extend_from_slice(&data);
            self.bytes.extend_from_slice(tail);
        } else {
            self.data = data;
            self.tail = tail;
        }
    }

    fn pieces(&self) -> [&[u8]; 3] {
        [
            self.bytes.get(self.written..).unwrap_or_default(),
            &self.data,
            self.tail,
        ]
    }

    fn advance(&mut self, written: usize) {
        self.has_sent = true;
        self.is_unflushed = true;
        let [bytes, data, tail] = self.pieces().map(<[u8]>::len);
        let of_bytes = written.min(bytes);
        let of_data = written.saturating_sub(of_bytes).min(data);
        let of_tail = written
            .saturating_sub(of_bytes)
            .saturating_sub(of_data)
            .min(tail);
        self.written = self.written.saturating_add(of_bytes);
        self.data.advance(of_data);
        self.tail = self.tail.get(of_tail..).unwrap_or_default();
        if of_bytes == bytes {
            self.bytes.clear();
            self.written = 0;
        }
    }
}

/// How much is read at once: more while the upstream sends more.
const READ_SIZE_MIN: usize = 8 * 1024;
const READ_SIZE_MAX: usize = 128 * 1024;
/// Less room than this is not worth a read.
const READ_ROOM_MIN: usize = 2 * 1024;
/// The largest buffer an idle connection keeps.
const IDLE_BUFFER_MAX: usize = 16 * 1024;
/// Longer data is written where it is.
const COPIED_MAX: usize = 4 * 1024;
/// Short data is collected up to this length.
const JOINED_MAX: usize = 8 * 1024;
