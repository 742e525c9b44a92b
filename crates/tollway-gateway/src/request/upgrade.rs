//! Tunnels: upgraded connections.
//!
//! Client and upstream have agreed to leave HTTP; bytes are copied both ways until both
//! sides have closed. The opening request pays for the tunnel, however long it lasts. A
//! stopping gateway closes it.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tollway_server::Ending;

use crate::request::reply::{Delivery, InFlight};

/// The two halves of a tunnel before it opens.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    pub(crate) delivery: Delivery,
    /// Held while the tunnel is open.
    pub(crate) in_flight: InFlight,
}

impl Tunnel {
    /// Copies bytes until both sides have closed, one fails, or `closing` turns true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let Self {
            client,
            upstream,
            mut delivery,
            in_flight,
        } = self;
        tokio::select! {
            () = copy(client, upstream, &mut delivery) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        delivery.end(Ending::ServiceFailed);
        drop(in_flight);
    }
}

async fn copy(client: OnUpgrade, upstream: OnUpgrade, delivery: &mut Delivery) {
    let Ok((client, upstream)) = tokio::try_join!(client, upstream) else {
        return tracing::debug!("upgrade failed");
    };
    let (mut client, mut upstream) = (plain(client), plain(upstream));
    // An abrupt end of either side is how tunnels usually end.
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok((_, to_client)) => {
            delivery.count(to_client);
            delivery.end(Ending::Complete);
        }
        Err(_) => delivery.end(Ending::ClientLeft),
    }
}

fn plain(upgraded: Upgraded) -> TokioIo<Upgraded> {
    TokioIo::new(upgraded)
}
