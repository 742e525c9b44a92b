//! Tunnels: upgraded connections.
//!
//! Client and upstream have agreed to leave HTTP; bytes are copied both ways until both sides
//! have closed, or one of them has and nothing more moves. The opening request pays for the
//! tunnel, however long it lasts. A stopping gateway closes it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::watch;
use tollway_server::{Ending, Settlement, Usage};

use crate::admin::metrics::Ended;
use crate::conn::activity::{Activity, StallLimit};
use crate::request::in_flight::InFlight;
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
            mut in_flight,
        } = self;
        let Upgraded {
            stream,
            slot: _open,
        } = upstream;
        let limits = in_flight.active().limits();
        let activity = Rc::clone(in_flight.active().activity());
        activity.allow(limits.tunnel);
        let (received, sent) = (Rc::default(), Rc::default());
        let closing_limit = limits.closing_tunnel;
        let both_ways = async {
            let Ok(client) = client.await else {
                tracing::debug!("upgrade failed");
                return Ended::UpstreamFailed;
            };
            let client = TunnelEnd::new(TokioIo::new(client), &received, &activity, closing_limit);
            let upstream = TunnelEnd::new(stream, &sent, &activity, closing_limit);
            copy(client, upstream).await
        };
        let ended = tokio::select! {
            ended = both_ways => ended,
            () = activity.stalled() => Ended::Stalled,
            _ = closing.wait_for(|closing| *closing) => Ended::CutOff,
        };
        in_flight.tunnelled(received.get(), sent.get());
        in_flight.end(ended);
        if let Some(settlement) = settlement {
            settlement.finish(settled_as(ended), Usage::of_body(sent.get()));
        }
    }
}

fn settled_as(ended: Ended) -> Ending {
    match ended {
        Ended::Complete => Ending::Complete,
        Ended::ClientLeft | Ended::Stalled => Ending::ClientLeft,
        Ended::CutOff | Ended::UpstreamFailed => Ending::ServiceFailed,
    }
}

async fn copy<C, U>(mut client: TunnelEnd<C>, mut upstream: TunnelEnd<U>) -> Ended
where
    TunnelEnd<C>: AsyncRead + AsyncWrite + Unpin,
    TunnelEnd<U>: AsyncRead + AsyncWrite + Unpin,
{
    // An abrupt end of either side is how tunnels usually end.
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok(_) => Ended::Complete,
        Err(_) => Ended::ClientLeft,
    }
}

/// One end of a tunnel, which records what arrives at it.
struct TunnelEnd<S> {
    stream: S,
    /// How many have arrived at it.
    bytes: Rc<Cell<u64>>,
    activity: Rc<Activity>,
    /// The limit once this end has closed.
    closing: StallLimit,
}

impl<S> TunnelEnd<S> {
    fn new(stream: S, bytes: &Rc<Cell<u64>>, activity: &Rc<Activity>, closing: StallLimit) -> Self {
        Self {
            stream,
            bytes: Rc::clone(bytes),
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
            let arrived = buf.filled().len().saturating_sub(before);
            let arrived = u64::try_from(arrived).unwrap_or(u64::MAX);
            self.bytes.set(self.bytes.get().saturating_add(arrived));
            if arrived == 0 {
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
