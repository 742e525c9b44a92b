//! How do upgraded connections pass through?
//!
//! Both sides have agreed to leave HTTP; from then on bytes are copied both ways until one
//! side closes. What the opening request paid for is the tunnel, however long it lasts. It
//! has no natural end, so a stopping gateway ends it.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;

use crate::request::reply::InFlight;

/// The two halves of a tunnel that is about to open.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    /// Held as long as the tunnel is open.
    pub(crate) in_flight: InFlight,
}

impl Tunnel {
    /// Copies bytes until a side closes or `closing` turns true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let Self {
            client,
            upstream,
            in_flight,
        } = self;
        tokio::select! {
            () = copy(client, upstream) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        drop(in_flight);
    }
}

async fn copy(client: OnUpgrade, upstream: OnUpgrade) {
    let Ok((client, upstream)) = tokio::try_join!(client, upstream) else {
        return tracing::debug!("a connection was lost while it was being upgraded");
    };
    let (mut client, mut upstream) = (plain(client), plain(upstream));
    // Either side breaking off is how tunnels usually end.
    let _ended = copy_bidirectional(&mut client, &mut upstream).await;
}

fn plain(upgraded: Upgraded) -> TokioIo<Upgraded> {
    TokioIo::new(upgraded)
}
