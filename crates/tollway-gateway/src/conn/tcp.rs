//! How do bytes get onto a TCP connection?
//!
//! A head and a short body come in two pieces. The kernel takes longer over a list of pieces
//! than over the few hundred bytes in them, so short ones are put together first and sent
//! as one. What is long is not copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
        let mut together = [0; TOGETHER_MAX];
        match put_together(pieces, &mut together) {
            Some(whole) => stream.poll_write(cx, whole),
            None => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// Notices peers that vanished without a word, or stopped reading for good. There is no
/// other limit on how long a stream may be silent.
pub(crate) fn probe_when_silent(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(UNREAD_MAX))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY),
    )
}

/// The pieces as one; `None` when there is no room for them.
fn put_together<'a>(pieces: &[IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = 0_usize;
    for piece in pieces {
        let end = len.checked_add(piece.len())?;
        room.get_mut(len..end)?.copy_from_slice(piece);
        len = end;
    }
    room.get(..len)
}

/// A usual head and a short body.
const TOGETHER_MAX: usize = 1024;
/// How long sent bytes may stay unread.
const UNREAD_MAX: Duration = Duration::from_secs(60);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Takes what it is given, and notes in how many pieces it came.
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
        let body = vec![7; TOGETHER_MAX];

        let (taken, wire) = sent(&[b"head", &body], usize::MAX).await;

        assert_eq!(taken, 4 + TOGETHER_MAX);
        assert_eq!(wire.bytes, [b"head".as_slice(), &body].concat());
        assert_eq!(wire.pieces, [2]);
    }

    #[tokio::test]
    async fn what_a_full_connection_does_not_take_is_not_reported_as_taken() {
        let (taken, wire) = sent(&[b"head", b"body"], 5).await;

        assert_eq!((taken, wire.bytes.as_slice()), (5, &b"headb"[..]));
    }

    #[tokio::test]
    async fn a_room_that_is_filled_to_the_last_byte_suffices() {
        let body = vec![7; TOGETHER_MAX - 4];

        let (taken, wire) = sent(&[b"head", &body], usize::MAX).await;

        assert_eq!((taken, wire.pieces.as_slice()), (TOGETHER_MAX, &[1][..]));
    }
}
