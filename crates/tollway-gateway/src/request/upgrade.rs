//! Tunnels: upgraded connections.
//!
//! Client and upstream have agreed to leave HTTP; bytes are copied both ways until both sides
//! have closed, or one of them has and nothing more moves. The opening request pays for the
//! tunnel, however long it lasts. A stopping gateway closes it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::watch;
use tollway_server::{Ending, Settlement, Usage};

use crate::conn::activity::{Activity, StallLimit};
use crate::request::reply::InFlight;
use crate::upstream::response::Upgraded;

/// The two halves of a tunnel before it opens.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: Upgraded,
    pub(crate) settlement: Option<Settlement>,
    /// Held while the tunnel is open.
    pub(crate) in_flight: InFlight,
}

impl Tunnel {
    /// Copies bytes until both sides have closed, one fails, nothing moves for too long, or
    /// `closing` turns true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let Self {
            client,
            upstream,
            settlement,
            in_flight,
        } = self;
        let limits = in_flight.active.limits();
        let activity = in_flight.active.activity();
        activity.allow(limits.tunnel);
        let both_ways = async {
            let Ok(client) = client.await else {
                tracing::debug!("upgrade failed");
                return (Ending::ServiceFailed, Usage::default());
            };
            let client = TunnelEnd::new(TokioIo::new(client), activity, limits.closing_tunnel);
            let upstream = TunnelEnd::new(upstream, activity, limits.closing_tunnel);
            copy(client, upstream).await
        };
        let (ending, usage) = tokio::select! {
            ended = both_ways => ended,
            () = activity.stalled() => (Ending::ClientLeft, Usage::default()),
            _ = closing.wait_for(|closing| *closing) => (Ending::ServiceFailed, Usage::default()),
        };
        if let Some(settlement) = settlement {
            settlement.finish(ending, usage);
        }
        drop(in_flight);
    }
}

async fn copy<C, U>(mut client: TunnelEnd<C>, mut upstream: TunnelEnd<U>) -> (Ending, Usage)
where
    TunnelEnd<C>: AsyncRead + AsyncWrite + Unpin,
    TunnelEnd<U>: AsyncRead + AsyncWrite + Unpin,
{
    // An abrupt end of either side is how tunnels usually end.
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok((_, to_client)) => (Ending::Complete, Usage::of_body(to_client)),
        Err(_) => (Ending::ClientLeft, Usage::default()),
    }
}

/// One end of a tunnel, which records what arrives at it.
struct TunnelEnd<S> {
    stream: S,
    activity: Rc<Activity>,
    /// The limit once this end has closed.
    closing: StallLimit,
}

impl<S> TunnelEnd<S> {
    fn new(stream: S, activity: &Rc<Activity>, closing: StallLimit) -> Self {
        Self {
            stream,
            activity: Rc::clone(activity),
            closing,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TunnelEnd<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            if buf.filled().len() == before {
                self.activity.allow(self.closing);
            } else {
                self.activity.touch();
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TunnelEnd<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
