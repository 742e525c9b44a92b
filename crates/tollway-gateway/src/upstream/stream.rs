//! Byte stream to an upstream: TCP, with or without TLS.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::client::TlsStream;

use crate::conn::tcp::Tcp;

/// A byte stream to an upstream.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Tcp<TcpStream>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Returns whether the upstream has neither closed the connection nor sent anything.
    ///
    /// Does not wait, and makes no system call unless the system has reported something. What is
    /// reported does not depend on the task: one that has used up its budget for this turn would
    /// find any stream silent.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut unexpected = [0; 1];
        match self {
            Self::Plain(Tcp(stream)) => stream
                .try_read(&mut unexpected)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            // The upstream may have sent what concerns TLS alone.
            Self::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                let read = pin!(unconstrained(stream.read(&mut unexpected)));
                read.poll(&mut cx).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        (stream.unwrap(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_has_arrived_is_noticed_by_a_task_without_budget() {
        let (unchanged, _upstream) = connected().await;
        let (closed, upstream) = connected().await;
        drop(upstream);
        closed.readable().await.unwrap();
        let (spoken_to, mut upstream) = connected().await;
        upstream.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        spoken_to.readable().await.unwrap();
        let mut streams = [unchanged, closed, spoken_to].map(|one| Stream::Plain(Tcp(one)));

        let are_silent = poll_fn(|cx| {
            while has_budget_remaining() {
                assert!(pin!(consume_budget()).poll(cx).is_ready());
            }
            Poll::Ready(streams.each_mut().map(Stream::is_silent))
        });

        assert_eq!(are_silent.await, [true, false, false]);
    }
}
