//! TCP streams: one that joins short writes, and that of a client, which reports a reset, counts
//! what it sends and closes in a way that loses no response.
//!
//! A head and a short body are written in two pieces. The kernel takes longer over a list
//! of pieces than over the few hundred bytes in them, so short ones are copied into one
//! buffer and sent as one. Long ones are not copied.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

/// A TCP connection to a client or an upstream.
#[derive(Debug)]
pub(crate) struct Tcp<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for Tcp<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tcp<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.0);
        if let [whole] = pieces {
            return stream.poll_write(cx, whole);
        }
        let mut joined = [0; JOINED_MAX];
        match join_pieces(pieces, &mut joined) {
            Some(whole) => stream.poll_write(cx, whole),
            None => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// A client's TCP connection, which reports a reset even while nothing reads from it.
///
/// An HTTP/1.1 client may close its sending side and wait for the response, so what it sends is
/// not read while a request is served. The next write or keep-alive probe to a client
/// that has left for good causes a reset. It is reported when the stream is flushed, which the
/// connection's task does whenever it runs.
#[derive(Debug)]
pub(crate) struct ClientTcp {
    stream: TcpStream,
    link: Link,
    /// Set once the sending side is shut down.
    lingering: Option<Box<Lingering>>,
    /// Runs once the stream stays readable: then nothing else wakes the task after a reset.
    clock: Option<Interval>,
}

impl ClientTcp {
    pub(crate) fn new(stream: TcpStream, link: Link) -> Self {
        Self {
            stream,
            link,
            lingering: None,
            clock: None,
        }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.link.add_sent(*bytes);
        }
        self.link.set_blocked(written.is_pending());
        written
    }

    fn check_reset(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Poll::Ready(readable) = self.stream.poll_read_ready(cx) else {
            return Ok(());
        };
        readable?;
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        let clock = self.clock.get_or_insert_with(|| {
            let mut clock = tokio::time::interval(RESET_CHECKED_EVERY);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
        while clock.poll_tick(cx).is_ready() {}
        Ok(())
    }
}

/// A response whose end is that of the connection must not look complete when it is not: the
/// connection is reset.
impl Drop for ClientTcp {
    fn drop(&mut self) {
        if self.link.is_end_awaited() {
            let _closed_already = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for ClientTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_reset(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.link.await_end(false);
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.link.is_upload() {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_default();
        lingering.poll_discard(&mut this.stream, cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The lingering close of a connection on which the client still sends (RFC 9112, section 9.6).
///
/// Closed at once, the kernel would reset the connection, and the client could lose the end of the
/// response. So the sending side is shut down, and what arrives is read and discarded until the
/// client closes or a limit is reached.
#[derive(Debug)]
struct Lingering {
    end: Instant,
    left: usize,
    /// Until nothing has arrived for too long, or the end.
    clock: Pin<Box<Sleep>>,
}

impl Default for Lingering {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            end: now.checked_add(LINGERING_MAX).unwrap_or(now),
            left: LINGERING_BYTES_MAX,
            clock: Box::pin(tokio::time::sleep(LINGERING_SILENCE_MAX)),
        }
    }
}

impl Lingering {
    /// Reads until the client has closed, or a limit is reached.
    fn poll_discard(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); DISCARDED_AT_ONCE];
        let mut has_read = false;
        loop {
            let mut buf = ReadBuf::uninit(&mut room);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let read = buf.filled().len();
            match self.left.checked_sub(read) {
                Some(left) if read > 0 => self.left = left,
                _ => return Poll::Ready(()),
            }
            has_read = true;
        }
        if has_read {
            let silent = Instant::now().checked_add(LINGERING_SILENCE_MAX);
            let until = silent.unwrap_or(self.end).min(self.end);
            self.clock.as_mut().reset(until);
        }
        self.clock.as_mut().poll(cx)
    }
}

/// State that a client's socket and the requests on it share.
///
/// Used by one thread only; atomic because hyper wants a stream that could move to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Arc<LinkState>);

#[derive(Debug, Default)]
struct LinkState {
    sent: AtomicU64,
    is_blocked: AtomicBool,
    is_upload: AtomicBool,
    is_end_awaited: AtomicBool,
}

impl Link {
    /// Returns the number of bytes that the kernel has taken, to be compared with a later one.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Returns whether there is more to send than the kernel takes.
    pub(crate) fn is_blocked(&self) -> bool {
        self.0.is_blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        self.0.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Whether the last request has a body, some of which may arrive after the response is sent.
    pub(crate) fn set_upload(&self, is_upload: bool) {
        self.0.is_upload.store(is_upload, Ordering::Relaxed);
    }

    fn is_upload(&self) -> bool {
        self.0.is_upload.load(Ordering::Relaxed)
    }

    /// Whether the client takes the end of the connection for the end of a response that has not
    /// been sent to its end.
    pub(crate) fn await_end(&self, is_awaited: bool) {
        self.0.is_end_awaited.store(is_awaited, Ordering::Relaxed);
    }

    fn is_end_awaited(&self) -> bool {
        self.0.is_end_awaited.load(Ordering::Relaxed)
    }

    pub(crate) fn add_sent(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let sum = self.sent().wrapping_add(bytes);
        self.0.sent.store(sum, Ordering::Relaxed);
    }
}

/// Sets keep-alive probes and a limit on unacknowledged data, which detect peers that
/// vanished or stopped reading. No other limit applies to a silent stream.
pub(crate) fn probe_when_silent(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(UNREAD_MAX))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY),
    )
}

/// Returns the pieces as one; `None` when they do not fit.
fn join_pieces<'a>(pieces: &[IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = 0_usize;
    for piece in pieces {
        let end = len.checked_add(piece.len())?;
        room.get_mut(len..end)?.copy_from_slice(piece);
        len = end;
    }
    room.get(..len)
}

/// Enough for a usual head and a short body.
const JOINED_MAX: usize = 1024;
/// How long sent bytes may stay unacknowledged.
const UNREAD_MAX: Duration = Duration::from_secs(60);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long a client may go on sending once its response is complete.
const LINGERING_MAX: Duration = Duration::from_secs(30);
/// How long it may pause.
const LINGERING_SILENCE_MAX: Duration = Duration::from_secs(5);
/// How much it may send.
const LINGERING_BYTES_MAX: usize = 1024 * 1024 * 1024;
const DISCARDED_AT_ONCE: usize = 16 * 1024;
const RESET_CHECKED_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Records what is written, and in how many pieces.
    #[derive(Default)]
    struct Wire {
        bytes: Vec<u8>,
        pieces: Vec<usize>,
        room: usize,
    }

    impl AsyncWrite for Wire {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            all.truncate(self.room);
            self.bytes.extend(&all);
            self.pieces.push(pieces.len());
            Poll::Ready(Ok(all.len()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }
    }

    async fn sent(pieces: &[&[u8]], room: usize) -> (usize, Wire) {
        let wire = Wire {
            room,
            ..Wire::default()
        };
        let mut tcp = Tcp(wire);
        let pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let taken = poll_fn(|cx| Pin::new(&mut tcp).poll_write_vectored(cx, &pieces)).await;
        (taken.unwrap(), tcp.0)
    }

    #[tokio::test]
    async fn a_head_and_a_short_body_leave_as_one() {
        let (taken, wire) = sent(&[b"head", b"body"], usize::MAX).await;

        assert_eq!((taken, wire.bytes.as_slice()), (8, &b"headbody"[..]));
        assert_eq!(wire.pieces, [1]);
    }

    #[tokio::test]
    async fn a_long_body_is_not_copied() {
        let body = vec![7; JOINED_MAX];

        let (taken, wire) = sent(&[b"head", &body], usize::MAX).await;

        assert_eq!(taken, 4 + JOINED_MAX);
        assert_eq!(wire.bytes, [b"head".as_slice(), &body].concat());
        assert_eq!(wire.pieces, [2]);
    }

    #[tokio::test]
    async fn what_a_full_connection_does_not_take_is_not_reported_as_taken() {
        let (taken, wire) = sent(&[b"head", b"body"], 5).await;

        assert_eq!((taken, wire.bytes.as_slice()), (5, &b"headb"[..]));
    }

    #[tokio::test]
    async fn a_buffer_that_is_filled_to_the_last_byte_suffices() {
        let body = vec![7; JOINED_MAX - 4];

        let (taken, wire) = sent(&[b"head", &body], usize::MAX).await;

        assert_eq!((taken, wire.pieces.as_slice()), (JOINED_MAX, &[1][..]));
    }
}
